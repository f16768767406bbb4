//! Which paths are served, by whom, and what a component is told.

use crate::harness::Gateway;

#[tokio::test]
async fn private_paths_are_not_there_in_any_spelling() {
    let gateway = Gateway::start().await;
    for path in [
        "/.chassis",
        "/.chassis/",
        "/.chassis/events",
        "/.chassis/health?x=1",
        "/.CHASSIS/events",
        "/%2echassis/events",
        "/%2Echassis/events",
        "/.%63hassis/events",
        "/%252echassis/events",
        "//.chassis/events",
        "/./.chassis/events",
        "/x/../.chassis/events",
        "/x/..%2f.chassis/events",
        "/x%2f..%2f.chassis%2fevents",
        "/x%5c..%5c.chassis",
        "/.chassis;a=b/events",
        "/.chassis%00",
        "/.chassis%20/events",
        "/.chassis./events",
        "/users/7/.chassis/events",
        "http://shop.example/.chassis/events",
        "http://shop.example//%2e%43hassis/events",
    ] {
        for method in ["GET", "POST", "OPTIONS", "HEAD"] {
            // A preflight must not tell either.
            let fields =
                ["Origin: https://app.example.org", "Access-Control-Request-Method: POST", "Content-Length: 0"];
            if method == "HEAD" {
                let line = format!("HEAD {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
                let head = crate::client::exchange_head(gateway.address, line.as_bytes()).await;
                assert!(head.starts_with("HTTP/1.1 404 "), "{path}: {head}");
                continue;
            }
            let response = gateway.request(&format!("{method} {path}"), &fields).await;
            assert_eq!((response.status, response.problem().as_str()), (404, "not-found"), "{method} {path}");
            assert_eq!(response.field("access-control-allow-origin"), None);
        }
    }
    assert!(gateway.component.calls().is_empty());
}

#[tokio::test]
async fn paths_with_another_spelling_are_refused() {
    let gateway = Gateway::start().await;
    for path in [
        "//a",
        "/a//b",
        "/a/../b",
        "/a/.",
        "/%61",
        "/a%2fb",
        "/a%5Cb",
        "/a%00",
        "/a\\b",
        "/%ff",
        "/%zz",
        "/%68ealth",
        "/{a}",
    ] {
        let response = gateway.get(path).await;
        assert_eq!((response.status, response.problem().as_str()), (400, "bad-path"), "{path}");
    }
    assert!(gateway.component.calls().is_empty());
}

#[tokio::test]
async fn a_component_gets_the_path_as_it_was_written_and_spins_fields() {
    let gateway = Gateway::start().await;
    let fields = [
        "spin-client-addr: 6.6.6.6:6",
        "Spin-Component: x",
        "chassis-token: x",
        "X-Forwarded-For: 6.6.6.6",
        "Authorization: Bearer x",
    ];
    let response = gateway.request("GET /users/4%202/a/b%C3%A9?q=a%2fb", &fields).await;
    assert_eq!(response.status, 200);
    let call = gateway.component.call();
    assert_eq!(call.component, "users");
    assert_eq!(call.uri, "http://shop.example/users/4%202/a/b%C3%A9?q=a%2fb");
    for (name, value) in [
        ("host", "shop.example"),
        ("authorization", "Bearer x"),
        ("spin-full-url", "http://shop.example/users/4%202/a/b%C3%A9?q=a%2fb"),
        ("spin-path-info", "/a/b%C3%A9"),
        ("spin-matched-route", "/users/:user_id/..."),
        ("spin-component-route", "/users/:user_id"),
        ("spin-raw-component-route", "/users/:user_id/..."),
        ("spin-base-path", "/"),
        ("spin-path-match-user-id", "4%202"),
    ] {
        let values: Vec<_> = call.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    assert!(call.headers["spin-client-addr"].to_str().unwrap().starts_with("127.0.0.1:"));
    for name in ["spin-component", "chassis-token", "x-forwarded-for", "connection"] {
        assert!(!call.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn applications_cannot_shadow_the_hosts_resources() {
    let gateway = Gateway::start().await;
    for path in ["/health", "/health/live", "/health/ready", "/problems", "/problems/not-found"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
        let refused = gateway.request(&format!("POST {path}"), &["Content-Length: 0"]).await;
        assert_eq!((refused.status, refused.problem().as_str()), (405, "method-not-allowed"), "{path}");
        assert_eq!(refused.field("allow"), Some("GET,HEAD"));
    }
    assert!(gateway.component.calls().is_empty());
}

#[tokio::test]
async fn every_problem_type_resolves() {
    let gateway = Gateway::start().await;
    for problem in chassis_gateway::PROBLEMS {
        let page = gateway.get(&format!("/problems/{}", problem.slug)).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.field("content-type"), Some("text/markdown; charset=utf-8"));
        assert!(page.text().contains(problem.meaning), "{}", page.text());
    }
    assert_eq!(gateway.get("/problems/no-such-problem").await.problem(), "not-found");
}
