//! What is too much is refused, and says so.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chassis_tests::{App, Host, raw};
use reqwest::{Body, Method, StatusCode};
use serde_json::Value;

fn limited(limits: &str) -> anyhow::Result<App> {
    App::new(&format!(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
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
    // A head that never ends: the connection is closed, with an answer or without one.
    let begin = Instant::now();
    let response = raw::exchange(host.address(), b"GET /hello HTTP/1.1\r\nHost: x\r\n").await?;
    assert!(response.is_empty() || raw::status(&response)? == 408, "{response}");
    assert!(begin.elapsed() < Duration::from_secs(10), "closed after {:?}", begin.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_component_that_does_not_answer_in_time_is_a_504() -> anyhow::Result<()> {
    let app = limited("deadline = \"500ms\"")?;
    let host = Host::start(&app).await?;
    let begin = Instant::now();
    let response = host.get("/slow?ms=20000").await?;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(begin.elapsed() < Duration::from_secs(5), "answered after {:?}", begin.elapsed());
    let problem: Value = response.json().await?;
    assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("deadline-exceeded")), "{problem}");
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_full_component_answers_503_with_retry_after() -> anyhow::Result<()> {
    let app = limited("concurrency = 1\nqueue = 1")?;
    let host = Host::start(&app).await?;
    let answers = futures::future::join_all((0..8).map(|_| host.get("/slow?ms=800"))).await;
    let (mut served, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer?;
        match answer.status() {
            StatusCode::OK => served += 1,
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(answer.headers().contains_key("retry-after"));
                refused += 1;
            }
            other => anyhow::bail!("{other}"),
        }
    }
    assert_eq!((served, refused), (2, 6));
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
