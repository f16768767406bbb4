//! What was answered for stays, however the host ends.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use chassis_tests::{App, Host, Signal, raw};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::harness::{Api, Exchange, PASSWORD, eventually, fresh_email, start};

/// How often the host is killed.
const KILLS: usize = 12;
/// Clients that register all the time.
const CLIENTS: usize = 8;
/// Deliveries of a host that was killed are taken up again after this time.
const SETTINGS: [(&str, &str); 2] = [("CHASSIS_MESSAGING_LEASE", "1s"), ("CHASSIS_MAIL_MAILBOX_MESSAGES", "20000")];

/// Who asked for an account, and what they were told.
#[derive(Debug, Default)]
struct Record {
    answered: Mutex<Vec<String>>,
    unanswered: Mutex<Vec<String>>,
    refused: AtomicUsize,
}

impl Record {
    fn answered(&self) -> Vec<String> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn unanswered(&self) -> Vec<String> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, list: &Mutex<Vec<String>>, email: String) {
        list.lock().unwrap_or_else(PoisonError::into_inner).push(email);
    }
}

/// Registers one after the other until the host is gone.
async fn register_on_and_on(api: Api, record: Arc<Record>) {
    loop {
        let email = fresh_email();
        match api.register(&email).answer().await {
            Ok(answer) if answer.status == 201 => record.note(&record.answered, email),
            Ok(_overloaded) => {
                record.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_gone) => return record.note(&record.unanswered, email),
        }
    }
}

/// Runs a host under the clients and kills it when they have got so many answers, and a moment more.
async fn one_kill(app: &App, state: &Path, record: &Arc<Record>, at: usize) -> anyhow::Result<()> {
    let host = start(app, state, &SETTINGS).await?;
    let api = Api::of(&host)?;
    let before = record.answered();
    if let Some(last) = before.last() {
        api.login(last, PASSWORD).expect(200).await.context("who was answered last before the kill is gone")?;
    }
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(register_on_and_on(api.clone(), Arc::clone(record)));
    }
    let enough = before.len() + 3 + at % 4;
    eventually("answers", async || Ok((record.answered().len() >= enough).then_some(()))).await?;
    tokio::time::sleep(Duration::from_millis(u64::try_from(at * 13 % 40)?)).await;
    host.kill().await?;
    clients.join_all().await;
    Ok(())
}

/// How many copies of the welcome each address has got.
async fn welcomes(api: &Api) -> anyhow::Result<std::collections::HashMap<String, u64>> {
    let mut copies = std::collections::HashMap::new();
    for mail in api.admin_list("/v1/mailbox").await? {
        let to = mail["to"][0].as_str().context("a recipient")?;
        *copies.entry(to.to_owned()).or_default() += mail["copies"].as_u64().context("copies")?;
    }
    Ok(copies)
}

/// Nobody who was not answered is there by half: either the account and its mail, or nothing at all.
async fn whole_or_absent(api: &Api, email: &str) -> anyhow::Result<bool> {
    let login = api.login(email, PASSWORD).answer().await?;
    let is_there = login.status == 200;
    if !is_there {
        login.problem(401, "unauthorized")?;
        ensure!(api.mails_to(email).await?.is_empty(), "{email} has a mail and no account");
        api.register(email).expect(201).await.context("what is not there can be made")?;
    }
    let welcome = api.mail(email, "Welcome").await?;
    ensure!(welcome["copies"].as_u64() >= Some(1), "{welcome}");
    Ok(is_there)
}

#[tokio::test]
async fn no_answered_registration_is_lost_when_the_host_is_killed_again_and_again() -> anyhow::Result<()> {
    let app = App::shipped()?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    let record = Arc::new(Record::default());
    let mut under_way = 0;
    for at in 0..KILLS {
        let before = record.unanswered().len();
        one_kill(&app, &state, &record, at).await.with_context(|| format!("kill {at}"))?;
        under_way += usize::from(record.unanswered().len() > before);
    }
    ensure!(under_way * 4 >= KILLS * 3, "only {under_way} of {KILLS} kills hit a request");

    let host = start(&app, &state, &SETTINGS).await?;
    let api = Api::of(&host)?;
    let (answered, unanswered) = (record.answered(), record.unanswered());
    let login = |email: String| {
        let api = &api;
        async move { api.login(&email, PASSWORD).expect(200).await.with_context(|| format!("{email} is lost")) }
    };
    stream::iter(answered.clone().into_iter().map(Ok))
        .try_for_each_concurrent(4, |it| async { login(it).await.map(drop) })
        .await?;
    let copies = eventually("all welcomes", async || {
        let copies = welcomes(&api).await?;
        Ok(answered.iter().all(|email| copies.contains_key(email)).then_some(copies))
    })
    .await?;
    api.quiet().await?;
    let there = stream::iter(&unanswered).then(|email| whole_or_absent(&api, email)).try_collect::<Vec<_>>().await?;

    let doubled = answered.iter().filter(|email| copies.get(*email).is_some_and(|count| *count > 1)).count();
    eprintln!(
        "{KILLS} kills, {under_way} of them with requests under way: {} registrations answered, none lost; {} not \
         answered, {} of them made, none by half; {doubled} welcomes came more than once; {} requests refused",
        answered.len(),
        unanswered.len(),
        there.iter().filter(|is_there| **is_there).count(),
        record.refused.load(Ordering::Relaxed),
    );
    assert!(answered.len() >= KILLS * 3);
    assert!(api.admin_list("/v1/dead-letters").await?.is_empty());
    Ok(())
}

/// A login whose body is sent in two halves: the first, and what remains to be sent.
pub(crate) async fn half_a_login(address: &str, email: &str) -> anyhow::Result<(TcpStream, String)> {
    let body = json!({ "email": email, "password": PASSWORD }).to_string();
    let (first, second) = body.split_at(10);
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len(),
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{head}{first}").as_bytes()).await?;
    Ok((stream, second.to_owned()))
}

/// Requests that `auth` works on, and those that wait for their turn.
async fn under_way(api: &Api) -> anyhow::Result<u64> {
    let components = api.admin_get("/v1/components").await?;
    let auth = components["items"].as_array().into_iter().flatten().find(|component| component["name"] == "auth");
    let count = |name: &str| auth.and_then(|auth| auth[name].as_u64()).unwrap_or_default();
    Ok(count("running") + count("waiting"))
}

#[tokio::test]
async fn a_host_that_is_asked_to_end_answers_what_it_has_begun() -> anyhow::Result<()> {
    const LOGINS: usize = 20;
    let app = App::shipped()?;
    let folder = tempfile::tempdir()?;
    let host: Host = start(&app, &folder.path().join("state"), &[]).await?;
    let api = Api::of(&host)?;
    let user = api.somebody().await?;
    let mut open = Vec::new();
    for _ in 0..LOGINS {
        open.push(half_a_login(host.address(), &user.email).await?);
    }
    eventually("20 logins under way", async || Ok((under_way(&api).await? >= 20).then_some(()))).await?;
    host.signal(Signal::TERM)?;
    host.await_log("stopping").await?;
    let answers = open.into_iter().map(|(mut stream, rest)| async move {
        stream.write_all(rest.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.context("a connection was cut")?;
        anyhow::Ok(response)
    });
    for response in futures::future::try_join_all(answers).await? {
        assert_eq!(raw::status(&response)?, 200, "{response}");
        let (_, body) = response.split_once("\r\n\r\n").context("a body")?;
        let tokens: Value = serde_json::from_str(body).context("a whole body")?;
        assert_eq!(tokens["user"]["id"], json!(user.id));
    }
    let ended = host.ended().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn what_the_log_tells_holds_no_secret() -> anyhow::Result<()> {
    let app = App::shipped()?;
    let folder = tempfile::tempdir()?;
    let host = start(&app, &folder.path().join("state"), &[]).await?;
    let api = Api::of(&host)?;
    let user = api.somebody().await?;
    api.login(&user.email, "a wrong secret").expect(401).await?;
    api.refresh(&user.refresh).expect(200).await?;
    api.refresh(&user.refresh).expect(401).await?;
    api.mail(&user.email, "Welcome").await?;
    let admin_token = host.admin_token()?;
    let ended = host.stop().await?;
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(told.contains("/api/v1/auth/login"), "requests are logged");
    for secret in [PASSWORD, "a wrong secret", &user.access, &user.refresh, &admin_token] {
        assert!(!told.contains(secret), "the log tells «{secret}»");
    }
    assert!(!told.contains(&user.email), "the log tells an address");
    Ok(())
}
