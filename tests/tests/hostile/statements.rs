//! SQL as hostile input, through the door that guests have: each escape is refused in a query and in a batch, is logged,
//! and leaves the data and the component as they were. The backend's own suite has the complete list.

use chassis_tests::{App, Host, component_file};
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use wasm_encoder::{ComponentSection as _, CustomSection};

use super::attempts::{Attempt, message};

const SCHEMA: &str = "create table notes (id integer primary key, body text not null) strict;
    create table children (
        id integer primary key,
        note integer references notes (id) deferrable initially deferred
    ) strict;";

/// The intruder, with a database of its own, beside another component's.
async fn start() -> anyhow::Result<(App, Host)> {
    let manifest = r#"
[[trigger.http]]
route = "/..."
component = "intruder"
[component.intruder]
source = "carrying.file"
sqlite_databases = ["intruder"]
[component.intruder.tool.chassis]
publish = ["intruder.*"]
limits = { log_lines = 10000 }
[[trigger.http]]
route = "/victim/..."
component = "victim"
[component.victim]
source = "carrying.file"
sqlite_databases = ["victim"]
"#;
    let mut component = std::fs::read(component_file("intruder")?)?;
    let migrations = serde_json::to_vec(&json!([{ "name": "0001_notes.sql", "sql": SCHEMA }]))?;
    CustomSection { name: "chassis:migrations".into(), data: migrations.into() }.append_to_component(&mut component);
    let app = App::new(manifest)?.file("carrying.file", &component)?;
    // Far more than it takes to serve others beside a statement without end.
    let app = app.settings("[sql]\ntimeout = \"10s\"\n")?;
    let host = Host::start(&app).await?;
    run(&host, "/batch", &["insert into notes (id, body) values (1, 'kept')"]).await?.succeeded();
    Ok((app, host))
}

async fn run(host: &Host, path: &str, texts: &[&str]) -> anyhow::Result<Attempt> {
    run_with(host, path, texts, &[]).await
}

async fn run_with(host: &Host, path: &str, texts: &[&str], params: &[&str]) -> anyhow::Result<Attempt> {
    Attempt::make(host, path, &json!({ "database": "intruder", "texts": texts, "params": params })).await
}

/// What a guest tries, by the kinds of error that answer it.
const DENIED: &[&str] = &[
    "detach main",
    "vacuum",
    "pragma synchronous = off",
    "pragma foreign_keys = off",
    "pragma writable_schema = on",
    "select * from pragma_table_info('notes')",
    "begin",
    "commit",
    "end",
    "rollback",
    "savepoint mine",
    "release batch",
    "insert or rollback into notes (id, body) values (1, 'x')",
    "update or rollback notes set id = 1",
    "select load_extension('libc.so.6')",
    "select * from chassis_outbox",
    "insert into chassis_outbox (id, envelope) values ('x', 'x')",
    "delete from chassis_migrations",
    "select * from sqlite_schema",
    "create table mine (id integer)",
    "create temp table mine (id integer)",
    "create trigger mine after insert on notes begin delete from notes; end",
    "create virtual table mine using fts5(body)",
    "alter table notes add column more text",
    "drop table notes",
    "explain select * from notes",
];

/// Refused because it is no single statement with all its parameters.
const MALFORMED: &[&str] = &[
    "select 1; delete from notes",
    "insert into notes (id, body) values (7, 'x'); commit",
    "select $0",
    "select $1",
    "select ?",
    "select :name",
    "",
    ";",
    "-- nothing",
];

/// The statement is refused in a query, and in a batch behind a good one, with one of these errors; and logged.
async fn refused(host: &Host, text: &str, errors: &[&str]) -> anyhow::Result<()> {
    let good = "insert into notes (id, body) values (50, 'lost')";
    for (path, texts) in [("/query", &[text][..]), ("/batch", &[good, text])] {
        let attempt = run(host, path, texts).await?;
        assert!(errors.iter().any(|error| attempt.error().contains(error)), "{text}: {attempt:?}");
        attempt.is_logged(host, "intruder", message::STATEMENT, "intruder").await?;
    }
    assert_untouched(host, text).await
}

async fn assert_untouched(host: &Host, after: &str) -> anyhow::Result<()> {
    let Attempt { told, .. } = run(host, "/query", &["select id, body from notes order by id"]).await?;
    let ok = told.get("ok").and_then(Value::as_str).unwrap_or_default();
    assert!(ok.contains("rows: [[") && ok.contains("kept") && !ok.contains("], ["), "after {after}: {told}");
    Ok(())
}

#[tokio::test]
async fn every_way_out_of_the_database_is_denied_and_logged() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    let other = host.state_dir().join("other.db").display().to_string();
    let victim = find_database(host.state_dir(), "victim")?;
    let with_files =
        [format!("attach '{victim}' as other"), format!("vacuum into '{other}'"), format!("attach '{other}' as x")];
    for text in with_files.iter().map(String::as_str).chain(DENIED.iter().copied()) {
        refused(&host, text, &["Denied"]).await?;
    }
    assert!(!std::path::Path::new(&other).exists(), "a guest has made a file");
    Ok(())
}

#[tokio::test]
async fn requests_that_share_an_instance_are_told_apart() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    let (host, texts) = (&host, ["pragma synchronous = off", "select 1; select 2", "select 1"]);
    let attempts = (0..60).map(|number| async move {
        let text = texts[number % texts.len()];
        anyhow::Ok((text, run(host, "/query", &[text]).await?))
    });
    for attempt in join_all(attempts).await {
        // Each has waited for the database, and others have run in between.
        match attempt? {
            ("select 1", good) => {
                good.succeeded();
                good.is_silent(host).await?;
            }
            (_, refused) => refused.is_logged(host, "intruder", message::STATEMENT, "intruder").await?,
        }
    }
    Ok(())
}

/// The file that a label's rows are in.
fn find_database(folder: &std::path::Path, label: &str) -> anyhow::Result<String> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Ok(found) = find_database(&path, label) {
                return Ok(found);
            }
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(label)) {
            return Ok(path.display().to_string());
        }
    }
    anyhow::bail!("no file for {label} below {}", folder.display())
}

#[tokio::test]
async fn what_is_no_single_complete_statement_is_refused_and_logged() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    for text in MALFORMED {
        refused(&host, text, &["Syntax", "Denied"]).await?;
    }
    for params in [&["one", "two"][..], &[]] {
        let attempt = run_with(&host, "/query", &["select $1"], params).await?;
        assert!(attempt.error().contains("Syntax"), "{params:?}: {attempt:?}");
        attempt.is_logged(&host, "intruder", message::STATEMENT, "intruder").await?;
    }
    let writes = run(&host, "/query", &["delete from notes"]).await?;
    assert!(writes.error().contains("ReadOnly"), "{writes:?}");
    writes.is_logged(&host, "intruder", message::STATEMENT, "intruder").await?;
    // What the data does not allow is the component's own business.
    let open = run(&host, "/batch", &["insert into children (id, note) values (1, 77)"]).await?;
    assert!(open.error().contains("ForeignKey"), "{open:?}");
    open.is_silent(&host).await?;
    assert_untouched(&host, "all of them").await
}

/// Connections that read from a database at a time (`sql.readers`).
const READERS: u64 = 4;
/// Times that another component writes and reads before statements without end are ended.
const ANSWERS: usize = 20;

#[tokio::test]
async fn endless_statements_time_out_and_neither_their_component_nor_another_is_harmed() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    let endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";
    let endless_write = "insert into notes (body) with recursive n (i) as (select 1 union all select i + 1 from n) select 'x' from n where i < 0";
    // As many as run at a time: each has a reader, and there is one writer.
    for (path, text, count) in [("/query", endless, READERS), ("/batch", endless, 1), ("/batch", endless_write, 1)] {
        let texts = [text];
        let mut running: FuturesUnordered<_> = (0..count).map(|_| run(&host, path, &texts)).collect();
        let beside = async {
            host.await_component("intruder", |intruder| intruder["running"].as_u64() >= Some(count)).await?;
            for _ in 0..ANSWERS {
                victim_is_served(&host).await?;
            }
            if count < READERS {
                // The component's own requests find a reader.
                assert_untouched(&host, "an endless batch beside it").await?;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            biased;
            ended = running.next() => anyhow::bail!("{path} {text}: ended before others were served: {ended:?}"),
            served = beside => served?,
        }
        for ended in running.try_collect::<Vec<_>>().await? {
            assert!(ended.error().contains("Timeout"), "{path} {text}: {ended:?}");
            ended.is_logged(&host, "intruder", message::ENDLESS, "intruder").await?;
        }
        assert_untouched(&host, text).await?;
        run(&host, "/batch", &["update notes set body = 'kept' where id = 1"]).await?.succeeded();
    }
    Ok(())
}

/// Another component writes to its database and reads from it.
async fn victim_is_served(host: &Host) -> anyhow::Result<()> {
    let write = "insert into notes (id, body) values (1, 'mine') on conflict (id) do nothing";
    for (path, text) in [("/victim/batch", write), ("/victim/query", "select id, body from notes")] {
        let attempt = Attempt::make(host, path, &json!({ "database": "victim", "texts": [text] })).await?;
        attempt.succeeded();
    }
    Ok(())
}
