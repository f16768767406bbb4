//! What a first visitor does, and what an operator sees of it.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::harness::{Exchange, PASSWORD, eventually, fresh_email, shared};

/// What `chassis <arguments> --state-dir ...` prints, as JSON.
async fn command(state_dir: &Path, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(chassis_tests::host_binary()?);
    let output = command.args(arguments).arg("--state-dir").arg(state_dir).output().await?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}: {error}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?}: {output:?}"))
}

fn named<'a>(items: &'a Value, member: &str, name: &str) -> anyhow::Result<&'a Value> {
    let mut items = items.as_array().context("no list")?.iter();
    items.find(|item| item[member] == name).with_context(|| format!("no {name}"))
}

#[tokio::test]
async fn from_the_registration_to_the_mail_about_a_todo() -> anyhow::Result<()> {
    let api = shared()?;
    let email = fresh_email();

    let registered = api.register(&email).answer().await?;
    assert_eq!((registered.status, registered.header("cache-control")), (201, "no-store"));
    let user = registered.json()?["user"].clone();
    let members: Vec<&str> = user.as_object().context("a user")?.keys().map(String::as_str).collect();
    assert_eq!(members, ["createdAt", "email", "firstName", "id", "isActive", "lastName", "roles", "updatedAt"]);
    assert!(user["id"].as_str().is_some_and(|id| id.starts_with("usr_")), "{user}");
    assert_eq!((&user["email"], &user["roles"], &user["isActive"]), (&json!(email), &json!(["user"]), &json!(true)));

    let welcome = api.mail(&email, "Welcome to Chassis, Ada").await?;
    assert!(welcome["text"].as_str().is_some_and(|text| text.contains("Hello Ada,")), "{welcome}");
    assert!(welcome["html"].as_str().is_some_and(|html| html.contains("<p>Hello Ada,</p>")), "{welcome}");
    assert_eq!((&welcome["to"], &welcome["copies"]), (&json!([email]), &json!(1)));

    let logged_in = api.login(&email, PASSWORD).answer().await?;
    assert_eq!((logged_in.status, logged_in.header("cache-control")), (200, "no-store"));
    let tokens = logged_in.json()?;
    assert_eq!((&tokens["tokenType"], &tokens["expiresIn"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(tokens["user"], user);
    let access = tokens["accessToken"].as_str().context("a token")?;
    assert_eq!(api.get("/api/v1/users/me").bearer_auth(access).expect(200).await?, user);

    let wanted = json!({ "title": "Buy milk", "description": "Two litres", "priority": "high" });
    let made = api.post("/api/v1/todos", &wanted).bearer_auth(access).expect(201).await?;
    let path = format!("/api/v1/todos/{}", made["id"].as_str().context("an id")?);
    let listed = api.get("/api/v1/todos").bearer_auth(access).expect(200).await?;
    assert_eq!(listed, json!({ "items": [made], "nextCursor": null }));

    let change = api.request(reqwest::Method::PATCH, &path).bearer_auth(access).header("if-match", "\"1\"");
    let changed = change.json(&json!({ "status": "done" })).expect(200).await?;
    assert_eq!(
        (&changed["status"], &changed["title"], &changed["version"]),
        (&json!("done"), &json!("Buy milk"), &json!(2))
    );
    api.request(reqwest::Method::DELETE, &path).bearer_auth(access).expect(204).await?;
    api.get(&path).bearer_auth(access).expect(404).await?;

    let told = api.mail(&email, "New todo: Buy milk").await?;
    for part in [&told["text"], &told["html"]] {
        let part = part.as_str().context("both forms")?;
        assert!(part.contains("Buy milk") && part.contains("Priority: high"), "{part}");
        assert!(!part.contains("Two litres"), "{part}");
    }
    assert_eq!(api.mails_to(&email).await?.len(), 2, "a welcome, and one mail about the todo");
    Ok(())
}

#[tokio::test]
async fn the_command_line_shows_mails() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let mail = api.mail(&user.email, "Welcome").await?;
    let listed = command(api.state_dir(), &["mail", "--json"]).await?;
    let shown = named(&listed, "id", mail["id"].as_str().context("an id")?)?;
    for member in ["to", "from", "subject", "messageId", "receivedAt", "copies"] {
        assert_eq!(shown[member], mail[member], "{member}");
    }
    let whole = command(api.state_dir(), &["mail", mail["id"].as_str().context("an id")?, "--json"]).await?;
    assert_eq!(whole, mail);
    Ok(())
}

#[tokio::test]
async fn the_command_line_shows_components_and_queues() -> anyhow::Result<()> {
    let api = shared()?;
    let components = command(api.state_dir(), &["ps", "--json"]).await?;
    for name in ["auth", "todos", "notifications"] {
        let component = named(&components, "name", name)?;
        assert!(component["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{component}");
    }
    assert_eq!(named(&components, "name", "auth")?["provides"], json!(["chassis:auth/identity@0.1.0"]));
    let queues = command(api.state_dir(), &["queue", "--json"]).await?;
    let queue = named(&queues, "queue", "notifications")?;
    for count in ["ready", "delayed", "leased", "dead"] {
        assert!(queue[count].is_u64(), "{queue}");
    }
    assert!(command(api.state_dir(), &["queue", "dead", "--json"]).await?.is_array());
    Ok(())
}

#[tokio::test]
async fn the_command_line_says_that_no_host_runs() -> anyhow::Result<()> {
    let nothing = tempfile::tempdir()?;
    for arguments in [&["ps", "--json"][..], &["mail"], &["queue"]] {
        let error = command(nothing.path(), arguments).await.err().context("it cannot succeed")?.to_string();
        assert!(error.contains("exit status: 1"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn health_tells_of_every_component() -> anyhow::Result<()> {
    const COMPONENTS: [&str; 3] = ["auth", "todos", "notifications"];
    let api = shared()?;
    // Each component is asked in the background, for the first time when the host begins.
    let health = eventually("health of all components", async || {
        let health = api.get("/health").answer().await?.json()?;
        let is_known = |name: &&str| health["services"][name]["status"] != "unknown";
        Ok(COMPONENTS.iter().all(is_known).then_some(health))
    })
    .await?;
    assert_eq!(health["status"], "healthy", "{health}");
    for name in COMPONENTS {
        assert_eq!(health["services"][name]["status"], "healthy", "{health}");
        assert_eq!(health["services"][name]["dependencies"]["database"], "healthy", "{health}");
    }
    assert_eq!(api.get("/health/live").answer().await?.status, 200);
    assert_eq!(api.get("/health/ready").answer().await?.status, 200);
    Ok(())
}
