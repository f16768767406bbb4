//! A host that is asked to end, and what it has told by then.

use anyhow::Context;
use chassis_tests::{App, Host, Signal, raw};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{Api, Exchange, PASSWORD, eventually, start};

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
