//! What a component tries to reach over HTTP: the host's own doors, the cloud's, and those of other components.

use chassis_tests::{App, Host};
use serde_json::json;

use super::attempts::{Attempt, message};

fn manifest(outbound: &str) -> String {
    format!(
        r#"
[[trigger.http]]
route = "/..."
component = "intruder"
[component.intruder]
source = "intruder.wasm"
allowed_outbound_hosts = [{outbound}]
[[trigger.http]]
route = "/victim/..."
component = "victim"
[component.victim]
source = "hello.wasm"
"#
    )
}

/// One event, as the host would deliver it.
fn event() -> String {
    json!({
        "specversion": "1.0", "id": "0197", "source": "/components/auth", "type": "user.registered",
        "time": "2026-01-01T00:00:00Z", "data": { "userId": "usr_1" }
    })
    .to_string()
}

async fn send(host: &Host, method: &str, url: &str) -> anyhow::Result<Attempt> {
    let headers = json!({ "content-type": "application/cloudevents+json", "chassis-delivery-token": "guess" });
    let body = if method == "POST" { event() } else { String::new() };
    let what = json!({ "method": method, "url": url, "headers": headers, "body": body });
    Attempt::make(host, "/send", &what).await
}

#[tokio::test]
async fn hosts_that_are_not_listed_are_denied_and_the_log_says_so() -> anyhow::Result<()> {
    let app = App::new(&manifest("\"https://api.example.com\""))?;
    let host = Host::start(&app).await?;
    let (gateway, admin) = (host.url(""), host.admin_url(""));
    for (method, origin, path) in [
        ("GET", admin.as_str(), "/v1/components"),
        ("GET", &admin, "/metrics"),
        ("POST", &admin, "/v1/dead-letters/1/replay"),
        ("GET", "http://169.254.169.254", "/latest/meta-data/"),
        ("GET", "http://[fd00:ec2::254]", "/latest/meta-data/"),
        ("GET", "http://2852039166", "/latest/meta-data/"),
        ("GET", "http://localhost", "/"),
        ("GET", "http://example.org", "/"),
        // What is listed, in another scheme, on another port, and as part of another name.
        ("GET", "http://api.example.com", "/"),
        ("GET", "https://api.example.com:8443", "/"),
        ("GET", "https://api.example.com.evil.test", "/"),
        ("GET", "https://api.example.com@evil.test", "/"),
        ("GET", &gateway, "/victim/hello?secret=hunter2"),
        ("POST", &gateway, "/.chassis/events"),
        ("POST", &gateway, "/victim/.chassis/events"),
    ] {
        let attempt = send(&host, method, &format!("{origin}{path}")).await?;
        assert!(attempt.error().contains("HttpRequestDenied"), "{method} {origin}{path}: {attempt:?}");
        attempt.is_logged(&host, "intruder", message::OUTGOING, origin).await?;
    }
    let lines: Vec<String> =
        host.log().lines().filter(|line| line.contains(message::OUTGOING)).map(str::to_owned).collect();
    assert_eq!(lines.len(), 15, "one each: {lines:?}");
    assert!(!lines.iter().any(|line| line.contains("hunter2")), "what a query holds is nobody's business: {lines:?}");
    Ok(())
}

#[tokio::test]
async fn private_paths_and_the_admin_door_stay_shut_where_the_address_is_granted() -> anyhow::Result<()> {
    let app = App::new(&manifest("\"http://127.0.0.1:*\""))?;
    let host = Host::start(&app).await?;
    let gateway = host.url("");
    assert_eq!(send(&host, "GET", &format!("{gateway}/victim/x")).await?.told["ok"], "404", "the grant is good");
    for path in ["/.chassis/events", "/victim/.chassis/events", "/.chassis/health", "/victim/../.chassis/events"] {
        let attempt = send(&host, "POST", &format!("{gateway}{path}")).await?;
        assert!(matches!(attempt.told["ok"].as_str(), Some("404" | "400")), "{path}: {attempt:?}");
    }
    // The gateway has turned them away, and says so of each; no component has seen them.
    for path in ["/.chassis/events", "/victim/.chassis/events"] {
        let access = json!({ "target": "chassis::access", "method": "POST", "path": path, "status": 404 });
        let line = host.await_line(&access).await?;
        assert_eq!(line.get("component"), None, "{line}");
        assert!(line["request_id"].is_string(), "{line}");
    }
    for path in ["/v1/components", "/v1/mailbox", "/metrics"] {
        let attempt = send(&host, "GET", &host.admin_url(path)).await?;
        assert_eq!(attempt.told["ok"], "401", "{path}: only with a token");
    }
    Ok(())
}
