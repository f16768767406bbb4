//! `[component.<name>]` of the manifest.

use super::chassis::chassis;
use super::manifest::Defaults;
use super::{Component, Dependency, Files};
use crate::diagnostics::At;
use crate::table::{Table, Value};

pub(super) fn component(name: At<String>, value: &Value<'_>, defaults: Defaults<'_>) -> Option<Component> {
    let table = value.table()?;
    let source = table.required("source").and_then(|source| local_source(&source));
    not_for_the_host(&table);
    let files = table.get("files").map(|files| files.list().iter().filter_map(self::files).collect());
    let dependencies = table.names("dependencies").into_iter();
    let component = Component {
        source,
        environment: texts_by_name(&table, "environment"),
        variables: texts_by_name(&table, "variables"),
        files: files.unwrap_or_default(),
        exclude_files: table.texts("exclude_files"),
        outbound: table.texts("allowed_outbound_hosts"),
        stores: table.texts("key_value_stores"),
        databases: table.texts("sqlite_databases"),
        dependencies: dependencies.filter_map(|(interface, value)| dependency(interface, &value)).collect(),
        chassis: chassis(&name, table.table("tool"), defaults),
        name,
    };
    table.finish();
    Some(component)
}

/// Keys that are Spin's alone.
fn not_for_the_host(table: &Table<'_>) {
    table.text("description");
    table.get("targets");
    table.flag("dependencies_inherit_configuration");
    table.ignored("profile", "Chassis serves the default profile");
    table.refused("allowed_http_hosts", "write `allowed_outbound_hosts`, such as [\"https://api.example.com\"]");
    if let Some(models) = table.get("ai_models").filter(|models| !models.list().is_empty()) {
        models.error("`ai_models` is not supported", "Chassis lends no language models; call one over HTTP");
    }
    if let Some(build) = table.table("build") {
        build.required("command");
        build.text("workdir");
        build.texts("watch");
        build.finish();
    }
}

fn texts_by_name(table: &Table<'_>, key: &str) -> Vec<(At<String>, At<String>)> {
    let entries = table.names(key).into_iter();
    entries.filter_map(|(name, value)| Some((name, value.text()?))).collect()
}

fn local_source(value: &Value<'_>) -> Option<At<String>> {
    if value.is_table() {
        let help = "download the file, and write its path: source = \"auth.wasm\"";
        value.error("a source from a URL or a registry is not supported", help);
        return None;
    }
    value.text()
}

fn files(value: &Value<'_>) -> Option<Files> {
    if !value.is_table() {
        return value.text().map(Files::Pattern);
    }
    let table = value.table()?;
    let (source, destination) = (table.required("source"), table.required("destination"));
    table.finish();
    Some(Files::Placed { source: source?.text()?, destination: destination?.text()? })
}

/// A version, or a table that says where Spin finds what it composes. Only a component of the manifest concerns Chassis.
fn dependency(interface: At<String>, value: &Value<'_>) -> Option<Dependency> {
    if !value.is_table() {
        value.text()?;
        return Some(Dependency { interface, component: None });
    }
    let table = value.table()?;
    let component = table.text("component");
    for key in ["version", "registry", "package", "path", "url", "digest", "export"] {
        table.text(key);
    }
    table.get("inherit_configuration");
    table.finish();
    Some(Dependency { interface, component })
}
