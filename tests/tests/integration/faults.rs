//! What one component does wrong costs it one instance, and nobody else anything.

use std::pin::pin;

use chassis_tests::{App, Host};
use reqwest::StatusCode;
use serde_json::Value;

/// The same guest twice: `good` answers, `bad` is asked for misdeeds.
const NEIGHBOURS: &str = r#"
[[trigger.http]]
route = "/hello/..."
component = "good"
[[trigger.http]]
route = "/..."
component = "bad"
[component.good]
source = "hello.wasm"
[component.bad]
source = "hello.wasm"
[component.bad.tool.chassis.limits]
deadline = "2s"
memory = "32MiB"
"#;

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_and_the_next_request_is_served() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    for _ in 0..3 {
        let response = host.get("/panic").await?;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let problem: Value = response.json().await?;
        assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("component-failed")), "{problem}");
        let text = problem.to_string();
        assert!(!text.contains("asked to panic") && !text.contains("wasm"), "the cause is for the log: {text}");
        assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    }
    host.await_log("asked to panic").await
}

#[tokio::test]
async fn exhausted_stack_and_memory_fail_the_request_alone() -> anyhow::Result<()> {
    let app = App::new(NEIGHBOURS)?;
    let host = Host::start(&app).await?;
    for misdeed in ["/stack", "/alloc?mb=1000"] {
        let response = host.get(misdeed).await?;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{misdeed}");
        assert_eq!(host.get("/alloc?mb=4").await?.status(), StatusCode::OK, "after {misdeed}");
    }
    Ok(())
}

#[tokio::test]
async fn endless_loops_of_one_component_do_not_disturb_another() -> anyhow::Result<()> {
    // So many answers while the loops run: with the loops on its threads, the neighbour would have had a few.
    const ANSWERS: usize = 100;
    let app = App::new(&NEIGHBOURS.replace("deadline = \"2s\"", "deadline = \"15s\""))?;
    let host = Host::start(&app).await?;
    let mut answered = 0;
    {
        let mut loops = pin!(futures::future::join_all((0..4).map(|_| host.get("/spin"))));
        let mut neighbour = pin!(async {
            for number in 0..ANSWERS {
                let text = host.get(&format!("/hello/{number}")).await?.text().await?;
                anyhow::ensure!(text == format!("Hello, {number}!\n"), "{text}");
                answered += 1;
            }
            anyhow::Ok(())
        });
        let first = futures::future::select(&mut neighbour, &mut loops).await;
        if let futures::future::Either::Left((served, _)) = first {
            served?;
        }
        for answer in loops.await {
            assert_eq!(answer?.status(), StatusCode::GATEWAY_TIMEOUT);
        }
    }
    assert_eq!(answered, ANSWERS, "answers of the neighbour before the loops were ended");
    assert_eq!(host.get("/spin?ms=1").await?.status(), StatusCode::OK, "the loops were ended");
    Ok(())
}
