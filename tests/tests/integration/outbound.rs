//! What a component may ask of other servers: how many at a time, and for how long. The servers are slow ones.

use std::time::Duration;

use anyhow::Context;
use chassis_tests::{App, Host};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Far more than anything here takes: only a hang gets there.
const HANG: Duration = Duration::from_secs(30);

async fn host(settings: &str, limits: &str) -> anyhow::Result<(App, Host)> {
    let app = App::new(&format!(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"intruder\"\n[component.intruder]\nsource = \"intruder.wasm\"\n\
         allowed_outbound_hosts = [\"http://127.0.0.1:*\", \"http://[::1]:*\"]\n\
         [component.intruder.tool.chassis.limits]\n{limits}\n"
    ))?
    .settings(&format!("[engine]\n{settings}\n"))?;
    let host = Host::start(&app).await?;
    Ok((app, host))
}

/// Let the component ask a server, and read what that answers.
async fn ask(host: &Host, server: &TcpListener) -> anyhow::Result<Value> {
    let what = json!({ "method": "GET", "url": format!("http://{}/", server.local_addr()?), "read": true });
    let answer = host.request(Method::POST, "/send").json(&what).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    serde_json::from_str(&text).with_context(|| format!("{status}: {text}"))
}

async fn server() -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind("127.0.0.1:0").await?)
}

/// The next connection, with the head of its request read.
async fn accept(server: &TcpListener) -> anyhow::Result<TcpStream> {
    let (mut stream, _client) = tokio::time::timeout(HANG, server.accept()).await.context("nobody connects")??;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(stream)
}

fn failed_with(told: &Value, error: &str) {
    assert!(told["error"].as_str().is_some_and(|words| words.contains(error)), "{error}: {told}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() -> anyhow::Result<()> {
    let (_app, host) = host("outbound_first_byte_timeout = \"200ms\"", "").await?;
    let server = server().await?;
    let (told, silent) = tokio::join!(ask(&host, &server), accept(&server));
    failed_with(&told?, "HttpResponseTimeout");
    drop(silent?);
    Ok(())
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_is_given_up() -> anyhow::Result<()> {
    let (_app, host) = host("outbound_between_bytes_timeout = \"200ms\"", "").await?;
    let server = server().await?;
    let half = async {
        let mut stream = accept(&server).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.").await?;
        anyhow::Ok(stream)
    };
    let (told, silent) = tokio::join!(ask(&host, &server), half);
    failed_with(&told?, "Timeout");
    drop(silent?);
    Ok(())
}

#[tokio::test]
async fn a_server_that_takes_no_connection_is_given_up() -> anyhow::Result<()> {
    let (_app, host) = host("outbound_connect_timeout = \"200ms\"", "").await?;
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let server = socket.listen(1)?;
    // Nobody accepts: once its queue is full, the system lets whoever else comes wait.
    let mut waiting = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(server.local_addr()?)).await
    {
        waiting.push(stream?);
        anyhow::ensure!(waiting.len() < 100, "the queue never fills");
    }
    failed_with(&ask(&host, &server).await?, "ConnectionTimeout");
    Ok(())
}

#[tokio::test]
async fn no_more_requests_leave_a_component_than_it_may_have_under_way() -> anyhow::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone";
    let (_app, host) = host("", "outbound = 1").await?;
    let server = server().await?;
    let second = async {
        let mut first = accept(&server).await?;
        // Until the last byte the first one counts.
        first.write_all(&ANSWER[..ANSWER.len() - 1]).await?;
        let second = ask(&host, &server).await?;
        first.write_all(&ANSWER[ANSWER.len() - 1..]).await?;
        anyhow::Ok(second)
    };
    let (first, second) = tokio::join!(ask(&host, &server), second);
    assert_eq!(first?["ok"], "200");
    failed_with(&second?, "ConnectionLimitReached");
    let answer = async {
        accept(&server).await?.write_all(ANSWER).await?;
        anyhow::Ok(())
    };
    let (third, answered) = tokio::join!(ask(&host, &server), answer);
    answered?;
    assert_eq!(third?["ok"], "200", "there is room again");
    Ok(())
}

#[tokio::test]
async fn an_address_of_the_sixth_version_can_be_granted() -> anyhow::Result<()> {
    let (_app, host) = host("", "").await?;
    let server = TcpListener::bind("[::1]:0").await.context("this machine has no IPv6")?;
    let answer = async {
        let mut stream = accept(&server).await?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        anyhow::Ok(stream)
    };
    let (told, answered) = tokio::join!(ask(&host, &server), answer);
    assert_eq!(told?["ok"], "204");
    drop(answered?);
    Ok(())
}
