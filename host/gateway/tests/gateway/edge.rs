//! Cross-origin permissions, compression, security headers.

use chassis_config::plan::GatewayPolicy;
use http_body_util::BodyExt;
use tower::{ServiceExt, service_fn};
use tower_http::decompression::Decompression;

use crate::client::Response;
use crate::harness::{Gateway, policy};

/// The text of a response, whatever it was compressed with.
pub(crate) async fn decoded(response: &Response) -> String {
    let response = response.clone();
    let inner = service_fn(move |_request: http::Request<()>| {
        let mut answer = http::Response::builder().status(response.status);
        if let Some(coding) = response.field("content-encoding") {
            answer = answer.header("content-encoding", coding);
        }
        let body = http_body_util::Full::new(bytes::Bytes::from(response.body.clone()));
        async move { answer.body(body) }
    });
    let answer = Decompression::new(inner).oneshot(http::Request::new(())).await.unwrap();
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn what_gains_by_it_is_compressed() {
    let gateway = Gateway::start().await;
    for (query, accepted, coding) in [
        ("length=5000", "gzip", Some("gzip")),
        ("length=5000", "br", Some("br")),
        ("length=5000", "zstd", Some("zstd")),
        ("length=5000", "gzip;q=0.5, br;q=1", Some("br")),
        ("length=5000&content-type=application/json", "gzip", Some("gzip")),
        ("length=5000&cache-control=max-age=60", "gzip", Some("gzip")),
        ("length=5000", "identity", None),
        ("length=5000", "gzip;q=0", None),
        ("length=500", "gzip", None),
        ("length=5000&content-type=image/png", "gzip", None),
        ("length=5000&content-type=text/event-stream", "gzip", None),
        ("length=5000&content-type=application/octet-stream", "gzip", None),
        ("length=5000&content-encoding=x-own", "gzip", None),
        ("length=5000&cache-control=no-store", "gzip", None),
        ("length=5000&cache-control=private,+No-Store", "gzip", None),
        ("length=5000&cache-control=no-transform", "gzip", None),
    ] {
        let fields = [format!("Accept-Encoding: {accepted}")];
        let response = gateway.request(&format!("GET /page?{query}"), &[&fields[0]]).await;
        let own = query.contains("x-own").then_some("x-own");
        assert_eq!(response.field("content-encoding"), coding.or(own), "{query} {accepted}");
        if own.is_none() {
            let text = decoded(&response).await;
            assert!(text.starts_with("lorem ipsum ") && query.contains(&format!("length={}", text.len())), "{query}");
        }
        if coding.is_some() {
            let vary: Vec<_> = response
                .fields
                .iter()
                .filter(|(name, _)| name == "vary")
                .map(|(_, value)| value.to_lowercase())
                .collect();
            assert!(vary.iter().any(|value| value.contains("accept-encoding")), "{vary:?}");
            assert_eq!(response.field("content-length"), None);
        }
    }
}

#[tokio::test]
async fn a_listed_origin_may_call_with_credentials() {
    let gateway = Gateway::start().await;
    let ask = [
        "Origin: https://app.example.org",
        "Access-Control-Request-Method: PATCH",
        "Access-Control-Request-Headers: if-match,x-own",
    ];
    let preflight = gateway.request("OPTIONS /anything", &ask).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.field("access-control-allow-origin"), Some("https://app.example.org"));
    assert_eq!(preflight.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(preflight.field("access-control-allow-headers"), Some("if-match,x-own"));
    assert!(preflight.field("access-control-allow-methods").unwrap().contains("PATCH"));
    assert_eq!(preflight.field("access-control-max-age"), Some("600"));
    assert!(gateway.component.calls().is_empty(), "a preflight asks no component");

    for path in ["/", "/trap"] {
        let response = gateway.request(&format!("GET {path}"), &["Origin: https://app.example.org"]).await;
        assert_eq!(response.field("access-control-allow-origin"), Some("https://app.example.org"), "{path}");
        assert!(response.field("access-control-expose-headers").unwrap().contains("etag"));
        assert_eq!(response.field("vary"), Some("origin"));
    }
}

#[tokio::test]
async fn requests_without_an_origin_get_no_permissions_but_caches_are_told() {
    let gateway = Gateway::start().await;
    let response = gateway.get("/").await;
    assert!(!response.fields.iter().any(|(name, _)| name.starts_with("access-control-")));
    assert_eq!(response.field("vary"), Some("origin"));
}

#[tokio::test]
async fn other_origins_may_not_call() {
    let gateway = Gateway::start().await;
    for origin in [
        "https://evil.example",
        "http://app.example.org",
        "https://app.example.org:444",
        "https://app.example.org.evil.example",
        "null",
    ] {
        for line in ["OPTIONS /", "GET /"] {
            let fields = [format!("Origin: {origin}"), "Access-Control-Request-Method: GET".to_owned()];
            let response = gateway.request(line, &[&fields[0], &fields[1]]).await;
            assert_eq!(response.field("access-control-allow-origin"), None, "{origin} {line}");
        }
    }
}

#[tokio::test]
async fn any_origin_may_call_without_credentials_where_the_list_says_so() {
    let gateway = Gateway::with(GatewayPolicy { cors_origins: vec!["*".to_owned()], ..policy() }).await;
    let response = gateway.request("GET /", &["Origin: https://evil.example"]).await;
    assert_eq!(response.field("access-control-allow-origin"), Some("*"));
    assert_eq!(response.field("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn options_that_are_no_preflight_are_the_components() {
    for cors_origins in [policy().cors_origins, Vec::new()] {
        let gateway = Gateway::with(GatewayPolicy { cors_origins, ..policy() }).await;
        assert_eq!(gateway.request("OPTIONS /", &[]).await.text(), "hello");
        assert_eq!(gateway.component.call().method, http::Method::OPTIONS);
    }
}

#[tokio::test]
async fn security_headers_are_set_where_a_component_set_none() {
    let gateway = Gateway::start().await;
    for path in ["/", "/trap", "/health", "/.chassis"] {
        let response = gateway.get(path).await;
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(response.field("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        assert_eq!(response.field("referrer-policy"), Some("no-referrer"));
        assert_eq!(response.field("strict-transport-security"), None);
    }
    let own = gateway.get("/page?length=5&content-security-policy=default-src+'self'").await;
    let policies: Vec<_> = own.fields.iter().filter(|(name, _)| name == "content-security-policy").collect();
    assert_eq!(policies.len(), 1);
    assert_eq!(own.field("content-security-policy"), Some("default-src 'self'"));
}
