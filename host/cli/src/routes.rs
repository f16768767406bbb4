//! `chassis routes`.

use serde::Serialize;

use crate::arguments::Routes;

#[derive(Serialize)]
struct Row<'a> {
    route: String,
    component: &'a str,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(crate) fn run(arguments: &Routes) -> anyhow::Result<()> {
    let (plan, _warnings) = chassis_config::load_from_process(&arguments.sources.options()?)?;
    let rows: Vec<Row<'_>> = plan
        .routes
        .iter()
        .map(|route| Row { route: route.pattern.to_string(), component: route.component.as_str() })
        .collect();
    if arguments.json {
        println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    let width = rows.iter().map(|row| row.route.len()).max().unwrap_or(0);
    for row in rows {
        println!("{:width$}  {}", row.route, row.component);
    }
    Ok(())
}
