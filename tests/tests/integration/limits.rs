//! What is too much is refused, and says so.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use chassis_tests::{App, Gate, Host, raw};
use futures::stream::{FuturesUnordered, StreamExt};
use reqwest::{Body, Method, StatusCode};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn limited(limits: &str) -> anyhow::Result<App> {
    App::new(&format!(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
         allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n\
         [component.hello.tool.chassis.limits]\n{limits}\n"
    ))
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_with_and_without_its_length() -> anyhow::Result<()> {
    let app = App::hello()?.settings("[gateway]\nbody_bytes = \"64KiB\"\n")?;
    let host = Host::start(&app).await?;
    let whole = host.request(Method::POST, "/count").body(vec![0_u8; (64 << 10) + 1]).send().await?;
    assert_eq!(whole.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(whole.headers()["content-type"], "application/problem+json");
    let pieces = futures::stream::iter((0..65).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0_u8; 1 << 10]))));
    let streamed = host.request(Method::POST, "/count").body(Body::wrap_stream(pieces)).send().await?;
    assert_eq!(streamed.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let fits = host.request(Method::POST, "/count").body(vec![0_u8; 64 << 10]).send().await?;
    assert_eq!(fits.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_too_large_or_comes_too_slowly_is_refused() -> anyhow::Result<()> {
    let app = App::hello()?.settings("[gateway]\nheader_timeout = \"500ms\"\n")?;
    let host = Host::start(&app).await?;
    let fields: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let many = format!("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
    assert_eq!(raw::status(&raw::exchange(host.address(), many.as_bytes()).await?)?, 431);
    let large = format!("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx: {}\r\n\r\n", "y".repeat(200 << 10));
    assert_eq!(raw::status(&raw::exchange(host.address(), large.as_bytes()).await?)?, 431);
    // A head that never ends: the connection is closed while the client still listens, with an answer or without one.
    let response = raw::exchange(host.address(), b"GET /hello HTTP/1.1\r\nHost: x\r\n").await?;
    assert!(response.is_empty() || raw::status(&response)? == 408, "{response}");
    Ok(())
}

#[tokio::test]
async fn a_component_that_does_not_answer_in_time_is_a_504() -> anyhow::Result<()> {
    let app = limited("deadline = \"500ms\"")?;
    let host = Host::start(&app).await?;
    // The guest would take longer than the client waits.
    let response = host.get("/slow?ms=3600000").await?;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let problem: Value = response.json().await?;
    assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("deadline-exceeded")), "{problem}");
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_full_component_answers_503_with_retry_after() -> anyhow::Result<()> {
    let app = limited("concurrency = 1\nqueue = 1")?.settings("[gateway]\nprobe_interval = \"1h\"\n")?;
    let host = Host::start(&app).await?;
    // The one probe of its health is over: nobody else wants a place.
    host.await_component("hello", |hello| hello["health"]["healthy"] == true && hello["running"] == 0).await?;
    let gate = Gate::holding(1).await?;
    let path = format!("/fetch?url={}", gate.url());
    let mut asked: FuturesUnordered<_> = (0..8).map(|_| host.get(&path)).collect();
    // One has the component's attention until the gate opens, one waits; there is no place for the others.
    for _ in 0..6 {
        let refused = asked.next().await.context("an answer")??;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
    }
    gate.open();
    for _ in 0..2 {
        assert_eq!(asked.next().await.context("an answer")??.status(), StatusCode::OK);
    }
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_the_cut_is_told() -> anyhow::Result<()> {
    let app = limited("log_lines = 20\nlog_line_bytes = \"200B\"")?;
    let host = Host::start(&app).await?;
    assert_eq!(host.get("/log?lines=5000&bytes=2000").await?.status(), StatusCode::OK);
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    host.await_log("/hello").await?;
    let log = host.log();
    let kept = log.lines().filter(|line| line.contains(" xxxx")).count();
    assert!((1..=200).contains(&kept), "{kept} lines of 5000 are kept");
    assert!(log.lines().all(|line| line.matches('x').count() <= 1000), "a line is longer than it may be");
    Ok(())
}

#[tokio::test]
async fn fresh_instances_share_one_budget_of_log_lines() -> anyhow::Result<()> {
    let app = App::new(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
         [component.hello.tool.chassis]\nisolation = \"request\"\n\
         [component.hello.tool.chassis.limits]\nlog_lines = 5\n",
    )?;
    let host = Host::start(&app).await?;
    for _ in 0..40 {
        assert_eq!(host.get("/log?lines=50&bytes=20").await?.status(), StatusCode::OK);
    }
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    host.await_log("/hello").await?;
    // One for each instance would be 200; a minute of one for all is 300, and nothing here takes as long.
    let kept = host.log().lines().filter(|line| line.contains(" xxxx")).count();
    assert!((1..150).contains(&kept), "{kept} lines of 2000 are kept");
    Ok(())
}

/// Waits until the gateway has given up whatever it was doing.
async fn await_nobody_in_flight(host: &Host) -> anyhow::Result<()> {
    tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let metrics = host.admin_request(Method::GET, "/metrics")?.send().await?.text().await?;
            if metrics.lines().any(|line| line == "http_requests_in_flight 0") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .context("a request is still in flight")?
}

#[tokio::test]
async fn a_request_keeps_its_place_though_its_client_is_gone() -> anyhow::Result<()> {
    let app = limited("concurrency = 1\nqueue = 8")?.settings("[gateway]\nprobe_interval = \"1h\"\n")?;
    let host = Host::start(&app).await?;
    let gate = Gate::holding(1).await?;
    let request = format!("GET /fetch?url={} HTTP/1.1\r\nHost: x\r\n\r\n", gate.url());
    let mut client = TcpStream::connect(host.address()).await?;
    client.write_all(request.as_bytes()).await?;
    gate.arrived(1).await?;
    drop(client);
    await_nobody_in_flight(&host).await?;
    // The guest is still at work, so nobody else is let in.
    let mut other = pin!(host.get("/hello"));
    let early = tokio::select! {
        answer = &mut other => Some(answer?.status()),
        waiting = host.await_component("hello", |hello| hello["running"] == 1 && hello["waiting"] == 1) => {
            waiting?;
            None
        }
    };
    assert_eq!(early, None, "the place was given away");
    gate.open();
    assert_eq!(other.await?.status(), StatusCode::OK);
    host.await_component("hello", |hello| hello["running"] == 0).await?;
    Ok(())
}
