//! Routes as Spin means them, and the headers that tell a component about its request.

use chassis_tests::{App, Host};
use reqwest::StatusCode;
use serde_json::Value;

const ROUTES: &str = r#"
[[trigger.http]]
route = "/..."
component = "rest"
[[trigger.http]]
route = "/headers"
component = "exact"
[[trigger.http]]
route = "/hello/..."
component = "tail"
[[trigger.http]]
route = { private = true }
component = "hidden"
[component.rest]
source = "hello.wasm"
environment = { WHO = "rest" }
[component.exact]
source = "hello.wasm"
environment = { WHO = "exact" }
[component.tail]
source = "hello.wasm"
environment = { WHO = "tail" }
[component.hidden]
source = "hello.wasm"
"#;

#[tokio::test]
async fn exact_beats_wildcard_and_the_component_learns_what_matched() -> anyhow::Result<()> {
    let app = App::new(ROUTES)?;
    let host = Host::start(&app).await?;
    let seen: Value = host.get("/headers?a=1").await?.json().await?;
    assert_eq!(seen["spin-matched-route"][0], "/headers", "{seen}");
    assert_eq!(seen["spin-path-info"][0], "", "{seen}");
    let url = seen["spin-full-url"][0].as_str().unwrap_or_default();
    assert!(url.ends_with("/headers?a=1"), "{seen}");
    assert!(seen["spin-client-addr"][0].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{seen}");
    let who: Value = host.get("/environment").await?.json().await?;
    assert_eq!(who["WHO"], "rest");
    assert_eq!(host.get("/hello/x").await?.text().await?, "Hello, x!\n");
    Ok(())
}

#[tokio::test]
async fn segments_match_one_segment_and_are_handed_on() -> anyhow::Result<()> {
    let app = App::new(
        "[[trigger.http]]\nroute = \"/:first\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n",
    )?;
    let host = Host::start(&app).await?;
    let seen: Value = host.get("/headers").await?.json().await?;
    assert_eq!(seen["spin-path-match-first"][0], "headers", "{seen}");
    assert_eq!(host.get("/hello/x").await?.status(), StatusCode::NOT_FOUND, "two segments");
    Ok(())
}
