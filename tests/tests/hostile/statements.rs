//! SQL as hostile input, through the door that guests have: each escape is refused in a query and in a batch, is logged,
//! and leaves the data and the component as they were. The backend's own suite has the complete list.

use std::time::{Duration, Instant};

use chassis_tests::{App, Host, component_file};
use serde_json::{Value, json};
use wasm_encoder::{ComponentSection as _, CustomSection};

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
    let app = App::new(manifest)?.settings("[sql]\ntimeout = \"1s\"\n")?.file("carrying.file", &component)?;
    let host = Host::start(&app).await?;
    let told = run(&host, "/batch", &["insert into notes (id, body) values (1, 'kept')"]).await?;
    assert!(told.get("ok").is_some(), "{told}");
    Ok((app, host))
}

async fn run(host: &Host, path: &str, texts: &[&str]) -> anyhow::Result<Value> {
    run_with(host, path, texts, &[]).await
}

async fn run_with(host: &Host, path: &str, texts: &[&str], params: &[&str]) -> anyhow::Result<Value> {
    let what = json!({ "database": "intruder", "texts": texts, "params": params });
    let response = host.post_json(path, &what).await?;
    anyhow::ensure!(response.status().is_success(), "{texts:?}: {}", response.status());
    Ok(response.json().await?)
}

/// What a guest tries, by the kinds of error that answer it. `Denied` is logged.
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

async fn refused(host: &Host, text: &str) -> anyhow::Result<[String; 2]> {
    let good = "insert into notes (id, body) values (50, 'lost')";
    let query = run(host, "/query", &[text]).await?;
    let batch = run(host, "/batch", &[good, text]).await?;
    let error = |told: &Value| told.get("error").and_then(Value::as_str).map(str::to_owned);
    let (Some(query), Some(batch)) = (error(&query), error(&batch)) else {
        anyhow::bail!("{text}: {query} {batch}");
    };
    Ok([query, batch])
}

async fn assert_untouched(host: &Host, after: &str) -> anyhow::Result<()> {
    let told = run(host, "/query", &["select id, body from notes order by id"]).await?;
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
        for error in refused(&host, text).await? {
            assert!(error.contains("Denied"), "{text}: {error}");
        }
        assert_untouched(&host, text).await?;
    }
    assert!(!std::path::Path::new(&other).exists(), "a guest has made a file");
    // Each is logged, in the query and in the batch.
    let expected = 2 * (DENIED.len() + with_files.len());
    let logged = || {
        let log = host.log();
        log.lines().filter(|line| line.contains("refused a statement") && line.contains("\"intruder\"")).count()
    };
    for _ in 0..100 {
        if logged() == expected {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("{} refusals of {expected} are logged", logged())
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
async fn what_is_no_single_complete_statement_is_refused() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    for text in MALFORMED {
        for error in refused(&host, text).await? {
            assert!(error.contains("Syntax") || error.contains("Denied"), "{text}: {error}");
        }
        assert_untouched(&host, text).await?;
    }
    for params in [&["one", "two"][..], &[]] {
        let told = run_with(&host, "/query", &["select $1"], params).await?;
        assert!(told["error"].as_str().is_some_and(|error| error.contains("Syntax")), "{params:?}: {told}");
    }
    let writes = run(&host, "/query", &["delete from notes"]).await?;
    assert!(writes["error"].as_str().is_some_and(|error| error.contains("ReadOnly")), "{writes}");
    let open = run(&host, "/batch", &["insert into children (id, note) values (1, 77)"]).await?;
    assert!(open["error"].as_str().is_some_and(|error| error.contains("ForeignKey")), "{open}");
    assert_untouched(&host, "all of them").await
}

#[tokio::test]
async fn an_endless_statement_times_out_and_the_component_lives() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    let endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";
    let endless_write = "insert into notes (body) with recursive n (i) as (select 1 union all select i + 1 from n) select 'x' from n where i < 0";
    for (path, text) in [("/query", endless), ("/batch", endless), ("/batch", endless_write)] {
        let begin = Instant::now();
        let neighbours = async {
            let mut answered = 0;
            while begin.elapsed() < Duration::from_millis(900) {
                assert_untouched(&host, "an endless statement beside it").await?;
                answered += 1;
            }
            anyhow::Ok(answered)
        };
        let texts = [text];
        let (told, neighbours) = futures::join!(run(&host, path, &texts), neighbours);
        let told = told?;
        assert!(told["error"].as_str().is_some_and(|error| error.contains("Timeout")), "{path} {text}: {told}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{path}: {:?}", begin.elapsed());
        assert!(neighbours? > 0, "{path}: nobody else was served");
        assert_untouched(&host, text).await?;
        let told = run(&host, "/batch", &["update notes set body = 'kept' where id = 1"]).await?;
        assert!(told.get("ok").is_some(), "{told}");
    }
    Ok(())
}
