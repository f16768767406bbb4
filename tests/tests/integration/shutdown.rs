//! How a host ends.

use std::time::Duration;

use chassis_tests::{App, Host, HostOptions, Signal};
use reqwest::StatusCode;

#[tokio::test]
async fn both_signals_drain_what_runs_and_exit_with_0() -> anyhow::Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let app = App::hello()?;
        let host = Host::start(&app).await?;
        let url = host.url("/slow?ms=1500");
        let running = tokio::spawn(async move { reqwest::get(url).await?.text().await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        host.signal(signal)?;
        let ended = host.ended().await?;
        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.stderr);
        assert_eq!(running.await??, "waited 1500 ms\n");
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_host_ends_at_once() -> anyhow::Result<()> {
    // A host that waited for its deadline would not end while the test waits.
    let app = App::hello()?.settings("[gateway]\ndrain_timeout = \"1h\"\n")?;
    let host = Host::start(&app).await?;
    // An idle connection, kept alive by the client, holds nothing up.
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    assert_eq!(host.stop().await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_what_still_runs() -> anyhow::Result<()> {
    // Nothing but a second signal ends this soon.
    let app = App::hello()?.settings("[gateway]\ndrain_timeout = \"1h\"\n[limits]\ndeadline = \"1h\"\n")?;
    let host = Host::start(&app).await?;
    let url = host.url("/slow?ms=3600000");
    let running = tokio::spawn(async move { reqwest::get(url).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    host.signal(Signal::TERM)?;
    host.await_log("a second signal ends at once").await?;
    host.signal(Signal::TERM)?;
    let ended = host.ended().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped by a second signal"), "{}", ended.stderr);
    // The guest would have taken longer than the host is given to end.
    assert!(running.await?.is_err(), "the request was cut off");
    Ok(())
}

#[tokio::test]
async fn the_drain_deadline_ends_what_still_runs() -> anyhow::Result<()> {
    let app = App::hello()?.settings("[gateway]\ndrain_timeout = \"500ms\"\n[limits]\ndeadline = \"1h\"\n")?;
    let host = Host::start(&app).await?;
    let url = host.url("/slow?ms=3600000");
    let running = tokio::spawn(async move { reqwest::get(url).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ended = host.stop().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(running.await?.is_err(), "the request was cut off");
    Ok(())
}

#[tokio::test]
async fn a_killed_host_leaves_a_state_that_the_next_one_takes_over() -> anyhow::Result<()> {
    let app = App::hello()?;
    let state = tempfile::tempdir()?;
    let options = || HostOptions { state_dir: Some(state.path().join("state")), ..HostOptions::default() };
    let host = Host::start_with(&app, options()).await?;
    let token = host.admin_token()?;
    host.kill().await?;
    let host = Host::start_with(&app, options()).await?;
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    assert_eq!(host.admin_token()?, token, "the first run makes the token");
    Ok(())
}
