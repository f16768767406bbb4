//! What is answered to bodies, methods and paths that are not as documented.

use std::collections::BTreeSet;

use anyhow::Context;
use chassis_tests::raw;
use reqwest::Method;
use serde_json::json;

use super::harness::{Api, Exchange, User, shared};

/// Routes that read a JSON body.
const WITH_BODY: [(Method, &str); 5] = [
    (Method::POST, "/api/v1/auth/register"),
    (Method::POST, "/api/v1/auth/login"),
    (Method::POST, "/api/v1/auth/refresh"),
    (Method::POST, "/api/v1/todos"),
    (Method::PATCH, "/api/v1/todos/{id}"),
];

/// A todo of somebody, to put into paths.
async fn todo(api: &Api, user: &User) -> anyhow::Result<String> {
    let made = api.post("/api/v1/todos", &json!({ "title": "One" })).bearer_auth(&user.access).expect(201).await?;
    Ok(made["id"].as_str().context("an id")?.to_owned())
}

/// Sends each of these bodies to each route that reads one.
async fn each_is_answered(cases: &[(Option<&str>, Vec<u8>)], status: u16, slug: &str) -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let id = todo(&api, &user).await?;
    for (method, path) in WITH_BODY {
        let path = path.replace("{id}", &id);
        for (content_type, body) in cases {
            let mut request = api.request(method.clone(), &path).bearer_auth(&user.access).header("if-match", "*");
            if let Some(content_type) = content_type {
                request = request.header("content-type", *content_type);
            }
            let answer = request.body(body.clone()).answer().await?;
            let shown = String::from_utf8_lossy(body.get(..40).unwrap_or(body)).into_owned();
            answer.problem(status, slug).with_context(|| format!("{method} {path}, {content_type:?}: {shown}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_json_is_told_so() -> anyhow::Result<()> {
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"{\"email\":}",
        b"{\"email\":7,\"title\":7",
        b"{} {}",
        b"{'email': 'x'}",
        b"\xff\xfe",
        b"{\"title\":\"\xff\"}",
        b"nul",
    ];
    let cases: Vec<_> = bodies.iter().map(|body| (Some("application/json"), body.to_vec())).collect();
    each_is_answered(&cases, 400, "invalid-json").await
}

#[tokio::test]
async fn json_of_another_shape_is_told_so() -> anyhow::Result<()> {
    // The second has what an account is made of, in its order: a list is no object all the same.
    let lists = ["[]", "[\"list@example.com\", \"correct horse\", \"Ada\", \"Lovelace\"]", "[{}]"];
    // Nested deeper than anybody reads: a reader without a bound would run out of stack.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = ["email", "password", "refreshToken", "title"].map(|name| format!("\"{name}\":{deep}")).join(",");
    let bodies = ["\"text\"", "7", "null", "true", &format!("{{{deep}}}")];
    let bodies = lists.iter().chain(&bodies);
    let mut cases: Vec<_> = bodies.map(|body| (Some("application/json"), body.as_bytes().to_vec())).collect();
    let wrong = json!({ "email": [], "password": {}, "refreshToken": [], "title": {}, "tags": 7 });
    cases.push((Some("application/json; charset=utf-8"), wrong.to_string().into_bytes()));
    each_is_answered(&cases, 422, "validation").await
}

#[tokio::test]
async fn other_content_types_are_refused() -> anyhow::Result<()> {
    let types =
        ["text/plain", "application/x-www-form-urlencoded", "application/xml", "multipart/form-data; boundary=x"];
    let mut cases: Vec<_> = types.iter().map(|name| (Some(*name), b"{}".to_vec())).collect();
    cases.extend([(None, b"{}".to_vec()), (Some("application/jsonp"), b"{}".to_vec()), (Some(""), b"{}".to_vec())]);
    each_is_answered(&cases, 415, "unsupported-media-type").await
}

#[tokio::test]
async fn more_than_a_megabyte_is_refused_by_the_component() -> anyhow::Result<()> {
    let long = json!({ "email": "x".repeat(1 << 20), "title": "x" }).to_string().into_bytes();
    each_is_answered(&[(Some("application/json"), long)], 413, "body-too-large").await
}

#[tokio::test]
async fn more_than_the_gateway_takes_is_refused_before_it_is_sent() -> anyhow::Result<()> {
    let api = shared()?;
    for path in ["/api/v1/auth/register", "/api/v1/todos"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            api.address(),
            (10 << 20) + 1,
        );
        let response = raw::exchange(api.address(), head.as_bytes()).await?;
        assert_eq!(raw::status(&response)?, 413, "{response}");
        assert!(response.contains("/problems/body-too-large"), "{response}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let todo = format!("/api/v1/todos/{}", todo(&api, &user).await?);
    let cases = [
        ("/api/v1/auth/register", "POST"),
        ("/api/v1/auth/login", "POST"),
        ("/api/v1/auth/refresh", "POST"),
        ("/api/v1/auth/logout", "POST"),
        ("/api/v1/auth/validate", "GET HEAD"),
        ("/api/v1/users/me", "GET HEAD"),
        ("/.well-known/jwks.json", "GET HEAD"),
        ("/api/v1/todos", "GET HEAD POST"),
        (todo.as_str(), "DELETE GET HEAD PATCH"),
    ];
    for (path, allowed) in cases {
        let allowed: BTreeSet<&str> = allowed.split(' ').collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
            if allowed.contains(method) {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes())?;
            let answer = api.request(method.clone(), path).bearer_auth(&user.access).answer().await?;
            answer.problem(405, "method-not-allowed").with_context(|| format!("{method} {path}"))?;
            let told: BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
            assert_eq!(told, allowed, "{method} {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_route_is_not_found() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let todo = todo(&api, &user).await?;
    for path in [
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v2/todos",
        "/api/v1/auth",
        "/api/v1/auth/nothing",
        "/api/v1/auth/login/more",
        "/api/v1/users",
        "/api/v1/users/you",
        "/api/v1/notifications",
        "/.well-known/openid-configuration",
        "/API/V1/todos",
        &format!("/api/v1/todos/{todo}/more"),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = api.request(method, path).bearer_auth(&user.access).answer().await?;
            answer.problem(404, "not-found").with_context(|| path.to_owned())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_type_of_problem_that_components_answer_leads_to_its_description() -> anyhow::Result<()> {
    let api = shared()?;
    for slug in [
        "invalid-request",
        "invalid-json",
        "invalid-cursor",
        "unauthorized",
        "not-found",
        "method-not-allowed",
        "conflict",
        "limit-reached",
        "precondition-failed",
        "precondition-required",
        "body-too-large",
        "unsupported-media-type",
        "validation",
        "idempotency-key-reused",
        "unavailable",
        "overloaded",
        "outcome-unknown",
    ] {
        let answer = api.get(&format!("/problems/{slug}")).answer().await?;
        assert_eq!(answer.status, 200, "{slug}");
        assert!(answer.text.contains(slug), "{slug}: {}", answer.text);
    }
    Ok(())
}
