//! What a component tries to reach over HTTP: the host's own doors, the cloud's, and those of other components.

use chassis_tests::{App, Host};
use reqwest::StatusCode;
use serde_json::{Value, json};

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

async fn send(host: &Host, method: &str, url: &str) -> anyhow::Result<Value> {
    let headers = json!({ "content-type": "application/cloudevents+json", "chassis-delivery-token": "guess" });
    let body = if method == "POST" { event() } else { String::new() };
    let what = json!({ "method": method, "url": url, "headers": headers, "body": body });
    let response = host.post_json("/send", &what).await?;
    assert_eq!(response.status(), StatusCode::OK, "{url}");
    Ok(response.json().await?)
}

#[tokio::test]
async fn hosts_that_are_not_listed_are_denied_and_the_log_says_so() -> anyhow::Result<()> {
    let app = App::new(&manifest("\"https://api.example.com\""))?;
    let host = Host::start(&app).await?;
    let (gateway, admin) = (host.url(""), host.admin_url(""));
    for (method, url) in [
        ("GET", format!("{admin}/v1/components")),
        ("GET", format!("{admin}/metrics")),
        ("POST", format!("{admin}/v1/dead-letters/1/replay")),
        ("GET", "http://169.254.169.254/latest/meta-data/".to_owned()),
        ("GET", "http://[fd00:ec2::254]/latest/meta-data/".to_owned()),
        ("GET", "http://2852039166/latest/meta-data/".to_owned()),
        ("GET", "http://localhost/".to_owned()),
        ("GET", "http://example.org/".to_owned()),
        // What is listed, in another scheme, on another port, and as part of another name.
        ("GET", "http://api.example.com/".to_owned()),
        ("GET", "https://api.example.com:8443/".to_owned()),
        ("GET", "https://api.example.com.evil.test/".to_owned()),
        ("GET", "https://api.example.com@evil.test/".to_owned()),
        ("GET", format!("{gateway}/victim/hello")),
        ("POST", format!("{gateway}/.chassis/events")),
        ("POST", format!("{gateway}/victim/.chassis/events")),
    ] {
        let told = send(&host, method, &url).await?;
        let error = told["error"].as_str().unwrap_or_default();
        assert!(error.contains("HttpRequestDenied") || error.contains("HttpError"), "{method} {url}: {told}");
    }
    for authority in [host.address(), "169.254.169.254", "[fd00:ec2::254]", "example.org", "api.example.com:8443"] {
        host.await_log(&format!("\"authority\":\"{authority}\",\"component\":\"intruder\"")).await?;
    }
    let log = host.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("refused an outgoing request")).collect();
    let admin = admin.trim_start_matches("http://");
    assert_eq!(lines.iter().filter(|line| line.contains(admin)).count(), 3, "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn private_paths_and_the_admin_door_stay_shut_where_the_address_is_granted() -> anyhow::Result<()> {
    let app = App::new(&manifest("\"http://127.0.0.1:*\""))?;
    let host = Host::start(&app).await?;
    let gateway = host.url("");
    assert_eq!(send(&host, "GET", &format!("{gateway}/victim/x")).await?["ok"], "404", "the grant is good");
    for path in ["/.chassis/events", "/victim/.chassis/events", "/.chassis/health", "/victim/../.chassis/events"] {
        let told = send(&host, "POST", &format!("{gateway}{path}")).await?;
        assert!(matches!(told["ok"].as_str(), Some("404" | "400")), "{path}: {told}");
    }
    assert_eq!(send(&host, "POST", &format!("{gateway}/.chassis/events")).await?["ok"], "404");
    for path in ["/v1/components", "/v1/mailbox", "/metrics"] {
        assert_eq!(send(&host, "GET", &host.admin_url(path)).await?["ok"], "401", "{path}: only with a token");
    }
    Ok(())
}
