//! A plan as text: what a person would check, and of the settings only those that are not the default.

use std::fmt::{Debug, Write as _};

use chassis_config::plan::{ComponentPlan, Plan};
use chassis_config::{Options, load};

pub(crate) fn plan(plan: &Plan) -> String {
    let usual = default_plan();
    let mut out = String::new();
    let application = &plan.application;
    writeln!(out, "application {} {} «{}»", application.name, application.version, application.description).unwrap();
    writeln!(out, "gateway {}, admin {}", plan.listeners.gateway, plan.listeners.admin).unwrap();
    writeln!(out, "state {}", plan.state_dir.display()).unwrap();
    for route in &plan.routes {
        writeln!(out, "route {} -> {}", route.pattern, route.component).unwrap();
    }
    for component in plan.components.values() {
        out += &self::component(component, &usual);
    }
    for (label, store) in &plan.key_value {
        writeln!(out, "store {label}: {store:?}").unwrap();
    }
    differences(&mut out, "gateway", &plan.gateway, &usual.gateway);
    differences(&mut out, "admin", &plan.admin, &usual.admin);
    differences(&mut out, "engine", &plan.engine, &usual.engine);
    differences(&mut out, "sql", &plan.sql, &usual.sql);
    differences(&mut out, "messaging", &plan.messaging, &usual.messaging);
    differences(&mut out, "mail", &plan.mail, &usual.mail);
    differences(&mut out, "telemetry", &plan.telemetry, &usual.telemetry);
    out
}

fn component(plan: &ComponentPlan, usual: &Plan) -> String {
    let mut out = String::new();
    writeln!(out, "component {}: {}", plan.name, plan.source.display()).unwrap();
    for (name, value) in &plan.environment {
        writeln!(out, "  environment {name}={value}").unwrap();
    }
    for (name, variable) in &plan.variables {
        // `Debug` hides what is secret; the value itself is compared here, since a test is no log.
        let secret = if variable.secret { " (secret)" } else { "" };
        writeln!(out, "  variable {name}={}{secret}", variable.value).unwrap();
    }
    for file in &plan.files {
        writeln!(out, "  file {} <- {}", file.destination, file.source.display()).unwrap();
    }
    let grants = &plan.grants;
    entries(&mut out, "database", &grants.databases);
    entries(&mut out, "store", &grants.key_value_stores);
    entries(&mut out, "publish", &grants.publish);
    entries(&mut out, "subscribe", &grants.subscribe);
    entries(&mut out, "mail from", &grants.mail_from);
    entries(&mut out, "outbound", &grants.outbound);
    for slow in &plan.slow_routes {
        writeln!(out, "  slow {:?} {}", slow.method, slow.pattern).unwrap();
    }
    for (interface, provider) in &plan.dependencies {
        writeln!(out, "  calls {interface} of {provider}").unwrap();
    }
    entries(&mut out, "provides", &plan.provides);
    if plan.isolation == chassis_config::plan::Isolation::Request {
        writeln!(out, "  an instance for each request").unwrap();
    }
    let usual = usual.components.values().next().unwrap();
    differences(&mut out, "  limits", &plan.limits, &usual.limits);
    out
}

fn entries<T: Debug>(out: &mut String, what: &str, entries: &[T]) {
    for entry in entries {
        writeln!(out, "  {what} {entry:?}").unwrap();
    }
}

/// The lines of a debug print that are not the same in both.
fn differences<T: Debug>(out: &mut String, what: &str, found: &T, usual: &T) {
    let (found, usual) = (format!("{found:#?}"), format!("{usual:#?}"));
    let usual: Vec<&str> = usual.lines().collect();
    for line in found.lines().filter(|line| !usual.contains(line)) {
        writeln!(out, "{what}: {}", line.trim()).unwrap();
    }
}

fn default_plan() -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "spin_manifest_version = 2\napplication.name = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n\
                    [component.a]\nsource = \"a.wasm\"\n";
    std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    std::fs::write(folder.path().join("a.wasm"), "").unwrap();
    load(&Options::new(folder.path()), Vec::new()).unwrap().0
}
