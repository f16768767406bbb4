//! Requests that wait beside each other in one instance, so that a test can see what becomes of the others when one of
//! them misbehaves.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use axum::extract::Query;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn router() -> Router {
    Router::new().route("/wait", get(wait).post(wait))
}

#[derive(Deserialize)]
struct Wait {
    /// A server that is asked first, and takes its time.
    until: String,
}

/// Says who answered, and repeats the body.
async fn wait(method: Method, Query(wait): Query<Wait>, body: String) -> Result<Json<Value>, (StatusCode, String)> {
    let asked = spin_sdk::http::get(&wait.until).await;
    asked.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{error:?}")))?;
    Ok(Json(json!({ "instance": instance(), "method": method.as_str(), "body": body })))
}

/// Tells this instance from others.
fn instance() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| format!("{:016x}", RandomState::new().hash_one(0)))
}
