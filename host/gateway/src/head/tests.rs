use std::time::Duration;

use chassis_config::name::ComponentName;
use chassis_config::plan::GatewayPolicy;
use chassis_config::route::{RoutePattern, Router};
use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};

use super::{admit, is_host_field, set_spin_headers};
use crate::problem::Occurrence;

fn policy() -> GatewayPolicy {
    let time = Duration::from_secs(1);
    GatewayPolicy {
        body_bytes: 1024,
        header_bytes: 512,
        header_fields: 8,
        header_timeout: time,
        body_idle_timeout: time,
        request_timeout: time,
        connections: 8,
        requests: 8,
        drain_timeout: time,
        cors_origins: Vec::new(),
        probe_interval: time,
        probe_timeout: time,
    }
}

fn parts(target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(target).body(()).unwrap();
    for (name, value) in fields {
        request.headers_mut().append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    request.into_parts().0
}

fn refused(target: &str, fields: &[(&str, &str)]) -> StatusCode {
    let problem = admit(&mut parts(target, fields), &policy()).expect_err(target);
    problem.respond(Occurrence { request_id: "", trace_id: "" }).status()
}

#[test]
fn one_host_is_required_and_the_target_becomes_absolute() {
    let mut served = parts("/a?b=c", &[("host", "example.org:8080")]);
    admit(&mut served, &policy()).unwrap();
    assert_eq!(served.uri, "http://example.org:8080/a?b=c");
    for fields in [
        &[][..],
        &[("host", "a"), ("host", "a")],
        &[("host", "")],
        &[("host", "a b")],
        &[("host", "user@a")],
        &[("host", "a/b")],
        &[("host", "a:99999")],
        &[("host", "a:")],
        &[("host", ":80")],
    ] {
        assert_eq!(refused("/", fields), StatusCode::BAD_REQUEST, "{fields:?}");
    }
}

#[test]
fn the_authority_of_an_absolute_target_counts_more_than_host() {
    let mut served = parts("http://example.org/a", &[("host", "other.example")]);
    admit(&mut served, &policy()).unwrap();
    assert_eq!(served.uri, "http://example.org/a");
    assert_eq!(served.headers["host"], "example.org");
    assert_eq!(refused("ftp://example.org/a", &[("host", "example.org")]), StatusCode::BAD_REQUEST);
    assert_eq!(refused("http://u:p@example.org/a", &[("host", "example.org")]), StatusCode::BAD_REQUEST);
    assert_eq!(refused("http://example.org/a", &[]), StatusCode::BAD_REQUEST);
}

#[test]
fn heads_beyond_the_limits_are_refused() {
    let fields: Vec<(&str, &str)> = std::iter::once(("host", "a")).chain((0..8).map(|_| ("x", "y"))).collect();
    assert_eq!(refused("/", &fields), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let long = "x".repeat(600);
    assert_eq!(refused("/", &[("host", "a"), ("x", &long)]), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(refused(&format!("/{long}"), &[("host", "a")]), StatusCode::URI_TOO_LONG);
}

#[test]
fn what_is_the_neighbours_or_the_hosts_is_taken_away() {
    let kept = [("host", "a"), ("accept", "*/*"), ("authorization", "Bearer x"), ("spinner", "1")];
    let dropped = [
        ("connection", "close, X-Secret-Hop, host,,\u{20}bad name"),
        ("x-secret-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
    ];
    let mut served = parts("/", &[&kept[..], &dropped[..]].concat());
    admit(&mut served, &policy()).unwrap();
    let names: Vec<&str> = served.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names.len(), kept.len(), "{names:?}");
    for (name, value) in kept {
        assert_eq!(served.headers[name], value);
    }
    let claims =
        ["spin-client-addr", "chassis-token", "Chassis_Token", "spin_path_info", "x-forwarded-for", "forwarded"];
    let fields: Vec<(&str, &str)> = claims.iter().map(|name| (*name, "1")).chain([("host", "a")]).collect();
    let mut served = parts("/", &fields);
    admit(&mut served, &policy()).unwrap();
    assert_eq!(served.headers.len(), 1, "{:?}", served.headers);
    assert!(!is_host_field("chassis") && !is_host_field("spinner-x") && is_host_field("spin-"));
}

#[test]
fn spin_fields_say_how_the_component_was_reached() {
    for (route, target, expected) in [
        (
            "/...",
            "/a/b%20c",
            [("spin-path-info", "/a/b%20c"), ("spin-component-route", ""), ("spin-raw-component-route", "/...")],
        ),
        (
            "/api/...",
            "/api/x/",
            [("spin-path-info", "/x/"), ("spin-component-route", "/api"), ("spin-matched-route", "/api/...")],
        ),
        ("/api/...", "/api", [("spin-path-info", ""), ("spin-component-route", "/api"), ("spin-base-path", "/")]),
        (
            "/api",
            "/api",
            [("spin-path-info", ""), ("spin-component-route", "/api"), ("spin-full-url", "http://a/api?q=1")],
        ),
        (
            "/u/:user_id/...",
            "/u/4%202/x",
            [("spin-path-match-user-id", "4%202"), ("spin-path-info", "/x"), ("spin-component-route", "/u/:user_id")],
        ),
    ] {
        let pattern = RoutePattern::parse(route).unwrap();
        let router = Router::new([(pattern, ComponentName::parse("a").unwrap())]).unwrap();
        let mut served = parts(&format!("{target}?q=1"), &[("host", "a"), ("spin-client-addr", "6.6.6.6:6")]);
        admit(&mut served, &policy()).unwrap();
        let decoded = target.replace("%20", " ");
        set_spin_headers(&mut served, &router.find(&decoded).unwrap(), "127.0.0.1:5".parse().unwrap());
        for (name, value) in expected {
            assert_eq!(served.headers[name], value, "{route} {target} {name}");
        }
        let addresses: Vec<_> = served.headers.get_all("spin-client-addr").iter().collect();
        assert_eq!(addresses, ["127.0.0.1:5"]);
    }
}
