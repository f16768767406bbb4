//! A component brings the migrations of its database along: a broken one stops the start, and leaves the data as it was.

use std::path::Path;

use anyhow::Context;
use chassis_tests::{App, Host, HostOptions, component_file, run_to_end};
use serde_json::{Value, json};
use wasm_encoder::{ComponentSection as _, CustomSection};

const FIRST: (&str, &str) =
    ("0001_notes.sql", "create table notes (id integer primary key, body text not null) strict;");

/// A guest that answers with what its database says, and carries these migrations.
fn application(migrations: &[(&str, &str)]) -> anyhow::Result<App> {
    let manifest = r#"
[[trigger.http]]
route = "/..."
component = "notes"
[component.notes]
source = "notes.file"
sqlite_databases = ["notes"]
"#;
    let section: Vec<Value> = migrations.iter().map(|(name, sql)| json!({ "name": name, "sql": sql })).collect();
    let mut component = std::fs::read(component_file("intruder")?)?;
    let data = serde_json::to_vec(&section)?;
    CustomSection { name: "chassis:migrations".into(), data: data.into() }.append_to_component(&mut component);
    App::new(manifest)?.file("notes.file", &component)
}

fn on(state_dir: &Path) -> HostOptions {
    HostOptions { state_dir: Some(state_dir.to_path_buf()), ..HostOptions::default() }
}

/// What a statement of the guest is answered.
async fn run(host: &Host, path: &str, text: &str) -> anyhow::Result<String> {
    let told: Value = host.post_json(path, &json!({ "database": "notes", "texts": [text] })).await?.json().await?;
    Ok(told.get("ok").and_then(Value::as_str).with_context(|| format!("{text}: {told}"))?.to_owned())
}

#[tokio::test]
async fn a_broken_migration_is_named_changes_nothing_and_can_be_repaired() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let state_dir = folder.path().join("state");
    let host = Host::start_with(&application(&[FIRST])?, on(&state_dir)).await?;
    run(&host, "/batch", "insert into notes (id, body) values (1, 'written before')").await?;
    assert_eq!(host.stop().await?.code, Some(0));

    // Each would have changed something before it fails.
    for (rest, reason) in [("insert into nowhere values (1);", "nowhere"), ("alter tabel notes rename to n;", "tabel")]
    {
        let sql = format!("alter table notes add column more text; update notes set body = 'lost'; {rest}");
        let broken = application(&[FIRST, ("0002_more.sql", &sql)])?;
        let refused = run_to_end(&broken, on(&state_dir)).await?;
        assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
        assert!(!refused.stdout.contains("ready "), "{}", refused.stdout);
        for words in ["component «notes»", "database «notes»", "0002_more.sql", reason] {
            assert!(refused.stderr.contains(words), "«{words}» is missing in: {}", refused.stderr);
        }
        // The version before serves, and its data is there.
        let host = Host::start_with(&application(&[FIRST])?, on(&state_dir)).await?;
        let kept = run(&host, "/query", "select * from notes").await?;
        assert!(kept.contains("written before") && kept.contains("[\"id\", \"body\"]"), "{kept}");
        assert_eq!(host.stop().await?.code, Some(0));
    }

    // A column that was half added could not be added now.
    let repaired = application(&[FIRST, ("0002_more.sql", "alter table notes add column more text default 'new';")])?;
    let host = Host::start_with(&repaired, on(&state_dir)).await?;
    let kept = run(&host, "/query", "select id, body, more from notes").await?;
    assert!(kept.contains("written before") && kept.contains("new"), "{kept}");
    assert_eq!(host.stop().await?.code, Some(0));
    Ok(())
}
