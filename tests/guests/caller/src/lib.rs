//! A guest that calls other guests, and tells what became of the call.
//!
//! `/call/<function>` makes a call: 200 with its answer, 409 where the provider refused, 503 with the reason where the
//! provider was not available. `/hold` waits until somebody asks for `/release`; `/held` tells how many do. Every answer
//! names the instance that gave it.
#![cfg(target_arch = "wasm32")]

mod calls;
mod samples;

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "asking", additional_derives: [PartialEq, Clone] });
}

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::time::sleep;
use tower_service::Service;

use self::calls::Outcome;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new()
        .route("/call/{function}", get(call))
        .route("/hold", get(hold))
        .route("/held", get(held))
        .route("/release", get(release))
        .call(request)
        .await
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    ms: u32,
    #[serde(default)]
    url: String,
    #[serde(default)]
    bytes: usize,
}

async fn call(Path(function): Path<String>, Query(asked): Query<Asked>) -> (StatusCode, Json<Value>) {
    let (status, key, value) = match calls::make(&function, asked).await {
        Outcome::Answer(text) => (StatusCode::OK, "answer", text),
        Outcome::Refused(why) => (StatusCode::CONFLICT, "refused", why),
        Outcome::Unavailable(case) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", case.to_owned()),
        Outcome::Unknown => (StatusCode::NOT_FOUND, "unknown", function),
    };
    (status, Json(json!({ "instance": instance(), key: value })))
}

/// Requests that wait in this instance.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// How often they were let go.
static RELEASES: AtomicUsize = AtomicUsize::new(0);

async fn hold() -> Json<Value> {
    let before = RELEASES.load(Ordering::Relaxed);
    HELD.fetch_add(1, Ordering::Relaxed);
    while RELEASES.load(Ordering::Relaxed) == before {
        sleep(Duration::from_millis(10)).await;
    }
    HELD.fetch_sub(1, Ordering::Relaxed);
    Json(json!({ "instance": instance() }))
}

async fn held() -> Json<Value> {
    Json(json!({ "instance": instance(), "held": HELD.load(Ordering::Relaxed) }))
}

async fn release() -> Json<Value> {
    RELEASES.fetch_add(1, Ordering::Relaxed);
    Json(json!({ "instance": instance() }))
}

/// Tells this instance from others.
fn instance() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| format!("{:016x}", RandomState::new().hash_one(0)))
}
