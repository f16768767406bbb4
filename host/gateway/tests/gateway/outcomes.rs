//! What the engine answers, seen from outside.

use crate::client::exchange_head;
use crate::harness::Gateway;

#[tokio::test]
async fn failures_become_problems_without_their_reasons() {
    let gateway = Gateway::start().await;
    for (path, status, slug, retry_after) in [
        ("/gone", 404, "not-found", None),
        ("/overloaded", 503, "overloaded", Some("2")),
        ("/deadline", 504, "deadline-exceeded", None),
        ("/trap", 500, "component-failed", None),
        ("/lost", 503, "instance-lost", Some("0")),
        ("/bad", 502, "bad-response", None),
        ("/down", 503, "shutting-down", Some("1")),
        ("/informational", 502, "bad-response", None),
    ] {
        let response = gateway.get(path).await;
        assert_eq!((response.status, response.problem().as_str()), (status, slug), "{path}");
        assert_eq!(response.field("retry-after"), retry_after, "{path}");
        assert!(!response.text().contains("secret"), "{}", response.text());
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_a_problem() {
    let gateway = Gateway::start().await;
    // Everything but `/gone/...` has a route here; below an exact one there is none of its own.
    let response = gateway.get("/gone/").await;
    assert_eq!(response.problem(), "not-found");
}

#[tokio::test]
async fn neighbour_fields_and_the_hosts_own_do_not_leave() {
    let gateway = Gateway::start().await;
    let response = gateway.get("/page?length=5&connection=x-a&keep-alive=timeout").await;
    assert_eq!(response.text(), "lorem");
    for name in ["keep-alive", "chassis-instance"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("connection"), Some("close"));
}

#[tokio::test]
async fn head_is_answered_like_get_without_its_body() {
    let gateway = Gateway::start().await;
    for (path, length) in
        [("/page?length=5", "5"), ("/page?length=5000&content-type=image/png", "5000"), ("/problems/not-found", "")]
    {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let head = exchange_head(gateway.address, request.as_bytes()).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && head.contains(&format!("content-length: {length}")), "{head}");
    }
    assert_eq!(gateway.component.calls()[0].method, http::Method::HEAD);
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn no_content_has_no_body() {
    let gateway = Gateway::start().await;
    let sent = "GET /empty HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let responses = crate::client::exchange(gateway.address, sent.as_bytes()).await;
    assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [204, 200]);
    assert_eq!(responses[1].text(), "hello");
}
