//! Requests that wait beside each other in one instance, so that a test can see what becomes of the others when one of
//! them misbehaves.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::Query;
use axum::http::Method;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::time::sleep;

pub(crate) fn router() -> Router {
    Router::new().route("/wait", get(wait).post(wait))
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    ms: u64,
}

/// Says who answered, and repeats the body.
async fn wait(method: Method, Query(wait): Query<Wait>, body: String) -> Json<Value> {
    sleep(Duration::from_millis(wait.ms)).await;
    Json(json!({ "instance": instance(), "method": method.as_str(), "waited": wait.ms, "body": body }))
}

/// Tells this instance from others.
fn instance() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| format!("{:016x}", RandomState::new().hash_one(0)))
}
