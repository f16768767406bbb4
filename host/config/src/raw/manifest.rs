//! `spin.toml`, manifest version 2. Which keys are supported, ignored or refused is decided here and in the rooms below;
//! `docs/configuration.md` has the same list.

use super::component::component;
use super::{Manifest, Trigger, TriggerPath, Variable};
use crate::diagnostics::At;
use crate::plan::EngineLimits;
use crate::settings::{Context, Settings};
use crate::table::{Table, Value};

/// What reading a component needs beside its table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults<'a> {
    pub(super) settings: &'a Settings,
    pub(super) context: &'a Context<'a>,
}

impl<'a> Defaults<'a> {
    pub(super) fn engine(&self) -> &'a EngineLimits {
        &self.settings.engine
    }
}

/// Read the manifest. What is wrong is reported; the rest is still read, so that one run finds everything.
pub(crate) fn manifest<'a>(document: Table<'a>, settings: &'a Settings, context: &'a Context<'a>) -> Option<Manifest> {
    let defaults = Defaults { settings, context };
    version(&document);
    let application = document.required("application").and_then(|value| value.table());
    let details = application.map(application_details);
    let variables = document.names("variables").into_iter().filter_map(|(name, value)| {
        let variable = variable(value.table()?);
        Some((name, variable))
    });
    let variables = variables.collect();
    let triggers = document.required("trigger").and_then(|value| value.table()).map(triggers).unwrap_or_default();
    let components =
        document.names("component").into_iter().filter_map(|(name, value)| component(name, &value, defaults));
    let components = components.collect();
    document.finish();
    let (name, version, description) = details?;
    Some(Manifest { name, version, description, variables, triggers, components })
}

fn version(document: &Table<'_>) {
    let Some(value) = document.required("spin_manifest_version") else { return };
    if value.integer().is_some_and(|version| version != 2) {
        value.error("only manifests of version 2 can be read", "write `spin_manifest_version = 2`");
    }
}

fn application_details(table: Table<'_>) -> (String, String, String) {
    let name = table.required("name").and_then(|name| name.text());
    if let Some(name) = name.as_ref().filter(|name| name.value.trim().is_empty()) {
        table.error(&name.place, "an application needs a name", "");
    }
    let version = table.text("version").map_or_else(|| "0.0.0".to_owned(), |version| version.value);
    let description = table.text("description").map(|text| text.value).unwrap_or_default();
    table.texts("authors");
    table.get("targets");
    if let Some(triggers) = table.table("trigger") {
        application_triggers(triggers);
    }
    if let Some(tools) = table.table("tool") {
        for (name, value) in tools.named() {
            let settings = value.table();
            if let Some(settings) = settings.filter(|_| name.value == "chassis") {
                settings.finish();
            }
        }
    }
    table.finish();
    (name.map(|name| name.value).unwrap_or_default(), version, description)
}

/// `[application.trigger]`: only HTTP has a meaning here.
fn application_triggers(table: Table<'_>) {
    for (kind, value) in table.named() {
        match kind.value.as_str() {
            "http" => {
                let Some(http) = value.table() else { continue };
                let base = http.text("base").filter(|base| base.value != "/");
                if let Some(base) = base {
                    http.error(&base.place, "a base path is not supported", "write the whole path in each `route`");
                }
                http.finish();
            }
            other => value.warn(format!("has no effect: Chassis has no triggers of type {other}")),
        }
    }
}

fn variable(table: Table<'_>) -> Variable {
    table.text("description");
    let variable =
        Variable { default: table.text("default"), required: table.flag("required"), secret: table.flag("secret") };
    match (&variable.default, variable.required) {
        (Some(default), true) => {
            table.error(&default.place, "a required variable has no default", "remove one of the two");
        }
        (None, false) => {
            table.error(
                table.place(),
                "a variable has a default or is required",
                "write `default` or `required = true`",
            );
        }
        _ => {}
    }
    table.finish();
    variable
}

fn triggers(table: Table<'_>) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    for (kind, value) in table.named() {
        if kind.value == "http" {
            triggers.extend(value.list().iter().filter_map(|value| http_trigger(value.table()?)));
        } else {
            let help =
                "Chassis serves HTTP triggers; events come through `subscribe` in [component.<name>.tool.chassis]";
            value.error(format!("triggers of type «{}» are not supported", kind.value), help);
        }
    }
    triggers
}

fn http_trigger(table: Table<'_>) -> Option<Trigger> {
    table.text("id");
    let path = table.required("route").map_or(TriggerPath::Unusable, |route| trigger_path(&route));
    table.refused("static_response", "let a component answer");
    table.refused("components", "write `component`");
    if let Some(dependencies) = table.table("dependencies") {
        dependencies.refused("middleware", "compose the component with its middleware, and name the composed file");
        dependencies.finish();
    }
    if let Some(executor) = table.table("executor") {
        if let Some(kind) = executor.text("type").filter(|kind| !matches!(kind.value.as_str(), "http" | "spin")) {
            let message = format!("executor «{}» is not supported", kind.value);
            executor.error(&kind.place, message, "components export `wasi:http/handler`; remove the executor");
        }
        executor.finish();
    }
    let component = if table.has("static_response") { None } else { table.required("component") };
    let component = component.and_then(|value| component_name(&value));
    table.finish();
    Some(Trigger { path, component: component? })
}

fn component_name(value: &Value<'_>) -> Option<At<String>> {
    if value.is_table() {
        value.error("a component within a trigger is not supported", "give it a name under [component.<name>]");
        return None;
    }
    value.text()
}

fn trigger_path(route: &Value<'_>) -> TriggerPath {
    if !route.is_table() {
        return route.text().map_or(TriggerPath::Unusable, TriggerPath::Route);
    }
    let Some(table) = route.table() else { return TriggerPath::Unusable };
    if !table.flag("private") {
        table.error(table.place(), "a route is a pattern, or `{ private = true }`", "");
    }
    table.finish();
    TriggerPath::Private
}
