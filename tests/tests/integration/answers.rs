//! Answers of a component, and those that the gateway gives itself.

use chassis_tests::{App, Host};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// A route for one path only, so that the gateway answers for the others.
const ONE_ROUTE: &str = r#"
[[trigger.http]]
route = "/hello/..."
component = "hello"
[[trigger.http]]
route = "/headers"
component = "hello"
[component.hello]
source = "hello.wasm"
"#;

#[tokio::test]
async fn hello_answers() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let response = host.get("/hello").await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str()?.starts_with("text/plain"));
    assert_eq!(response.text().await?, "Hello from a component!\n");
    assert_eq!(host.get("/hello/Ada%20L").await?.text().await?, "Hello, Ada L!\n");
    let head = host.request(Method::HEAD, "/hello").send().await?;
    assert_eq!((head.status(), head.text().await?), (StatusCode::OK, String::new()));
    Ok(())
}

#[tokio::test]
async fn two_hundred_requests_at_a_time_are_all_answered() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let requests = (0..200).map(|number| {
        let host = &host;
        async move { anyhow::Ok((number, host.get(&format!("/hello/{number}")).await?.text().await?)) }
    });
    for answer in futures::future::join_all(requests).await {
        let (number, text) = answer?;
        assert_eq!(text, format!("Hello, {number}!\n"));
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_route_is_a_problem_whose_type_can_be_looked_up() -> anyhow::Result<()> {
    let app = App::new(ONE_ROUTE)?;
    let host = Host::start(&app).await?;
    let response = host.get("/nowhere").await?;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await?;
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["traceId"].as_str().map(str::len), Some(32), "{problem}");
    let description = host.get(problem["type"].as_str().unwrap_or_default()).await?;
    assert_eq!(description.status(), StatusCode::OK, "{problem}");
    assert!(description.text().await?.contains("No route of the application matches"));
    Ok(())
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_those_that_are_allowed() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let response = host.request(Method::POST, "/hello").send().await?;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(response.headers()["allow"].to_str()?.contains("GET"));
    // The gateway's own resources, too.
    let response = host.request(Method::DELETE, "/health").send().await?;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(response.headers()["allow"].to_str()?.contains("GET"));
    Ok(())
}

#[tokio::test]
async fn health_is_answered() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    for path in ["/health/live", "/health/ready", "/health"] {
        assert_eq!(host.get(path).await?.status(), StatusCode::OK, "{path}");
    }
    let health: Value = host.get("/health").await?.json().await?;
    assert_eq!(health["status"], "healthy", "{health}");
    assert!(health["services"].get("hello").is_some(), "{health}");
    Ok(())
}

#[tokio::test]
async fn a_component_never_sees_headers_that_only_the_host_may_set() -> anyhow::Result<()> {
    let app = App::new(ONE_ROUTE)?;
    let host = Host::start(&app).await?;
    let request = host
        .request(Method::GET, "/headers")
        .header("chassis-token", "forged")
        .header("Chassis-Anything", "forged")
        .header("spin-full-url", "http://forged/")
        .header("spin-client-addr", "203.0.113.1:1")
        .header("x-mine", "kept");
    let seen: Value = request.send().await?.json().await?;
    assert!(!seen.to_string().contains("forged") && !seen.to_string().contains("203.0.113.1"), "{seen}");
    assert_eq!(seen["x-mine"][0], "kept");
    Ok(())
}

#[tokio::test]
async fn a_well_formed_trace_is_continued_and_any_other_replaced() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (sent, continued) in [
        (format!("00-{trace}-00f067aa0ba902b7-01"), true),
        (format!("00-{trace}-0000000000000000-01"), false),
        (format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()), false),
        ("00-1-2-01".to_owned(), false),
    ] {
        let seen: Value =
            host.request(Method::GET, "/headers").header("traceparent", &sent).send().await?.json().await?;
        let parent = seen["traceparent"][0].as_str().unwrap_or_default().to_owned();
        assert_eq!(parent.len(), 55, "«{parent}» for «{sent}»");
        assert_eq!(parent.contains(trace), continued, "«{parent}» for «{sent}»");
    }
    Ok(())
}

#[tokio::test]
async fn the_log_has_a_line_for_each_request_and_what_the_guest_wrote() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    host.get("/hello/logged").await?;
    host.await_log("/hello/logged").await?;
    host.get("/log?lines=3").await?;
    host.await_log("a line on stdout").await?;
    host.await_log("line 2 xxx").await?;
    let log = host.log();
    let line = log.lines().find(|line| line.contains("line 2 xxx")).unwrap_or_default();
    let line: Value = serde_json::from_str(line)?;
    assert!(line.to_string().contains("\"hello\""), "a guest's line names its component: {line}");
    Ok(())
}
