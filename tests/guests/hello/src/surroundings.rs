//! What the component was given: its environment, its files, and whom it may call.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn router() -> Router {
    Router::new()
        .route("/environment", get(environment))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/fetch", get(fetch))
}

async fn environment() -> Json<BTreeMap<String, String>> {
    Json(std::env::vars().collect())
}

#[derive(Deserialize)]
struct File {
    path: String,
}

async fn read(Query(file): Query<File>) -> Result<String, (StatusCode, String)> {
    std::fs::read_to_string(&file.path).map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))
}

async fn write(Query(file): Query<File>) -> Result<&'static str, (StatusCode, String)> {
    match std::fs::write(&file.path, "written by a guest") {
        Ok(()) => Ok("written\n"),
        Err(error) => Err((StatusCode::FORBIDDEN, error.to_string())),
    }
}

#[derive(Deserialize)]
struct Fetch {
    url: String,
}

/// The status that a URL answers with, or why it does not.
async fn fetch(Query(fetch): Query<Fetch>) -> Json<Value> {
    match spin_sdk::http::get(&fetch.url).await {
        Ok(response) => Json(json!({ "status": response.status().as_u16() })),
        Err(error) => Json(json!({ "error": format!("{error:?}") })),
    }
}
