//! Doors that are the host's alone.

use anyhow::ensure;
use chassis_tests::raw;
use serde_json::json;

use super::harness::{Api, Exchange, PASSWORD, fresh_email, shared};

/// Spellings of a private path, behind each of these beginnings.
const BEGINNINGS: [&str; 9] = [
    "",
    "/api/v1/auth",
    "/api/v1/users",
    "/api/v1/todos",
    "/auth",
    "/api/auth",
    "/todos",
    "/notifications",
    "/.well-known",
];

const SPELLINGS: [&str; 16] = [
    "/.chassis/events",
    "/.chassis/health",
    "/.chassis/openapi.json",
    "/.chassis/cron/daily",
    "/.chassis/jobs/report",
    "/.chassis",
    "/.chassis/",
    "/.CHASSIS/events",
    "/%2echassis/events",
    "/%252Echassis/events",
    "/.chassi%73/events",
    "/.chassis%2fevents",
    "/./.chassis/events",
    "/x/../.chassis/events",
    "/%2e%2e/.chassis/events",
    "/.chassis/events?x=1",
];

async fn is_not_found(api: &Api, method: &str, path: &str) -> anyhow::Result<()> {
    let body = "{}";
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/cloudevents+json\r\n\
         Chassis-Delivery-Token: 00000000000000000000000000000000\r\nContent-Length: {}\r\n\r\n{body}",
        api.address(),
        body.len(),
    );
    let response = raw::exchange(api.address(), request.as_bytes()).await?;
    ensure!(raw::status(&response)? == 404, "{method} {path}: {response}");
    ensure!(response.contains("/problems/not-found"), "{method} {path}: {response}");
    for word in ["healthy", "openapi", "delivery"] {
        ensure!(!response.contains(word), "{method} {path}: {response}");
    }
    Ok(())
}

#[tokio::test]
async fn private_paths_of_every_component_are_not_found_in_any_spelling() -> anyhow::Result<()> {
    let api = shared()?;
    for beginning in BEGINNINGS {
        for spelling in SPELLINGS {
            for method in ["GET", "POST"] {
                is_not_found(&api, method, &format!("{beginning}{spelling}")).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_event_from_outside_is_not_found_and_moves_nothing() -> anyhow::Result<()> {
    let api = shared()?;
    let (forged, real) = (fresh_email(), fresh_email());
    let event = json!({ "specversion": "1.0", "id": "1", "source": "auth", "type": "user.registered",
        "subject": "usr_1", "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json",
        "data": { "userId": "usr_1", "email": forged, "firstName": "Eve", "lastName": "X" } });
    for token in ["", "x", &"0".repeat(64)] {
        let request = api.post("/.chassis/events", &event).header("content-type", "application/cloudevents+json");
        let answer = request.header("chassis-delivery-token", token).answer().await?;
        answer.problem(404, "not-found")?;
    }
    api.register(&real).expect(201).await?;
    api.mail(&real, "Welcome").await?;
    assert!(api.mails_to(&forged).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn headers_that_are_the_hosts_mean_nothing_from_a_client() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let plain = api.get("/api/v1/users/me").bearer_auth(&user.access).answer().await?;
    for (name, value) in [
        ("chassis-delivery-token", "x"),
        ("chassis-user", "usr_1"),
        ("chassis-path", "/.chassis/health"),
        ("spin-path-info", "/.chassis/health"),
        ("spin-full-url", "http://localhost/.chassis/openapi.json"),
        ("spin-matched-route", "/.chassis/..."),
        ("x-original-url", "/.chassis/health"),
        ("x-forwarded-prefix", "/.chassis"),
        ("x-http-method-override", "DELETE"),
    ] {
        let answer = api.get("/api/v1/users/me").bearer_auth(&user.access).header(name, value).answer().await?;
        assert_eq!(answer.essence()?, plain.essence()?, "{name}");
        let nobody = api.get("/api/v1/users/me").header(name, value).answer().await?;
        nobody.problem(401, "unauthorized")?;
    }
    Ok(())
}

#[tokio::test]
async fn the_admin_side_is_not_behind_the_gateway_and_wants_its_token() -> anyhow::Result<()> {
    let api = shared()?;
    for path in ["/v1/components", "/v1/mailbox", "/v1/dead-letters", "/v1/tokens", "/metrics"] {
        api.get(path).answer().await?.problem(404, "not-found")?;
    }
    let user = api.somebody().await?;
    let strangers = [("authorization", format!("Bearer {}", user.access)), ("x-nothing", String::new())];
    for (name, value) in strangers {
        let request = reqwest::Client::new().get(api.admin_url("/v1/mailbox")).header(name, value);
        let answer = request.answer().await?;
        assert_eq!((answer.status, &answer.json()?["type"]), (401, &json!("/problems/unauthorized")));
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{:?}", answer.headers);
    }
    // Nothing that is told in the open holds a secret.
    let metrics = api.admin(reqwest::Method::GET, "/metrics").answer().await?;
    assert_eq!(metrics.status, 200);
    for secret in [PASSWORD, &user.access, &user.refresh, &user.email] {
        assert!(!metrics.text.contains(secret), "the metrics tell «{secret}»");
    }
    Ok(())
}
