//! A guest that tries, by request, whatever the platform could be asked for. It answers with `{"ok": ...}` where it
//! got through, and with `{"error": ...}` in the host's words where it did not.
#![cfg(target_arch = "wasm32")]

mod attempts;
mod outward;

use std::fmt::Debug;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    // Under a prefix as well, so that two components of one application can be made of it.
    Router::new().merge(doors()).nest("/victim", doors()).call(request).await
}

fn doors() -> Router {
    Router::new()
        .route("/query", post(attempts::query))
        .route("/batch", post(attempts::batch))
        .route("/publish", post(attempts::publish))
        .route("/publish-step", post(attempts::publish_step))
        .route("/publish-by-kit", post(attempts::publish_by_kit))
        .route("/mail", post(attempts::mail))
        .route("/key-value", post(attempts::key_value))
        .route("/config", post(attempts::config))
        .route("/send", post(outward::send))
}

/// What became of an attempt.
type Told = Json<Value>;

fn tell<T: Debug, E: Debug>(result: &Result<T, E>) -> Told {
    Json(match result {
        Ok(value) => json!({ "ok": format!("{value:?}") }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    })
}
