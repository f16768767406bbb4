//! An outage of mail that outlasts every try: what was given up is put back by hand once the server is well, and each
//! event has had one Message-ID throughout. The mail server is a real one, with STARTTLS and a password.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use chassis_tests::{App, Host, host_binary};
use reqwest::Method;
use serde_json::{Value, json};

use super::certificates::Certified;
use super::harness::{Api, Exchange, eventually, start};
use super::smtp_server::{Encryption, Fault, Kind, Mechanism, PASSWORD, Received, Server, Stage, USER};

/// Tries of one delivery.
const ATTEMPTS: usize = 3;
/// Events that are to be told by mail: a registration and a todo.
const EVENTS: usize = 2;

/// A mail server that goes and comes back, always at the same port.
struct Post {
    port: u16,
    certified: Certified,
    /// What it has ever taken, though it may not have been able to say so.
    mails: Vec<Received>,
}

impl Post {
    fn new() -> anyhow::Result<Self> {
        // Free now; nobody listens there before the server comes.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self { port, certified: Certified::new("localhost"), mails: Vec::new() })
    }

    /// The shipped application, which sends its mail to this server and gives up soon.
    fn application(&self) -> anyhow::Result<App> {
        let app = App::shipped()?.file("roots.pem", self.certified.authority.as_bytes())?;
        app.settings(&format!(
            "[messaging]\nattempts = {ATTEMPTS}\nbackoff_base = \"5ms\"\nbackoff_max = \"20ms\"\n\
             [mail]\ntransport = \"smtp\"\nmessage_id_domain = \"example.com\"\n\
             [mail.smtp]\nhost = \"localhost\"\nport = {}\ntls = \"starttls\"\nca_file = \"roots.pem\"\n\
             user = \"{USER}\"\npassword = \"{PASSWORD}\"\n",
            self.port
        ))
    }

    /// The server at its port, in good health.
    async fn open(&self) -> anyhow::Result<Server> {
        // The one before may still be about to leave.
        let bind = async || Ok(tokio::net::TcpListener::bind(("127.0.0.1", self.port)).await.ok());
        let listener = eventually("the port of the mail server", bind).await?;
        let kind = Kind { encryption: Encryption::StartTls, mechanism: Some(Mechanism::Plain) };
        Ok(Server::on(listener, kind, Some(&self.certified)))
    }

    /// The server with a fault for every try of every event.
    async fn open_with(&self, stage: Stage, fault: Fault) -> anyhow::Result<Server> {
        let server = self.open().await?;
        (0..EVENTS * ATTEMPTS).for_each(|_| server.fault(stage, "", fault));
        Ok(server)
    }

    fn close(&mut self, server: Server) {
        self.mails.extend(server.mails());
    }
}

/// The dead letters, once nothing is on its way any more; each has had all its tries.
async fn given_up(api: &Api) -> anyhow::Result<Vec<Value>> {
    api.quiet().await?;
    let letters = api.admin_list("/v1/dead-letters").await?;
    for letter in &letters {
        ensure!(letter["attempts"] == ATTEMPTS, "{letter}");
        ensure!(letter["reason"].as_str().is_some_and(|reason| reason.contains("503")), "{letter}");
    }
    Ok(letters)
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().with_context(|| format!("not a text: {value}"))
}

async fn replay(api: &Api, letters: &[Value]) -> anyhow::Result<()> {
    for letter in letters {
        let path = format!("/v1/dead-letters/{}/replay", text(&letter["id"])?);
        api.admin(Method::POST, &path).expect(204).await?;
    }
    Ok(())
}

/// The same by the command line.
fn replay_by_command(state_dir: &Path, letter: &Value) -> anyhow::Result<()> {
    let id = text(&letter["id"])?;
    let output = Command::new(host_binary()?).args(["queue", "replay", id, "--state-dir"]).arg(state_dir).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Somebody registers and makes a todo while no mail server is there. Answers with the ids of the two events.
async fn two_events(api: &Api) -> anyhow::Result<Vec<String>> {
    let user = api.somebody().await?;
    let count = async |count: usize| {
        eventually("dead letters", async || {
            let letters = api.admin_list("/v1/dead-letters").await?;
            Ok((letters.len() == count).then_some(letters))
        })
        .await
    };
    // The todo comes second, so that the address is known by then.
    count(1).await?;
    let todo = json!({ "title": "Buy stamps" });
    api.post("/api/v1/todos", &todo).bearer_auth(&user.access).expect(201).await?;
    let letters = count(EVENTS).await?;
    letters.iter().map(|letter| Ok(text(&letter["event"]["id"])?.to_owned())).collect()
}

/// The Message-ID of a mail.
fn message_id(mail: &Received) -> anyhow::Result<String> {
    let text = String::from_utf8_lossy(&mail.bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Message-ID: "));
    Ok(line.with_context(|| format!("no Message-ID: {text}"))?.to_owned())
}

#[tokio::test]
async fn an_outage_that_outlasts_every_try_ends_with_one_mail_of_one_message_id_for_each_event() -> anyhow::Result<()> {
    let mut post = Post::new()?;
    let app = post.application()?;
    let state = tempfile::tempdir()?;
    let state = state.path().join("state");

    // Nobody listens: connections are refused.
    let host = start(&app, &state, &[]).await?;
    let events = two_events(&Api::of(&host)?).await?;
    let unsent = host.await_line(&json!({ "component": "notifications", "message": "a mail was not sent" })).await?;
    assert!(
        text(&unsent["name"])?.ends_with("@example.com") && text(&unsent["reason"])?.contains("connecting"),
        "{unsent}"
    );
    let mut letters = given_up(&Api::of(&host)?).await?;
    assert_eq!(host.stop().await?.code, Some(0));

    // The next hosts find them; the server is there again, and takes nothing.
    let busy = Fault::Say("451 4.3.0 come back later");
    for (stage, fault, copies) in [
        (Stage::Mail, busy, 0),
        (Stage::Message, busy, 0),
        (Stage::Message, Fault::Hang, 1),
        (Stage::Message, Fault::Cut, 1),
    ] {
        // Patience is short only where a try is to end by it: elsewhere it would make a busy machine fail a good one.
        let impatient = [("CHASSIS_MAIL_SMTP_TIMEOUT", "3s")];
        let host = start(&app, &state, if matches!(fault, Fault::Hang) { &impatient } else { &[] }).await?;
        let api = Api::of(&host)?;
        let (server, before, found) = (post.open_with(stage, fault).await?, post.mails.len(), given_up(&api).await?);
        assert_eq!(found, letters, "they outlive the host");
        replay(&api, &found).await?;
        letters = given_up(&api).await?;
        assert_eq!(letters.len(), EVENTS, "{stage:?} {fault:?}: {letters:?}");
        assert_eq!(host.stop().await?.code, Some(0));
        let tries = server.lines().iter().filter(|line| line.starts_with("MAIL FROM:")).count();
        assert_eq!(tries, EVENTS * ATTEMPTS, "{stage:?} {fault:?}: {:?}", server.lines());
        post.close(server);
        assert_eq!(post.mails.len() - before, copies * tries, "{stage:?} {fault:?}");
    }

    let host = start(&app, &state, &[]).await?;
    let api = Api::of(&host)?;
    // It is well again: one letter goes back by the admin API, the other by the command line.
    let (server, before) = (post.open().await?, post.mails.len());
    let letters = given_up(&api).await?;
    let [first, second] = letters.as_slice() else { anyhow::bail!("{letters:?}") };
    replay(&api, std::slice::from_ref(first)).await?;
    replay_by_command(&state, second)?;
    assert_eq!(given_up(&api).await?, [Value::Null; 0]);
    post.close(server);
    assert_eq!(post.mails.len() - before, EVENTS, "each mail once");
    one_message_id_for_each(&post.mails, &events)?;
    // What the component says of it is structure in the log, too.
    let line = host.await_line(&json!({ "component": "notifications", "message": "mail was sent" })).await?;
    assert!(line["fields"]["messageId"].as_str().is_some_and(|id| id.ends_with("@example.com")), "{line}");
    nothing_is_left(host, &api).await
}

/// All mails are those of the events, and each event has one Message-ID in all its copies.
fn one_message_id_for_each(mails: &[Received], events: &[String]) -> anyhow::Result<()> {
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for mail in mails {
        let message_id = message_id(mail)?;
        let event = events.iter().find(|event| message_id.contains(event.as_str()));
        seen.entry(event.with_context(|| format!("of no event: {message_id}"))?).or_default().insert(message_id);
    }
    ensure!(seen.len() == events.len(), "{seen:?}");
    ensure!(seen.values().all(|message_ids| message_ids.len() == 1), "{seen:?}");
    // Every try that hung and every one that was cut has left a copy, and the last one too.
    ensure!(mails.len() == EVENTS * (2 * ATTEMPTS + 1), "{} mails", mails.len());
    Ok(())
}

async fn nothing_is_left(host: Host, api: &Api) -> anyhow::Result<()> {
    api.quiet().await?;
    assert_eq!(api.admin_list("/v1/dead-letters").await?, [Value::Null; 0]);
    assert_eq!(host.stop().await?.code, Some(0));
    Ok(())
}
