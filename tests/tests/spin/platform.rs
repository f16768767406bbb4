//! The adapter by way of a guest that asks for all that the platform has, also for what it must not get.

use serde_json::{Value, json};

use crate::host::{Databases, Grants, Running, guest};

struct Intruder {
    databases: Databases,
    running: Running,
}

impl Intruder {
    async fn start(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let databases = Databases::new(&["mine", "other"])?;
        for label in ["mine", "other"] {
            databases.open(label)?.execute_batch("create table t (a integer primary key, b text unique) strict")?;
        }
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let grants = Grants { variables, stores: vec!["mine".to_owned()], ..databases.grants(&["mine"]) };
        let running = Running::start(&guest("intruder")?, grants).await?;
        Ok(Self { databases, running })
    }

    /// What it is told: by `ok` or by `error`.
    async fn told(&self, path: &str, what: &Value) -> anyhow::Result<(bool, String)> {
        let told = self.running.post(path, what).await?.expect(200)?;
        let text = |key: &str| told.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(match text("ok") {
            Some(ok) => (true, ok),
            None => (false, text("error").unwrap_or_default()),
        })
    }

    async fn sql(&self, path: &str, texts: &[&str]) -> anyhow::Result<(bool, String)> {
        self.told(path, &json!({ "database": "mine", "texts": texts })).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_through_the_component_is_kept_whole_or_not_at_all() -> anyhow::Result<()> {
    let it = Intruder::start(&[]).await?;
    let count = || it.databases.count("mine", "select count(*) from t");
    let (kept, told) = it.sql("/batch", &["insert into t values (1, 'a')", "update t set b = 'b'"]).await?;
    assert!(kept, "{told}");
    assert_eq!(count()?, 1);
    for last in ["insert into t (b) values ('b')", "insert into t values ('x', 'y')", "insert into nowhere values (1)"]
    {
        let (kept, told) = it.sql("/batch", &["delete from t", "insert into t values (7, 'b')", last]).await?;
        assert!(!kept, "{told}");
        assert_eq!(it.databases.count("mine", "select a from t")?, 1, "{last}");
    }
    let (_, told) = it.sql("/batch", &["insert into t (b) values ('b')"]).await?;
    assert!(told.contains("Unique") && told.contains("\"t\"") && told.contains("[\"b\"]"), "{told}");
    let (ok, told) = it.sql("/query", &["select a, b from t"]).await?;
    assert!(ok && told.contains("Integer(1)") && told.contains("Text(\"b\")"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_go_by_their_numbers() -> anyhow::Result<()> {
    let it = Intruder::start(&[]).await?;
    let what = json!({ "database": "mine", "texts": ["select $2, '$1', $1 -- $3"], "params": ["one", "two"] });
    let (ok, told) = it.told("/query", &what).await?;
    assert!(ok && told.contains("[Value::Text(\"two\"), Value::Text(\"$1\"), Value::Text(\"one\")]"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn escapes_are_denied_and_change_nothing() -> anyhow::Result<()> {
    let it = Intruder::start(&[]).await?;
    it.sql("/batch", &["insert into t values (1, 'a')"]).await?;
    let path = it.databases.path("other");
    let (attach, copy) = (format!("attach '{}' as other", path.display()), "vacuum into 'copy.db'".to_owned());
    for text in [attach.as_str(), &copy, "commit", "rollback", "pragma foreign_keys = off", "drop table t"] {
        for path in ["/query", "/batch"] {
            let (ok, told) = it.sql(path, &[text]).await?;
            assert!(!ok && told.contains("Denied"), "{path} {text}: {told}");
        }
    }
    let (ok, told) = it.sql("/batch", &["delete from t", "commit", "insert into nowhere values (1)"]).await?;
    assert!(!ok, "{told}");
    let (ok, told) = it.sql("/batch", &["insert or rollback into t values (1, 'a')"]).await?;
    assert!(!ok && told.contains("Denied"), "{told}");
    let (ok, told) = it.sql("/query", &["delete from t"]).await?;
    assert!(!ok && told.contains("ReadOnly"), "{told}");
    assert_eq!(it.databases.count("mine", "select count(*) from t")?, 1);
    for label in ["other", "nobodys", ""] {
        let (ok, told) = it.told("/query", &json!({ "database": label, "texts": ["select 1"] })).await?;
        assert!(!ok && told.contains("Denied"), "{label}: {told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_off() -> anyhow::Result<()> {
    let it = Intruder::start(&[]).await?;
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n limit 20000) select i from n";
    for path in ["/query", "/batch"] {
        let (ok, told) = it.sql(path, &[endless]).await?;
        assert!(!ok && told.contains("TooLarge"), "{path}: {told}");
    }
    let (ok, told) = it.sql("/batch", &["insert into t values (1, 'a')"]).await?;
    assert!(ok, "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_outside_of_a_batch_need_to_be_told_where() -> anyhow::Result<()> {
    let event = json!({ "event_type": "thing.done" });
    let it = Intruder::start(&[]).await?;
    let (ok, told) = it.told("/publish", &event).await?;
    assert!(!ok && told.contains("outbox_database"), "{told}");

    let it = Intruder::start(&[("outbox_database", "mine")]).await?;
    let (ok, told) = it.told("/publish", &event).await?;
    assert!(ok, "{told}");
    let (ok, _) = it.told("/publish-step", &json!({ "database": "mine", "event_type": "thing.again" })).await?;
    assert!(ok);
    let events = it.databases.events("mine")?;
    assert_eq!(events.len(), 2);
    assert!(told.contains(events[0]["id"].as_str().unwrap_or("none")), "{told}");
    assert_eq!((&events[0]["event_type"], &events[1]["event_type"]), (&json!("thing.done"), &json!("thing.again")));
    let (ok, told) = it.told("/publish", &json!({ "event_type": "no spaces" })).await?;
    assert!(!ok && told.contains("Invalid"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_keeps_all_that_is_said_of_it() -> anyhow::Result<()> {
    let it = Intruder::start(&[("outbox_database", "mine")]).await?;
    let event = json!({ "event_type": "thing.done" });
    for _ in 0..2 {
        let (ok, told) = it.told("/publish-by-kit", &event).await?;
        assert!(ok, "{told}");
    }
    let events = it.databases.events("mine")?;
    assert_eq!(events.len(), 2, "its key is kept, and not looked at");
    for event in &events {
        let expected = json!({ "event_type": "thing.done", "subject": "thing_1", "data": "{\"n\":1}", "priority": 9,
            "dedup_key": "a key", "source": "/components/mine" });
        for (member, value) in expected.as_object().into_iter().flatten() {
            assert_eq!(&event[member], value, "{member}: {event}");
        }
    }
    let late = "select count(*) from chassis_outbox where round(86400 * (julianday(json_extract(envelope, '$.not_before')) \
        - julianday(json_extract(envelope, '$.time')))) = 60";
    assert_eq!(it.databases.count("mine", late)?, 2);
    let (ok, told) = it.told("/publish-by-kit", &json!({ "event_type": "no spaces" })).await?;
    assert!(!ok && told.contains("Internal") && told.contains("publishing failed"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_values() -> anyhow::Result<()> {
    let it = Intruder::start(&[]).await?;
    for (deed, expected) in [
        ("get", "None"),
        ("increment", "1"),
        ("increment", "2"),
        ("swap", "Stale"),
        ("delete", "true"),
        ("delete", "false"),
        ("swap", "Swapped"),
        ("increment", "8"),
        ("list", "keys: [\"key\"], cursor: None"),
        ("set", "true"),
        ("get", "[55]"),
    ] {
        let (ok, told) = it.told("/key-value", &json!({ "store": "mine", "deed": deed })).await?;
        assert!(ok && told.contains(expected), "{deed}: {told}");
    }
    let (ok, told) = it.told("/key-value", &json!({ "store": "other", "deed": "get" })).await?;
    assert!(!ok && told.contains("Denied"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_those_of_the_manifest() -> anyhow::Result<()> {
    let it = Intruder::start(&[("mine", "my own")]).await?;
    for secret in [true, false] {
        for (name, expected) in [("mine", "Some(\"my own\")"), ("another", "None")] {
            let told = it.told("/config", &json!({ "name": name, "secret": secret })).await?;
            assert_eq!(told, (true, expected.to_owned()));
        }
        let (ok, told) = it.told("/config", &json!({ "name": "No-Name", "secret": secret })).await?;
        assert!(!ok && told.contains("InvalidName"), "{told}");
    }
    let told = it.told("/config", &json!({ "name": "chassis-delivery-token", "secret": true })).await?;
    assert_eq!(told, (true, "None".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_refused_for_good() -> anyhow::Result<()> {
    let it = Intruder::start(&[]).await?;
    let (ok, told) = it.told("/mail", &json!({ "to": "ada@example.com", "subject": "Hello" })).await?;
    assert!(!ok && told.contains("Permanent"), "{told}");
    Ok(())
}
