//! What the commands print, and where they cannot.

use std::fs::File;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::Context;
use chassis_tests::{App, Host, HostOptions, host_binary, run_to_end};
use serde_json::{Value, json};
use tokio::process::Command;

fn chassis(folder: &Path, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(host_binary()?);
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    Ok(command)
}

async fn asked(host: &Host, arguments: &[&str]) -> anyhow::Result<Output> {
    let state = host.state_dir().display().to_string();
    Ok(chassis(Path::new("/"), &[arguments, &["--state-dir", &state]].concat())?.output().await?)
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let state = host.state_dir().display().to_string();
    for arguments in [vec!["check"], vec!["routes"], vec!["routes", "--json"], vec!["ps", "--state-dir", &state]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let gone = chassis(app.folder(), &arguments)?
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()?
            .wait_with_output()
            .await?;
        assert_eq!((gone.status.code(), gone.stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}: {gone:?}");
        let full = File::options().write(true).open("/dev/full")?;
        let full =
            chassis(app.folder(), &arguments)?.stdout(full).stderr(Stdio::piped()).spawn()?.wait_with_output().await?;
        let said = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("error: cannot write to stdout"), "{arguments:?}: {said}");
        // Nor does it matter that nobody can be told of an error.
        let full = File::options().write(true).open("/dev/full")?;
        let refused = chassis(Path::new("/"), &["check"])?.stdout(Stdio::null()).stderr(full).status().await?;
        assert_eq!(refused.code(), Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn a_host_serves_though_nobody_reads_what_it_says() -> anyhow::Result<()> {
    let app = App::hello()?;
    let place = tempfile::tempdir()?;
    let state = place.path().join("state").display().to_string();
    let arguments = ["up", "--state-dir", &state, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let full = || File::options().write(true).open("/dev/full");
    let mut host = chassis(app.folder(), &arguments)?.stdout(full()?).stderr(full()?).kill_on_drop(true).spawn()?;
    let mut found = None;
    for _ in 0..1200 {
        let listed = chassis(Path::new("/"), &["ps", "--json", "--state-dir", &state])?.output().await?;
        if listed.status.success() {
            found = Some(serde_json::from_slice::<Value>(&listed.stdout)?);
            break;
        }
        anyhow::ensure!(host.try_wait()?.is_none(), "it has ended");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(found.context("it does not serve")?[0]["name"], "hello");
    Ok(())
}

#[tokio::test]
async fn what_is_done_is_told_in_json_where_that_is_asked_for() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let made: Value = serde_json::from_slice(&asked(&host, &["token", "create", "ci", "--json"]).await?.stdout)?;
    let id = made["id"].as_str().context("an id")?;
    let revoked: Value = serde_json::from_slice(&asked(&host, &["token", "revoke", id, "--json"]).await?.stdout)?;
    assert_eq!(revoked, json!({ "id": id, "revoked": true }));
    Ok(())
}

#[tokio::test]
async fn hosts_that_may_be_called_are_shown_with_their_ports() -> anyhow::Result<()> {
    let app = App::new(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
         allowed_outbound_hosts = [\"http://127.0.0.1:*\", \"https://api.example.com\", \"http://[::1]:8080\"]\n",
    )?;
    let shown = String::from_utf8(chassis(app.folder(), &["check"])?.output().await?.stdout)?;
    let hosts = "calls hosts: http://127.0.0.1:*, https://api.example.com:443, http://[::1]:8080\n";
    assert!(shown.contains(hosts), "{shown}");
    Ok(())
}

#[tokio::test]
async fn who_only_looks_keeps_no_host_from_starting() -> anyhow::Result<()> {
    let app = App::hello()?;
    let place = tempfile::tempdir()?;
    let state = place.path().join("state");
    let options = || HostOptions { state_dir: Some(state.clone()), ..HostOptions::default() };
    Host::start_with(&app, options()).await?.stop().await?;
    // Held as `chassis ps` holds it, and for longer than that: until the host is seen to wait for it, or has given up.
    let lock = File::open(state.join("host.lock"))?;
    lock.lock_shared()?;
    let looking = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        lock.unlock()
    };
    let (host, unlocked) = tokio::join!(Host::start_with(&app, options()), looking);
    unlocked?;
    // One that stays is told of, all the same.
    let second = run_to_end(&app, options()).await?;
    assert!(second.stderr.contains("is in use by the host with process id"), "{}", second.stderr);
    host?.stop().await?;
    Ok(())
}
