//! Events: what they say, where they end when nobody can use them, and how they come back.

use std::collections::BTreeMap;
use std::net::TcpListener;

use anyhow::Context;
use chassis_tests::App;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Api, Exchange, User, eventually, start};

/// Everything that happens is told to `notifications`, which refuses what it does not know.
fn curious() -> anyhow::Result<App> {
    let known = "subscribe = [\"user.registered\", \"todo.created\"]";
    App::shipped_with(|manifest| manifest.replace(known, "subscribe = [\"user.*\", \"todo.*\"]"))
}

/// Dead letters by the type of their event, once there are so many.
async fn dead_letters(api: &Api, count: usize) -> anyhow::Result<BTreeMap<String, Value>> {
    let letters = eventually("dead letters", async || {
        let letters = api.admin_list("/v1/dead-letters").await?;
        Ok((letters.len() >= count).then_some(letters))
    })
    .await?;
    assert_eq!(letters.len(), count, "{letters:?}");
    let kind = |letter: &Value| letter["event"]["type"].as_str().unwrap_or_default().to_owned();
    Ok(letters.into_iter().map(|letter| (kind(&letter), letter)).collect())
}

/// A todo made, changed and deleted.
async fn life_of_a_todo(api: &Api, user: &User) -> anyhow::Result<Value> {
    let wanted = json!({ "title": "Buy milk", "tags": ["shop"] });
    let todo = api.post("/api/v1/todos", &wanted).bearer_auth(&user.access).expect(201).await?;
    let path = format!("/api/v1/todos/{}", todo["id"].as_str().context("an id")?);
    let change = api.request(Method::PATCH, &path).bearer_auth(&user.access).header("if-match", "*");
    change.json(&json!({ "status": "done" })).expect(200).await?;
    api.request(Method::DELETE, &path).bearer_auth(&user.access).expect(204).await?;
    Ok(todo)
}

fn says(letter: &Value, source: &str, subject: &Value) -> anyhow::Result<Value> {
    let event = &letter["event"];
    let source = format!("/components/{source}");
    assert_eq!((&event["source"], &event["subject"]), (&json!(source), subject), "{letter}");
    assert_eq!((&letter["queue"], &letter["attempts"]), (&json!("notifications"), &json!(1)), "{letter}");
    for member in ["id", "time"] {
        assert!(event[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {letter}");
    }
    assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
    Ok(event["data"].clone())
}

fn members(data: &Value) -> Vec<&str> {
    data.as_object().into_iter().flat_map(|members| members.keys()).map(String::as_str).collect()
}

/// Mail goes nowhere, and is tried once.
fn outage() -> anyhow::Result<Vec<(&'static str, String)>> {
    // A port that was free a moment ago, and that nobody listens at.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok(vec![
        ("CHASSIS_MAIL_TRANSPORT", "smtp".to_owned()),
        ("CHASSIS_MAIL_SMTP_HOST", "127.0.0.1".to_owned()),
        ("CHASSIS_MAIL_SMTP_PORT", port.to_string()),
        ("CHASSIS_MAIL_SMTP_TLS", "none".to_owned()),
        ("CHASSIS_MESSAGING_ATTEMPTS", "1".to_owned()),
    ])
}

fn check_letters(letters: &BTreeMap<String, Value>, user: &User, todo: &Value) -> anyhow::Result<()> {
    let letter = |name: &str| letters.get(name).with_context(|| format!("no {name}: {letters:?}"));
    let registered = says(letter("user.registered")?, "auth", &json!(user.id))?;
    assert_eq!(members(&registered), ["email", "firstName", "lastName", "timestamp", "userId"]);
    assert_eq!((&registered["userId"], &registered["email"]), (&json!(user.id), &json!(user.email)));
    assert_eq!((&registered["firstName"], &registered["lastName"]), (&json!("Ada"), &json!("Lovelace")));
    let login = says(letter("user.login")?, "auth", &json!(user.id))?;
    assert_eq!(members(&login), ["email", "timestamp", "userId"]);
    assert_eq!((&login["userId"], &login["email"]), (&json!(user.id), &json!(user.email)));
    for (name, status, version) in
        [("todo.created", "open", 1), ("todo.updated", "done", 2), ("todo.deleted", "done", 2)]
    {
        let data = says(letter(name)?, "todos", &todo["id"])?;
        assert_eq!((&data["userId"], &data["id"]), (&json!(user.id), &todo["id"]), "{name}");
        assert_eq!((&data["title"], &data["tags"]), (&todo["title"], &todo["tags"]), "{name}");
        assert_eq!((&data["status"], &data["version"]), (&json!(status), &json!(version)), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn events_say_what_happened_outlast_an_outage_of_mail_and_are_replayed() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let state = state.path().join("state");
    let environment = outage()?;
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let host = start(&curious()?, &state, &environment).await?;
    let api = Api::of(&host)?;
    let user = api.somebody().await?;
    let todo = life_of_a_todo(&api, &user).await?;
    let letters = dead_letters(&api, 5).await?;
    check_letters(&letters, &user, &todo)?;
    assert_eq!(host.stop().await?.code, Some(0));

    // The outage is over. What was given up is put back, one by one, and arrives once.
    let host = start(&App::shipped()?, &state, &[]).await?;
    let api = Api::of(&host)?;
    assert_eq!(dead_letters(&api, 5).await?, letters, "they outlive the host");
    for (name, subject) in [("user.registered", "Welcome"), ("todo.created", "New todo: Buy milk")] {
        let letter = letters.get(name).context("a letter")?;
        let replay = format!("/v1/dead-letters/{}/replay", letter["id"].as_str().context("an id")?);
        api.admin(Method::POST, &replay).expect(204).await?;
        api.admin(Method::POST, &replay).expect(404).await?;
        let mail = api.mail(&user.email, subject).await?;
        let id = letter["event"]["id"].as_str().context("an id")?;
        assert!(mail["messageId"].as_str().is_some_and(|message| message.contains(id)), "{mail}");
        assert_eq!(mail["copies"], 1);
    }
    api.quiet().await?;
    assert_eq!(api.mails_to(&user.email).await?.len(), 2);
    assert_eq!(dead_letters(&api, 3).await?.keys().collect::<Vec<_>>(), ["todo.deleted", "todo.updated", "user.login"]);
    Ok(())
}
