//! A component has what its manifest grants, and nothing else.

use chassis_tests::{App, Host};
use reqwest::StatusCode;
use serde_json::Value;

fn granted(keys: &str) -> anyhow::Result<App> {
    App::new(&format!(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n{keys}\n"
    ))
}

#[tokio::test]
async fn the_environment_is_what_the_manifest_says_and_not_the_hosts() -> anyhow::Result<()> {
    let app = granted("environment = { GREETING = \"hi\" }")?;
    let host = Host::start(&app).await?;
    let seen: Value = host.get("/environment").await?.json().await?;
    assert_eq!(seen, serde_json::json!({ "GREETING": "hi" }));
    Ok(())
}

#[tokio::test]
async fn files_are_lent_for_reading_and_nothing_else_can_be_reached() -> anyhow::Result<()> {
    let app = granted("files = [{ source = \"public\", destination = \"/public\" }]")?
        .file("public/a.txt", b"content of a")?
        .file("secret.txt", b"secret")?;
    std::os::unix::fs::symlink(app.path("secret.txt"), app.path("link"))?;
    let host = Host::start(&app).await?;
    assert_eq!(host.get("/read?path=/public/a.txt").await?.text().await?, "content of a");
    for path in ["/secret.txt", "/public/../secret.txt", "/etc/passwd", "/public/link"] {
        assert_eq!(host.get(&format!("/read?path={path}")).await?.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/public/a.txt", "/public/new.txt", "/new.txt"] {
        assert_eq!(host.get(&format!("/write?path={path}")).await?.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(std::fs::read_to_string(app.path("public/a.txt"))?, "content of a");
    Ok(())
}

#[tokio::test]
async fn a_component_calls_the_hosts_that_it_is_granted_and_no_other() -> anyhow::Result<()> {
    // A second host stands for the world outside.
    let elsewhere_app = App::hello()?;
    let elsewhere = Host::start(&elsewhere_app).await?;
    let port = elsewhere.address().rsplit(':').next().unwrap_or_default().to_owned();
    let app = granted(&format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]"))?;
    let host = Host::start(&app).await?;
    let fetch = |url: String| {
        let host = &host;
        async move { anyhow::Ok(host.get(&format!("/fetch?url={url}")).await?.json::<Value>().await?) }
    };
    assert_eq!(fetch(elsewhere.url("/hello")).await?["status"], 200);
    for url in [
        host.admin_url("/v1/components"),
        elsewhere.admin_url("/v1/components"),
        host.url("/hello"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        format!("http://localhost:{port}/hello"),
        format!("https://127.0.0.1:{port}/hello"),
        "http://example.org/".to_owned(),
    ] {
        let answer = fetch(url.clone()).await?;
        assert!(answer.get("status").is_none(), "{url}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("Denied")), "{url}: {answer}");
    }
    Ok(())
}
