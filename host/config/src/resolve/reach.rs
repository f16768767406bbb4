//! Which components anything can reach.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::Report;
use crate::name::ComponentName;
use crate::plan::ComponentPlan;
use crate::raw::Manifest;

/// Keep what a trigger, a subscription, or a dependency of such a component reaches; warn of the rest.
pub(super) fn reachable(
    manifest: &Manifest,
    mut components: BTreeMap<ComponentName, ComponentPlan>,
    report: &Report,
) -> BTreeMap<ComponentName, ComponentPlan> {
    let triggered: BTreeSet<&str> = manifest.triggers.iter().map(|trigger| trigger.component.value.as_str()).collect();
    let starts =
        components.values().filter(|plan| triggered.contains(plan.name.as_str()) || !plan.grants.subscribe.is_empty());
    let mut waiting: Vec<ComponentName> = starts.map(|plan| plan.name.clone()).collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if let Some(plan) = components.get(&name).filter(|_| !reached.contains(&name)) {
            waiting.extend(plan.dependencies.values().cloned());
            reached.insert(name);
        }
    }
    for component in &manifest.components {
        let name = &component.name;
        if components.keys().any(|known| known.as_str() == name.value && !reached.contains(known)) {
            let message = "is left out: no trigger, no subscription and no dependency reaches it";
            report.warn(&name.place, format!("component «{}» {message}", name.value));
        }
    }
    components.retain(|name, _| reached.contains(name));
    components
}
