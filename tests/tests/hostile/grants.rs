//! What a component tries to reach by the platform's interfaces without a grant is denied, and the log says so.

use std::time::{Duration, Instant};

use chassis_tests::{App, Host, checkout, component_file};
use serde_json::{Value, json};

use super::attempts::{Attempt, denied, message};

const OTHERS: &str = r#"
[variables]
password = { required = false, default = "hunter2", secret = true }
[[trigger.http]]
route = "/..."
component = "intruder"
[component.intruder]
source = "intruder.wasm"
sqlite_databases = ["intruder", "victim"]
key_value_stores = ["intruder", "victim"]
[component.intruder.tool.chassis]
publish = ["intruder.*"]
mail = { from = ["intruder@example.com"] }
[component.intruder.variables]
mine = "my own"
[[trigger.http]]
route = "/victim/..."
component = "victim"
[component.victim]
source = "intruder.wasm"
sqlite_databases = ["victim"]
key_value_stores = ["victim"]
[component.victim.variables]
key = "{{ password }}"
[component.victim.tool.chassis]
publish = ["victim.*"]
"#;

const INTRUDER: &str = "intruder";

async fn start() -> anyhow::Result<(App, Host)> {
    let app = App::new(OTHERS)?;
    let host = Host::start(&app).await?;
    Ok((app, host))
}

#[tokio::test]
async fn the_databases_and_stores_of_others() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    let own = json!({ "database": "intruder", "texts": ["select 1"] });
    Attempt::make(&host, "/query", &own).await?.succeeded();
    for path in ["/query", "/batch"] {
        // The second is listed by the intruder as well, which is Spin's way; the owner is another.
        for label in ["nobodys", "victim", "../victim", ""] {
            let what = json!({ "database": label, "texts": ["select 1"] });
            denied(&host, (INTRUDER, path), &what, (message::DATABASE, label)).await?;
        }
    }
    let what = json!({ "database": "victim", "event_type": "intruder.x" });
    denied(&host, (INTRUDER, "/publish-step"), &what, (message::DATABASE, "victim")).await?;
    for deed in ["get", "set", "delete", "increment", "swap", "list"] {
        let own = json!({ "store": "intruder", "deed": deed });
        Attempt::make(&host, "/key-value", &own).await?.succeeded();
        for label in ["nobodys", "victim", "../victim"] {
            let what = json!({ "store": label, "deed": deed });
            denied(&host, (INTRUDER, "/key-value"), &what, (message::STORE, label)).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_events_of_others() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    Attempt::make(&host, "/publish", &json!({ "event_type": "intruder.came" })).await?.succeeded();
    let what = json!({ "database": "intruder", "event_type": "intruder.came" });
    Attempt::make(&host, "/publish-step", &what).await?.succeeded();
    for event_type in ["victim.paid", "user.registered", "intruder", "intruder.", "Intruder.came", "*", ""] {
        for path in ["/publish", "/publish-step"] {
            let what = json!({ "database": "intruder", "event_type": event_type });
            denied(&host, (INTRUDER, path), &what, (message::EVENT, event_type)).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn mail_without_a_grant_or_in_the_name_of_others() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    let mail = |from: &str| json!({ "from": from, "to": "ada@example.com", "subject": "Hello" });
    Attempt::make(&host, "/mail", &mail("intruder@example.com")).await?.succeeded();
    for from in ["victim@example.com", "intruder@example.com.evil.test", "Ada <intruder@example.com>", ""] {
        denied(&host, (INTRUDER, "/mail"), &mail(from), (message::SENDER, from)).await?;
    }
    // Where no sender is given, the host's own is meant; that has to be granted, too.
    let nameless = json!({ "to": "ada@example.com", "subject": "Hello" });
    denied(&host, (INTRUDER, "/mail"), &nameless, (message::SENDER, "no-reply@localhost")).await?;
    let smuggled =
        json!({ "from": "intruder@example.com", "to": "ada@example.com", "subject": "Hi\r\nBcc: eve@example.com" });
    let smuggled = Attempt::make(&host, "/mail", &smuggled).await?;
    assert!(smuggled.error().contains("Invalid"), "{smuggled:?}");
    let mailbox = host.admin_json("/v1/mailbox").await?;
    assert_eq!(mailbox["items"].as_array().map(Vec::len), Some(1), "{mailbox}");

    let without = App::new(&OTHERS.replace("mail = { from = [\"intruder@example.com\"] }\n", ""))?;
    let host = Host::start(&without).await?;
    denied(&host, (INTRUDER, "/mail"), &mail("intruder@example.com"), (message::MAIL, "")).await
}

#[tokio::test]
async fn the_variables_of_others_do_not_exist_and_the_log_tells_who_asks_for_them() -> anyhow::Result<()> {
    let (_app, host) = start().await?;
    let ask = |name: &str, secret: bool| json!({ "name": name, "secret": secret });
    let own = Attempt::make(&host, "/config", &ask("mine", false)).await?;
    assert_eq!(own.told["ok"], "Some(\"my own\")");
    own.is_silent(&host).await?;
    let nothing = json!({ "ok": "None" });
    for secret in [true, false] {
        // The victim's own, and the one of the application that it is made of.
        for name in ["key", "password"] {
            let attempt = Attempt::make(&host, "/config", &ask(name, secret)).await?;
            assert_eq!(attempt.told, nothing, "{name}");
            attempt.is_logged(&host, INTRUDER, message::VARIABLE, name).await?;
        }
        // What nobody has is no secret, and nothing to be told of.
        let attempt = Attempt::make(&host, "/config", &ask("unheard_of", secret)).await?;
        assert_eq!(attempt.told, nothing);
        attempt.is_silent(&host).await?;
    }
    for name in ["Password", "../password", "chassis-delivery-token-of-victim", ""] {
        let attempt = Attempt::make(&host, "/config", &ask(name, true)).await?;
        assert!(attempt.error().contains("InvalidName"), "{name}: {attempt:?}");
        attempt.is_logged(&host, INTRUDER, message::VARIABLE_NAME, name).await?;
    }
    let shown = Attempt::make(&host, "/victim/config", &ask("key", false)).await?;
    assert!(shown.error().contains("InvalidName"), "{shown:?}");
    shown.is_logged(&host, "victim", message::SECRET, "key").await?;
    assert!(!host.log().contains("hunter2"), "a secret is in the log");
    Ok(())
}

#[tokio::test]
async fn who_is_refused_again_and_again_does_not_fill_the_log() -> anyhow::Result<()> {
    const LINES_PER_SECOND: u64 = 20;
    const TIMES: u64 = 5000;
    let limits = format!("[component.intruder.tool.chassis.limits]\nlog_lines = {LINES_PER_SECOND}\n");
    let app = App::new(&format!("{OTHERS}{limits}"))?;
    let host = Host::start(&app).await?;
    let begin = Instant::now();
    let what = json!({ "database": "x".repeat(100_000), "texts": ["select 1"], "times": TIMES });
    let attempt = Attempt::make(&host, "/query", &what).await?;
    assert!(attempt.error().contains("Denied"), "{attempt:?}");
    let seconds = begin.elapsed().as_secs() + 2;
    // How many were dropped is told with the first line of a later second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    denied(&host, (INTRUDER, "/query"), &json!({ "database": "late", "texts": [] }), (message::DATABASE, "late"))
        .await?;
    let log = host.log();
    let lines = || log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let refusals: Vec<Value> = lines().filter(|line| line["message"] == message::DATABASE).collect();
    let dropped: u64 = lines().filter_map(|line| line.get("dropped")?.as_u64()).sum();
    let logged = u64::try_from(refusals.len())?;
    assert_eq!(logged + dropped, TIMES + 1, "each is logged or counted");
    assert!(logged <= LINES_PER_SECOND * seconds + 1, "{logged} lines in {seconds} s");
    for line in refusals {
        assert!(line["name"].as_str().is_some_and(|name| name.len() <= 256), "{line}");
    }
    Ok(())
}

/// The shipped application, with another program in the place of one of its components.
fn shipped_with_intruder(component: &str, manifest: impl FnOnce(String) -> String) -> anyhow::Result<App> {
    let text = std::fs::read_to_string(checkout().join("spin.toml"))?;
    let mut app = App::verbatim(&manifest(text))?;
    for name in ["auth", "todos", "notifications"] {
        let source = if name == component { "intruder" } else { name };
        let bytes = std::fs::read(component_file(source)?)?;
        app = app.file(&format!("target/wasm32-wasip2/release/{name}.wasm"), &bytes)?;
    }
    Ok(app)
}

#[tokio::test]
async fn todos_asks_for_the_database_of_auth_in_the_shipped_application() -> anyhow::Result<()> {
    // The shipped manifest lists the database of auth, because Spin needs the entry: the owner is still auth.
    const LISTED: &str = "sqlite_databases = [\"todos\", \"auth\"]";
    let unchanged: fn(String) -> String = |text| text;
    let not_listed: fn(String) -> String = |text| text.replace(LISTED, "sqlite_databases = [\"todos\"]");
    let shipped = std::fs::read_to_string(checkout().join("spin.toml"))?;
    assert_eq!(shipped.matches(LISTED).count(), 1, "{shipped}");
    for manifest in [unchanged, not_listed] {
        let mut app = shipped_with_intruder("todos", manifest)?;
        let text = std::fs::read_to_string(app.path("spin.toml"))?;
        // A door for the test to ask through.
        app = app.file("spin.toml", text.replace("route = \"/todos/...\"", "route = \"/...\"").as_bytes())?;
        let host = Host::start(&app).await?;
        let own = json!({ "database": "todos", "texts": ["select 1"] });
        Attempt::make(&host, "/query", &own).await?.succeeded();
        for path in ["/query", "/batch"] {
            let what = json!({ "database": "auth", "texts": ["select * from users"] });
            denied(&host, ("todos", path), &what, (message::DATABASE, "auth")).await?;
        }
        let secret = Attempt::make(&host, "/config", &json!({ "name": "secret_key", "secret": true })).await?;
        assert_eq!(secret.told, json!({ "ok": "None" }), "the key of auth");
        secret.is_logged(&host, "todos", message::VARIABLE, "secret_key").await?;
        let what = json!({ "event_type": "user.registered" });
        denied(&host, ("todos", "/publish"), &what, (message::EVENT, "user.registered")).await?;
    }
    Ok(())
}
