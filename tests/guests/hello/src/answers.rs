//! What a well-behaved component answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::time::sleep;

pub(crate) fn router() -> Router {
    Router::new()
        .route("/hello", get(hello))
        .route("/hello/{name}", get(hello_name))
        .route("/echo", post(echo))
        .route("/count", post(count))
        .route("/slow", get(slow))
        .route("/stream", get(chunks))
        .route("/headers", get(headers))
        .route("/uri", get(uri))
        .route("/.chassis/health", get(health))
}

async fn hello() -> &'static str {
    "Hello from a component!\n"
}

async fn hello_name(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

/// Sends every piece of the body back as it arrives.
async fn echo(request: Request) -> Response {
    let content_type = request.headers().get("content-type").cloned();
    let mut response = Body::new(request.into_body()).into_response();
    if let Some(value) = content_type {
        response.headers_mut().insert("content-type", value);
    }
    response
}

/// Reads the whole body, piece by piece, and answers with its length: nothing is kept.
async fn count(request: Request) -> Response {
    use futures::StreamExt;
    let mut pieces = request.into_body().into_data_stream();
    let (mut bytes, mut number) = (0_usize, 0_usize);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => {
                bytes += piece.len();
                number += 1;
            }
            Err(error) => return (axum::http::StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        }
    }
    Json(json!({ "bytes": bytes, "pieces": number })).into_response()
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default = "one_second")]
    ms: u64,
}

fn one_second() -> u64 {
    1000
}

async fn slow(Query(wait): Query<Wait>) -> String {
    sleep(Duration::from_millis(wait.ms)).await;
    format!("waited {} ms\n", wait.ms)
}

#[derive(Deserialize)]
struct Chunks {
    #[serde(default = "five")]
    chunks: u32,
    #[serde(default)]
    ms: u64,
}

fn five() -> u32 {
    5
}

/// Sends `chunks` lines, pausing `ms` milliseconds before each but the first.
async fn chunks(Query(wanted): Query<Chunks>) -> Response {
    let pause = Duration::from_millis(wanted.ms);
    let lines = stream::unfold(0_u32, move |sent| async move {
        if sent == wanted.chunks {
            return None;
        }
        if sent > 0 && !pause.is_zero() {
            sleep(pause).await;
        }
        let line = Bytes::from(format!("chunk {sent}\n"));
        Some((Ok::<_, Infallible>(line), sent + 1))
    });
    ([("content-type", "text/plain")], Body::from_stream(lines)).into_response()
}

/// The request's header fields, as the component sees them.
async fn headers(headers: HeaderMap) -> Json<BTreeMap<String, Vec<String>>> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &headers {
        seen.entry(name.to_string()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    Json(seen)
}

async fn uri(uri: Uri) -> Json<Value> {
    Json(json!({ "path": uri.path(), "query": uri.query() }))
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "healthy", "service": "hello", "version": env!("CARGO_PKG_VERSION"), "dependencies": {} }))
}
