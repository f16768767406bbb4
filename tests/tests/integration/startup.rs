//! What a host refuses to serve, and what it says about it.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context;
use chassis_tests::{App, Ended, Host, HostOptions, run_to_end};
use reqwest::{Method, StatusCode};

const ROUTE: &str = "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"x\"\n";

/// The host ends by itself with an error, was never ready, and its words hold these.
fn refuses(ended: &Ended, words: &[&str]) {
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(!ended.stdout.contains("ready "), "{}", ended.stdout);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "«{word}» is missing in: {}", ended.stderr);
    }
}

async fn refused(app: &App, words: &[&str]) -> anyhow::Result<()> {
    refuses(&run_to_end(app, HostOptions::default()).await?, words);
    Ok(())
}

#[tokio::test]
async fn the_ready_line_names_addresses_that_answer_and_the_token_is_private() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    assert!(!host.address().ends_with(":0"), "{}", host.address());
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    assert_eq!(host.admin_request(Method::GET, "/v1/components")?.send().await?.status(), StatusCode::OK);
    let mode = std::fs::metadata(host.state_dir().join("admin-token"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = host.admin_token()?;
    assert!(token.len() >= 32, "a token of {} characters", token.len());
    assert!(!host.log().contains(&token) && !host.stdout().contains(&token), "the token is shown");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_component_is_refused() -> anyhow::Result<()> {
    let manifest = format!("{ROUTE}[component.x]\nsource = \"x.wasm\"\n");
    let text = App::new(&manifest)?.file("x.wasm", b"this is not WebAssembly")?;
    refused(&text, &["x.wasm"]).await?;
    let module = App::new(&manifest)?.file("x.wasm", &wat::parse_str("(module)")?)?;
    refused(&module, &["x"]).await?;
    let empty = App::new(&manifest)?.file("x.wasm", b"")?;
    refused(&empty, &["x"]).await?;
    let whole = std::fs::read(chassis_tests::component_file("hello")?)?;
    let cut = App::new(&manifest)?.file("x.wasm", &whole[..whole.len() / 2])?;
    refused(&cut, &["x.wasm"]).await?;
    let without_handler = App::new(&manifest)?.file("x.wasm", &wat::parse_str("(component)")?)?;
    refused(&without_handler, &["x", "wasi:http/handler"]).await
}

#[tokio::test]
async fn a_component_that_imports_what_it_is_not_granted_is_refused() -> anyhow::Result<()> {
    chassis_tests::component_file("grabber")?;
    let app = App::new(&format!("{ROUTE}[component.x]\nsource = \"grabber.wasm\"\n"))?;
    refused(&app, &["component «x»", "acme:grabber/vault@1.0.0"]).await
}

#[tokio::test]
async fn every_error_of_the_manifest_is_told_at_once_with_its_place() -> anyhow::Result<()> {
    let app = App::new(
        r#"
[[trigger.http]]
route = "/a"
component = "x"
[[trigger.http]]
route = "/a"
component = "x"
[[trigger.http]]
route = "/b"
component = "absent"
[component.x]
source = "missing.wasm"
colour = "blue"
"#,
    )?;
    refused(&app, &["/a", "absent", "missing.wasm", "colour", "spin.toml:"]).await
}

#[tokio::test]
async fn a_manifest_that_is_missing_or_is_no_toml_is_refused() -> anyhow::Result<()> {
    refused(&App::verbatim("this is [not toml")?, &["spin.toml"]).await?;
    let app = App::verbatim("")?;
    std::fs::remove_file(app.path("spin.toml"))?;
    refused(&app, &["spin.toml"]).await
}

#[tokio::test]
async fn files_outside_the_application_are_not_lent() -> anyhow::Result<()> {
    let manifest = |files: &str| {
        format!(
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\nfiles = [{files}]\n"
        )
    };
    let above = "{ source = \"../\", destination = \"/\" }";
    refused(&App::new(&manifest(above))?, &["spin.toml:", "../"]).await?;
    let app = App::new(&manifest("{ source = \"link\", destination = \"/\" }"))?;
    std::os::unix::fs::symlink("/etc", app.path("link"))?;
    refused(&app, &["link"]).await
}

#[tokio::test]
async fn links_within_lent_files_are_followed_and_their_size_is_bounded() -> anyhow::Result<()> {
    let app = |limits: &str| -> anyhow::Result<App> {
        let manifest = format!(
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
             files = [{{ source = \"public\", destination = \"/\" }}, \"alias.txt\"]\n{limits}"
        );
        let app = App::new(&manifest)?.file("public/real/a.txt", b"content of a")?;
        std::os::unix::fs::symlink("real", app.path("public/folder"))?;
        std::os::unix::fs::symlink("real/a.txt", app.path("public/file.txt"))?;
        std::os::unix::fs::symlink("public/real/a.txt", app.path("alias.txt"))?;
        Ok(app)
    };
    let host = Host::start(&app("")?).await?;
    for path in ["/real/a.txt", "/folder/a.txt", "/file.txt", "/alias.txt"] {
        assert_eq!(host.get(&format!("/read?path={path}")).await?.text().await?, "content of a", "{path}");
    }
    let limits = |limit: &str| format!("[component.hello.tool.chassis.limits]\n{limit}\n");
    refused(&app(&limits("files_entries = 3"))?, &["limits.files_entries (3)"]).await?;
    let large = app(&limits("files_bytes = \"1KiB\""))?.file("public/large", &[0; 1024])?;
    refused(&large, &["limits.files_bytes (1024)"]).await?;
    let around = app("")?;
    std::os::unix::fs::symlink("..", around.path("public/real/around"))?;
    refused(&around, &["around leads back to public"]).await
}

#[tokio::test]
async fn whatever_the_host_keeps_is_for_its_owner_alone() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let state = place.path().join("state");
    std::fs::create_dir(&state)?;
    let mode = |mode| std::fs::set_permissions(&state, std::fs::Permissions::from_mode(mode));
    let options = || HostOptions {
        state_dir: Some(state.clone()),
        shell: Some("umask 000".to_owned()),
        environment: vec![("CHASSIS_ENGINE_CACHE_DIR".to_owned(), state.join("cache").display().to_string())],
        ..HostOptions::default()
    };
    let app = App::shipped_with(|manifest| {
        manifest.replacen("source =", "files = [{ source = \"public\", destination = \"/\" }]\nsource =", 1)
    })?
    .file("public/readable.txt", b"by all")?;
    mode(0o777)?;
    refuses(&run_to_end(&app, options()).await?, &["others may write", &state.display().to_string()]);
    mode(0o755)?;
    let host = Host::start_with(&app, options()).await?;
    let (mut folders, mut seen) = (vec![state.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let (path, metadata) = {
                let entry = entry?;
                (entry.path(), entry.metadata()?)
            };
            assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
            seen.push(path.clone());
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    for kept in ["format", "host.lock", "sql", "cache", "messaging.db", "files"] {
        assert!(seen.contains(&state.join(kept)), "{kept} is missing in {seen:?}");
    }
    host.stop().await?;
    Ok(())
}

/// The limit of open files of a process: the one that holds, and the one up to which it may be raised (proc(5)).
fn open_files(host: &Host) -> anyhow::Result<(String, String)> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.id().context("it runs")?))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("no such limit")?;
    let mut words = line.split_whitespace().map(str::to_owned);
    Ok((words.next().context("a soft limit")?, words.next().context("a hard limit")?))
}

#[tokio::test]
async fn the_host_takes_the_descriptors_it_may_have_and_says_where_they_do_not_suffice() -> anyhow::Result<()> {
    const WARNING: &str = "fewer open files than the settings can use";
    let app = App::hello()?.settings("[gateway]\nconnections = 100\n[admin]\nconnections = 10\n")?;
    let with = |shell: &str| HostOptions { shell: Some(shell.to_owned()), ..HostOptions::default() };
    let host = Host::start_with(&app, with("ulimit -Sn 256; ulimit -Hn 2000")).await?;
    assert_eq!(open_files(&host)?, ("2000".to_owned(), "2000".to_owned()));
    assert!(!host.stop().await?.stderr.contains(WARNING));
    let host = Host::start_with(&app, with("ulimit -Sn 150; ulimit -Hn 150")).await?;
    let log = host.stop().await?.stderr;
    assert_eq!(log.matches(WARNING).count(), 1, "{log}");
    assert!(log.contains("\"limit\":150"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_second_host_on_the_same_state_is_refused_and_the_first_serves_on() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let options = HostOptions { state_dir: Some(host.state_dir().to_path_buf()), ..HostOptions::default() };
    let second = run_to_end(&app, options).await?;
    refuses(&second, &[&host.state_dir().display().to_string()]);
    assert_eq!(host.get("/hello").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_taken_port_and_an_open_admin_door_are_refused() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let arguments = vec!["--listen".into(), host.address().to_owned().into()];
    let taken = run_to_end(&app, HostOptions { arguments, ..HostOptions::default() }).await?;
    refuses(&taken, &[host.address()]);
    let arguments = vec!["--admin".into(), "0.0.0.0:0".into()];
    let open = run_to_end(&app, HostOptions { arguments, ..HostOptions::default() }).await?;
    refuses(&open, &["admin"]);
    Ok(())
}

#[tokio::test]
async fn unknown_settings_are_refused_wherever_they_stand() -> anyhow::Result<()> {
    refused(&App::hello()?.settings("[gateway]\nbody_byte = 1\n")?, &["chassis.toml:2", "body_byte"]).await?;
    let environment = vec![("CHASSIS_GATEWAY_BODY_BYTE".to_owned(), "1".to_owned())];
    let ended = run_to_end(&App::hello()?, HostOptions { environment, ..HostOptions::default() }).await?;
    refuses(&ended, &["CHASSIS_GATEWAY_BODY_BYTE"]);
    Ok(())
}
