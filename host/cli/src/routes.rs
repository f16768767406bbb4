//! `chassis routes`.

use serde::Serialize;

use crate::arguments::Routes;
use crate::print;

#[derive(Serialize)]
struct Row<'a> {
    route: String,
    component: &'a str,
}

pub(crate) fn run(arguments: &Routes) -> anyhow::Result<()> {
    let (plan, _warnings) = chassis_config::load_from_process(&arguments.sources.options()?)?;
    let rows: Vec<Row<'_>> = plan
        .routes
        .iter()
        .map(|route| Row { route: route.pattern.to_string(), component: route.component.as_str() })
        .collect();
    if arguments.json {
        return print::line(serde_json::to_string(&rows)?);
    }
    let width = rows.iter().map(|row| row.route.len()).max().unwrap_or(0);
    for row in rows {
        print::line(format_args!("{:width$}  {}", row.route, row.component))?;
    }
    Ok(())
}
