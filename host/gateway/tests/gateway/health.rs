//! What `/health` says.

use chassis_config::name::ComponentName;
use chassis_engine::api::{ComponentStatus, Health, Lane};
use serde_json::{Value, json};

use crate::harness::Gateway;

fn component(name: &str, health: Option<(bool, Value)>) -> ComponentStatus {
    ComponentStatus {
        name: ComponentName::parse(name).unwrap(),
        digest: "00".repeat(32),
        provides: Vec::new(),
        instances: 1,
        running: 0,
        waiting: 0,
        traps: 0,
        lane: Lane::Fast,
        health: health.map(|(healthy, body)| Health {
            healthy,
            body: Some(body),
            checked_at: "2026-01-01T00:00:00Z".to_owned(),
        }),
    }
}

#[tokio::test]
async fn healthy_components_make_a_healthy_whole() {
    let gateway = Gateway::start().await;
    let said = json!({"status": "healthy", "version": "0.3.0", "dependencies": {"database": "healthy"}});
    *gateway.component.health.lock().unwrap() = vec![component("auth", Some((true, said))), component("todos", None)];
    let response = gateway.get("/health").await;
    assert_eq!((response.status, response.field("cache-control")), (200, Some("no-store")));
    let body = response.json();
    assert_eq!(
        (&body["status"], &body["service"], &body["version"]),
        (&json!("healthy"), &json!("shop"), &json!("1.2.3"))
    );
    assert!(body["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(body["dependencies"], json!({"database": "healthy"}));
    let auth = json!({"status": "healthy", "version": "0.3.0", "checkedAt": "2026-01-01T00:00:00Z", "dependencies": {"database": "healthy"}});
    assert_eq!(body["services"], json!({"auth": auth, "todos": {"status": "unknown", "dependencies": {}}}));
    assert!(gateway.component.calls().is_empty(), "no component is asked");
}

#[tokio::test]
async fn one_sick_component_makes_the_whole_unhealthy_but_alive() {
    let gateway = Gateway::start().await;
    let well = json!({"dependencies": {"database": "healthy", "mail": "unknown"}});
    let sick = json!({"dependencies": {"database": "unhealthy", "queue": "on fire"}, "version": "x".repeat(65)});
    *gateway.component.health.lock().unwrap() =
        vec![component("auth", Some((true, well))), component("todos", Some((false, sick)))];
    let response = gateway.get("/health").await;
    assert_eq!(response.status, 503);
    let body = response.json();
    assert_eq!((&body["status"], &body["services"]["todos"]["status"]), (&json!("unhealthy"), &json!("unhealthy")));
    assert_eq!(body["dependencies"], json!({"database": "unhealthy", "mail": "unknown", "queue": "unhealthy"}));
    assert_eq!(body["services"]["todos"].get("version"), None);
    for path in ["/health/live", "/health/ready"] {
        let response = gateway.get(path).await;
        assert_eq!((response.status, &response.json()["status"]), (200, &json!("healthy")));
    }
}

#[tokio::test]
async fn what_a_component_says_of_itself_is_bounded() {
    let gateway = Gateway::start().await;
    let many: serde_json::Map<String, Value> =
        (0..100).map(|number| (format!("d{number}"), json!("healthy"))).collect();
    let said = json!({"dependencies": many, "version": 7});
    *gateway.component.health.lock().unwrap() =
        vec![component("auth", Some((true, said))), component("todos", Some((true, json!([]))))];
    let body = gateway.get("/health").await.json();
    assert_eq!(body["services"]["auth"]["dependencies"].as_object().unwrap().len(), 32);
    assert_eq!(body["status"], "healthy");
}
