//! `chassis check`.

use chassis_config::plan::{ComponentPlan, Plan};

use crate::arguments::Sources;
use crate::print;

pub(crate) fn run(arguments: &Sources) -> anyhow::Result<()> {
    let (plan, warnings) = chassis_config::load_from_process(&arguments.options()?)?;
    for warning in &warnings {
        print::line(warning)?;
    }
    print::line(format_args!(
        "{} {}: {} components, {} routes",
        plan.application.name,
        plan.application.version,
        plan.components.len(),
        plan.routes.len()
    ))?;
    for component in plan.components.values() {
        print_component(&plan, component)?;
    }
    print::line("ok")
}

fn print_component(plan: &Plan, component: &ComponentPlan) -> anyhow::Result<()> {
    let routes =
        plan.routes.iter().filter(|route| route.component == component.name).map(|route| route.pattern.to_string());
    let grants = &component.grants;
    print::line(format_args!("\n{}", component.name))?;
    print_list("routes", routes)?;
    print_list("databases", grants.databases.iter().map(ToString::to_string))?;
    print_list("key-value stores", grants.key_value_stores.iter().map(ToString::to_string))?;
    print_list("publishes", grants.publish.iter().map(|pattern| pattern.0.clone()))?;
    print_list("subscribes to", grants.subscribe.iter().map(|pattern| pattern.0.clone()))?;
    print_list("sends mail as", grants.mail_from.iter().cloned())?;
    print_list("calls hosts", grants.outbound.iter().map(ToString::to_string))?;
    print_list(
        "calls",
        component.dependencies.iter().map(|(interface, provider)| format!("{interface} of {provider}")),
    )?;
    print_list("provides", component.provides.iter().cloned())
}

fn print_list(what: &str, items: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return Ok(());
    }
    print::line(format_args!("  {what}: {}", items.join(", ")))
}
