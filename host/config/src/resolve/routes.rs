//! The route table.

use crate::diagnostics::{At, Report, did_you_mean};
use crate::name::ComponentName;
use crate::plan::RoutePlan;
use crate::raw::{Manifest, Trigger, TriggerPath};
use crate::route::RoutePattern;

/// What the gateway answers itself, whatever the route table says.
const HEALTH: [&str; 3] = ["/health", "/health/live", "/health/ready"];

pub(super) fn routes(manifest: &Manifest, report: &Report) -> Vec<RoutePlan> {
    let mut routes: Vec<At<RoutePlan>> = Vec::new();
    for trigger in &manifest.triggers {
        let component = known_component(manifest, trigger, report);
        let Some(pattern) = pattern(trigger, report) else { continue };
        if let Some(first) = routes.iter().find(|first| first.value.pattern == pattern.value) {
            let (other, at) = (&first.value, &first.place);
            let message = format!("route «{}» is a duplicate of «{}», at {at}", pattern.value, other.pattern);
            report.error(&pattern.place, message, "remove one of the two: which would answer is not defined");
        }
        if let Some(component) = component {
            routes.push(At::new(RoutePlan { pattern: pattern.value, component }, pattern.place));
        }
    }
    routes.into_iter().map(|route| route.value).collect()
}

fn known_component(manifest: &Manifest, trigger: &Trigger, report: &Report) -> Option<ComponentName> {
    let name = &trigger.component;
    if manifest.components.iter().any(|component| component.name.value == name.value) {
        // A name that breaks the rule is reported where the component stands.
        return ComponentName::parse(&name.value).ok();
    }
    let help = did_you_mean(&name.value, manifest.components.iter().map(|component| component.name.value.as_str()));
    report.error(&name.place, format!("no component «{}»", name.value), help);
    None
}

fn pattern(trigger: &Trigger, report: &Report) -> Option<At<RoutePattern>> {
    let TriggerPath::Route(text) = &trigger.path else { return None };
    let pattern = match RoutePattern::parse(&text.value) {
        Ok(pattern) => pattern,
        Err(error) => {
            report.error(&text.place, error.to_string(), "");
            return None;
        }
    };
    if pattern.as_str().split('/').nth(1) == Some(".chassis") {
        let message = format!("route «{pattern}»: the paths below /.chassis are the host's own");
        report.error(&text.place, message, "events and probes reach every component without a route");
        return None;
    }
    if !pattern.is_wildcard() && HEALTH.iter().any(|path| pattern.matches(path)) {
        report.warn(&text.place, format!("route «{pattern}» also matches a path that the gateway answers itself"));
    }
    Some(At::new(pattern, text.place.clone()))
}
