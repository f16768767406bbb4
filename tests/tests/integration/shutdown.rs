//! How a host ends.

use chassis_tests::{App, Gate, Host, HostOptions, Signal};
use reqwest::StatusCode;
use tokio::task::JoinHandle;

/// The guest `hello`, which may ask a gate, with these settings.
fn app(settings: &str) -> anyhow::Result<App> {
    App::new(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
         allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n",
    )?
    .settings(settings)
}

/// A request that the guest works on until the gate opens.
async fn begin(host: &Host, gate: &Gate) -> anyhow::Result<JoinHandle<reqwest::Result<String>>> {
    let url = host.url(&format!("/fetch?url={}", gate.url()));
    let running = tokio::spawn(async move { reqwest::get(url).await?.text().await });
    gate.arrived(1).await?;
    Ok(running)
}

#[tokio::test]
async fn both_signals_drain_what_runs_and_exit_with_0() -> anyhow::Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let app = app("")?;
        let (host, gate) = (Host::start(&app).await?, Gate::holding(1).await?);
        let running = begin(&host, &gate).await?;
        host.signal(signal)?;
        host.await_log("stopping").await?;
        gate.open();
        let ended = host.ended().await?;
        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.stderr);
        assert_eq!(running.await??, "{\"status\":200}");
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
    let app = app("[gateway]\ndrain_timeout = \"1h\"\n[limits]\ndeadline = \"1h\"\n")?;
    let (host, gate) = (Host::start(&app).await?, Gate::holding(1).await?);
    let running = begin(&host, &gate).await?;
    host.signal(Signal::TERM)?;
    host.await_log("a second signal ends at once").await?;
    host.signal(Signal::TERM)?;
    let ended = host.ended().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped by a second signal"), "{}", ended.stderr);
    // The gate is still shut.
    assert!(running.await?.is_err(), "the request was cut off");
    Ok(())
}

#[tokio::test]
async fn the_drain_deadline_ends_what_still_runs() -> anyhow::Result<()> {
    let app = app("[gateway]\ndrain_timeout = \"500ms\"\n[limits]\ndeadline = \"1h\"\n")?;
    let (host, gate) = (Host::start(&app).await?, Gate::holding(1).await?);
    let running = begin(&host, &gate).await?;
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
