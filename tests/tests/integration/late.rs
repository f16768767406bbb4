//! What does not answer in time is given up, and takes nothing with it for long.

use std::time::Duration;

use chassis_tests::{App, Gate, Host};
use futures::future::join_all;
use reqwest::{Body, StatusCode};

/// A component that hangs now and then, and a neighbour.
fn app(limits: &str) -> anyhow::Result<App> {
    App::new(&format!(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
         allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n\
         [component.hello.tool.chassis.limits]\n{limits}\n\
         [[trigger.http]]\nroute = \"/hello/neighbour\"\ncomponent = \"neighbour\"\n\
         [component.neighbour]\nsource = \"hello.wasm\"\n"
    ))
}

#[tokio::test]
async fn instances_with_late_requests_are_replaced() -> anyhow::Result<()> {
    let app = app("deadline = \"300ms\"\ninstances = 2")?;
    let host = Host::start(&app).await?;
    // One after the other, so that each is in an instance of its own.
    for _ in 0..6 {
        assert_eq!(host.get("/slow?ms=3600000").await?.status(), StatusCode::GATEWAY_TIMEOUT);
    }
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_response_that_is_still_read_outlives_a_late_neighbour() -> anyhow::Result<()> {
    let app = app("deadline = \"500ms\"\ninstances = 1")?;
    let host = Host::start(&app).await?;
    let streamed = host.get("/stream?chunks=30&ms=100").await?;
    assert_eq!(streamed.status(), StatusCode::OK);
    assert_eq!(host.get("/slow?ms=3600000").await?.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(streamed.text().await?.lines().count(), 30, "whole, though its instance is to end");
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn clients_that_send_too_slowly_are_told_so_and_hold_up_nobody() -> anyhow::Result<()> {
    let app = app("deadline = \"500ms\"\ninstances = 2")?;
    let host = Host::start(&app).await?;
    let slow = || {
        let dripping = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, std::io::Error>("x"), ()))
        });
        host.request(reqwest::Method::POST, "/count").body(Body::wrap_stream(dripping)).send()
    };
    for _ in 0..3 {
        for answer in join_all((0..8).map(|_| slow())).await {
            assert_eq!(answer?.status(), StatusCode::REQUEST_TIMEOUT);
        }
    }
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    Ok(())
}

/// Each request that waits beside an endless loop is run once more in an instance of its own: in as many as there may be, and
/// never in those of others.
#[tokio::test]
async fn requests_that_are_run_once_more_take_no_slots_of_others() -> anyhow::Result<()> {
    const WAITING: usize = 12;
    // For two components with five kinds of instances each: two of a kind.
    const ALONE: usize = 2;
    let app = app("instances = 1\ninstance_concurrency = 64")?.settings("[engine]\ninstances = 20\n")?;
    let (host, gate) = (Host::start(&app).await?, Gate::holding(WAITING + ALONE).await?);
    let path = format!("/fetch?url={}", gate.url());
    let waiting = join_all((0..WAITING).map(|_| host.get(&path)));
    let misdeed = async {
        gate.arrived(WAITING).await?;
        host.get("/spin?ms=2000").await
    };
    let watched = async {
        gate.arrived(WAITING + ALONE).await?;
        for _ in 0..25 {
            assert_eq!(host.get("/hello/neighbour").await?.status(), StatusCode::OK);
        }
        let again = gate.arrivals() - WAITING;
        gate.open();
        anyhow::Ok(again)
    };
    let (answers, misdeed, again) = futures::join!(waiting, misdeed, watched);
    assert_eq!(again?, ALONE, "so many are run once more at a time");
    for answer in answers {
        assert_eq!(answer?.status(), StatusCode::OK);
    }
    assert_eq!(misdeed?.status(), StatusCode::OK);
    assert_eq!(gate.arrivals(), 2 * WAITING, "each was run twice");
    Ok(())
}
