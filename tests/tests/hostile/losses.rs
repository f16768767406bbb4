//! Instances that are lost one after the other: each is told of, and the log does not grow with them.

use std::time::{Duration, Instant};

use anyhow::Context;
use chassis_tests::{App, Host, HostOptions};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const LOST: &str = "an instance was lost, with 0 other requests in it";

const MANIFEST: &str = r#"
[[trigger.http]]
route = "/..."
component = "hello"
[component.hello]
source = "hello.wasm"
[component.hello.tool.chassis.limits]
log_lines = 5
"#;

/// Frames of a backtrace in a line, at most.
const FRAMES: usize = 8;

async fn lose(host: &Host, path: &str) -> anyhow::Result<Value> {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = host.request(Method::GET, path).header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let response = request.send().await?;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    let request_id = response.headers().get("x-request-id").context("a request id")?.to_str()?;
    Ok(json!({ "component": "hello", "request_id": request_id, "trace_id": trace }))
}

/// The members of both.
fn with(mut names: Value, members: &Value) -> Value {
    if let (Some(names), Some(members)) = (names.as_object_mut(), members.as_object()) {
        names.extend(members.clone());
    }
    names
}

#[tokio::test]
async fn a_loss_is_told_with_its_cause_and_the_innermost_frames() -> anyhow::Result<()> {
    let app = App::new(MANIFEST)?;
    let environment = vec![("CHASSIS_TELEMETRY_FILTER".to_owned(), "info,chassis_engine=debug".to_owned())];
    let host = Host::start_with(&app, HostOptions { environment, ..HostOptions::default() }).await?;
    for (path, cause, function) in [("/panic", "unreachable", "panic"), ("/stack", "call stack exhausted", "descend")] {
        let names = lose(&host, path).await?;
        let line = host.await_line(&with(names.clone(), &json!({ "level": "ERROR", "message": LOST }))).await?;
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        assert!(text("cause").contains(cause), "{line}");
        let frames: Vec<&str> = text("frames").split(" < ").collect();
        assert!(frames.iter().any(|frame| frame.contains(function)), "{line}");
        assert!(frames.len() <= FRAMES + 1 && text("frames").ends_with('…'), "{line}");
        // Whoever wants all of it asks for it.
        let whole = host.await_line(&with(names, &json!({ "level": "DEBUG" }))).await?;
        assert!(whole["message"].as_str().is_some_and(|text| text.contains("wasm backtrace")), "{whole}");
    }
    Ok(())
}

#[tokio::test]
async fn losses_beyond_the_limit_of_lines_are_counted() -> anyhow::Result<()> {
    const LINES_PER_SECOND: usize = 5;
    const LOSSES: usize = 60;
    let app = App::new(MANIFEST)?;
    let host = Host::start(&app).await?;
    let begin = Instant::now();
    for _ in 0..LOSSES {
        lose(&host, "/stack").await?;
    }
    let seconds = usize::try_from(begin.elapsed().as_secs())? + 2;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The first line of a later second tells how many there were not.
    let names = lose(&host, "/stack").await?;
    host.await_line(&with(names, &json!({ "message": LOST }))).await?;
    let log = host.log();
    assert!(!log.contains("wasm backtrace"), "the whole of it is for the level debug");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let logged = lines.iter().filter(|line| line["message"] == LOST).count();
    let dropped: u64 = lines.iter().filter_map(|line| line.get("dropped")?.as_u64()).sum();
    assert_eq!(logged + usize::try_from(dropped)?, LOSSES + 1, "each is logged or counted");
    assert!(logged <= LINES_PER_SECOND * seconds + 1, "{logged} lines in {seconds} s");
    Ok(())
}

#[tokio::test]
async fn instances_that_do_not_start_count_as_lost() -> anyhow::Result<()> {
    // Too little for the stack that the guest is built with.
    let app = App::new(&format!("{MANIFEST}memory = \"1MiB\"\n"))?.settings("[gateway]\nprobe_interval = \"1h\"\n")?;
    let host = Host::start(&app).await?;
    for _ in 0..8 {
        assert_eq!(host.get("/hello").await?.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    host.await_component("hello", |hello| hello["traps"].as_u64() >= Some(8) && hello["lane"] == "slow").await?;
    Ok(())
}
