//! `[component.<name>.tool.chassis]`: what Chassis needs to know of a component and Spin has no key for.

use super::Chassis;
use super::manifest::Defaults;
use crate::diagnostics::At;
use crate::plan::Isolation;
use crate::settings::{Section, check_limits, read_limits};
use crate::table::Table;

pub(super) fn chassis(component: &At<String>, tools: Option<Table<'_>>, defaults: Defaults<'_>) -> Chassis {
    let mut ours = None;
    for (tool, value) in tools.map(Table::named).unwrap_or_default() {
        let table = value.table();
        if tool.value == "chassis" {
            ours = table;
        }
    }
    let name = format!("component.{}.tool.chassis", component.value);
    let section = Section::of_manifest(&name, ours, defaults.context);
    let limits_section = section.child("limits");
    let limits = read_limits(&limits_section, &defaults.settings.limits);
    if limits_section.is_written() {
        check_limits(&limits_section, &limits, defaults.engine());
    }
    limits_section.finish();
    let (owns_databases, owns_stores, owns_either) = owns(&section);
    let mail = section.child("mail");
    let mail_from = mail.texts("from", "");
    mail.finish();
    let isolations = [("shared", Isolation::Shared), ("request", Isolation::Request)];
    let chassis = Chassis {
        owns_databases,
        owns_stores,
        owns_either,
        publish: section.texts("publish", ""),
        subscribe: section.texts("subscribe", ""),
        mail_from,
        slow_routes: section.texts("slow_routes", ""),
        provides: section.texts("provides", ""),
        isolation: section.choice("isolation", Isolation::Shared, &isolations),
        limits,
    };
    section.finish();
    chassis
}

type Labels = Vec<At<String>>;

/// `owns = ["a"]`, for labels of either kind, or `owns = { databases = ["a"], stores = ["a"] }`.
fn owns(section: &Section<'_>) -> (Labels, Labels, Labels) {
    if section.is_list("owns") {
        return (Labels::new(), Labels::new(), section.texts("owns", ""));
    }
    let owns = section.child("owns");
    let labels = (owns.texts("databases", ""), owns.texts("stores", ""), Labels::new());
    owns.finish();
    labels
}
