//! What a component tries to reach by the platform's interfaces without a grant is denied, and the log says so.

use std::time::Duration;

use chassis_tests::{App, Host, checkout, component_file};
use serde_json::{Value, json};

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
route = "/victim"
component = "victim"
[component.victim]
source = "intruder.wasm"
sqlite_databases = ["victim"]
key_value_stores = ["victim"]
[component.victim.variables]
password = "{{ password }}"
[component.victim.tool.chassis]
publish = ["victim.*"]
"#;

/// What the host says to an attempt.
async fn attempt(host: &Host, path: &str, what: &Value) -> anyhow::Result<Value> {
    let response = host.post_json(path, what).await?;
    anyhow::ensure!(response.status().is_success(), "{path}: {}", response.status());
    Ok(response.json().await?)
}

/// The attempt is denied, and a line of the log holds all these words.
async fn denied(host: &Host, path: &str, what: &Value, words: &[&str]) -> anyhow::Result<()> {
    let told = attempt(host, path, what).await?;
    let error = told.get("error").and_then(Value::as_str).unwrap_or_default();
    assert!(error.contains("Denied"), "{path} {what}: {told}");
    // The line is written before the answer, and read by this program a moment later.
    for _ in 0..100 {
        let log = host.log();
        if log.lines().any(|line| line.contains("WARN") && words.iter().all(|word| line.contains(word))) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("no line of the log has {words:?}:\n{}", host.log())
}

fn succeeded(told: &Value) {
    assert!(told.get("ok").is_some(), "{told}");
}

#[tokio::test]
async fn the_databases_and_stores_of_others() -> anyhow::Result<()> {
    let host_app = App::new(OTHERS)?;
    let host = Host::start(&host_app).await?;
    succeeded(&attempt(&host, "/query", &json!({ "database": "intruder", "texts": ["select 1"] })).await?);
    for path in ["/query", "/batch"] {
        // The second is listed by the intruder as well, which is Spin's way; the owner is another.
        for label in ["nobodys", "victim", "../victim", ""] {
            let what = json!({ "database": label, "texts": ["select 1"] });
            denied(&host, path, &what, &["\"intruder\"", &format!("\"{label}\""), "refused a database"]).await?;
        }
    }
    let what = json!({ "database": "victim", "event_type": "intruder.x" });
    denied(&host, "/publish-step", &what, &["\"intruder\"", "\"victim\"", "refused a database"]).await?;
    for deed in ["get", "set", "delete", "increment", "swap", "list"] {
        succeeded(&attempt(&host, "/key-value", &json!({ "store": "intruder", "deed": deed })).await?);
        for label in ["nobodys", "victim", "../victim"] {
            let what = json!({ "store": label, "deed": deed });
            denied(&host, "/key-value", &what, &["\"intruder\"", &format!("\"{label}\""), "refused a key-value"])
                .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_events_of_others() -> anyhow::Result<()> {
    let app = App::new(OTHERS)?;
    let host = Host::start(&app).await?;
    succeeded(&attempt(&host, "/publish", &json!({ "event_type": "intruder.came" })).await?);
    let what = json!({ "database": "intruder", "event_type": "intruder.came" });
    succeeded(&attempt(&host, "/publish-step", &what).await?);
    for event_type in ["victim.paid", "user.registered", "intruder", "intruder.", "Intruder.came", "*", ""] {
        for path in ["/publish", "/publish-step"] {
            let what = json!({ "database": "intruder", "event_type": event_type });
            denied(&host, path, &what, &["\"intruder\"", "event_type", "refused to publish"]).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn mail_without_a_grant_or_in_the_name_of_others() -> anyhow::Result<()> {
    let app = App::new(OTHERS)?;
    let host = Host::start(&app).await?;
    let mail = |from: &str| json!({ "from": from, "to": "ada@example.com", "subject": "Hello" });
    succeeded(&attempt(&host, "/mail", &mail("intruder@example.com")).await?);
    for from in ["victim@example.com", "intruder@example.com.evil.test", "Ada <intruder@example.com>", ""] {
        denied(&host, "/mail", &mail(from), &["\"intruder\"", "refused to send mail from an address"]).await?;
    }
    // Where no sender is given, the host's own is meant; that has to be granted, too.
    let nameless = json!({ "to": "ada@example.com", "subject": "Hello" });
    denied(&host, "/mail", &nameless, &["\"intruder\"", "refused to send mail from an address"]).await?;
    let smuggled =
        json!({ "from": "intruder@example.com", "to": "ada@example.com", "subject": "Hi\r\nBcc: eve@example.com" });
    let told = attempt(&host, "/mail", &smuggled).await?;
    assert!(told["error"].as_str().is_some_and(|error| error.contains("Invalid")), "{told}");
    let mailbox = host.admin_json("/v1/mailbox").await?;
    assert_eq!(mailbox["items"].as_array().map(Vec::len), Some(1), "{mailbox}");

    let without = App::new(&OTHERS.replace("mail = { from = [\"intruder@example.com\"] }\n", ""))?;
    let host = Host::start(&without).await?;
    let words = ["\"intruder\"", "refused to send mail for a component that was not granted it"];
    denied(&host, "/mail", &mail("intruder@example.com"), &words).await
}

#[tokio::test]
async fn the_variables_of_others_do_not_exist() -> anyhow::Result<()> {
    let app = App::new(OTHERS)?;
    let host = Host::start(&app).await?;
    let ask = |name: &str, secret: bool| json!({ "name": name, "secret": secret });
    let own = attempt(&host, "/config", &ask("mine", false)).await?;
    assert_eq!(own["ok"], "Some(\"my own\")");
    for secret in [true, false] {
        let told = attempt(&host, "/config", &ask("password", secret)).await?;
        assert_eq!(told, json!({ "ok": "None" }));
    }
    for name in ["Password", "../password", "chassis_delivery_token", ""] {
        let told = attempt(&host, "/config", &ask(name, true)).await?;
        assert!(!told.to_string().contains("hunter2") && !told.to_string().contains("Some"), "{name}: {told}");
    }
    assert!(!host.log().contains("hunter2"), "a secret is in the log");
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
    let unchanged: fn(String) -> String = |text| text;
    // As it would stand there if Spin needed the entry: the owner is still auth.
    let listed: fn(String) -> String =
        |text| text.replace("sqlite_databases = [\"todos\"]", "sqlite_databases = [\"todos\", \"auth\"]");
    for manifest in [unchanged, listed] {
        let mut app = shipped_with_intruder("todos", manifest)?;
        let text = std::fs::read_to_string(app.path("spin.toml"))?;
        // A door for the test to ask through.
        app = app.file("spin.toml", text.replace("route = \"/todos/...\"", "route = \"/...\"").as_bytes())?;
        let host = Host::start(&app).await?;
        succeeded(&attempt(&host, "/query", &json!({ "database": "todos", "texts": ["select 1"] })).await?);
        for path in ["/query", "/batch"] {
            let what = json!({ "database": "auth", "texts": ["select * from users"] });
            denied(&host, path, &what, &["\"todos\"", "\"auth\"", "refused a database"]).await?;
        }
        let told = attempt(&host, "/config", &json!({ "name": "secret_key", "secret": true })).await?;
        assert_eq!(told, json!({ "ok": "None" }), "the key of auth");
        denied(&host, "/publish", &json!({ "event_type": "user.registered" }), &["\"todos\"", "refused to publish"])
            .await?;
    }
    Ok(())
}
