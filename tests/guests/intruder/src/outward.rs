//! Attempts over HTTP.

use std::collections::BTreeMap;

use axum::Json;
use serde::Deserialize;
use spin_sdk::http;
use spin_sdk::http::body::IncomingBodyExt as _;

use crate::{Told, tell};

#[derive(Deserialize)]
pub(crate) struct Send {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// Whether the response is read to its end.
    #[serde(default)]
    read: bool,
}

/// The status that a URL answers with, or why it does not.
pub(crate) async fn send(Json(attempt): Json<Send>) -> Told {
    tell(&answer(attempt).await.map_err(|error| format!("{error:?}")))
}

async fn answer(attempt: Send) -> http::Result<u16> {
    let mut request = axum::http::Request::builder().method(attempt.method.as_str()).uri(attempt.url);
    for (name, value) in attempt.headers {
        request = request.header(name, value);
    }
    let request = request.body(attempt.body).map_err(http::Error::HttpError)?;
    let response = http::send(request).await?;
    let status = response.status().as_u16();
    if attempt.read {
        response.into_body().bytes().await?;
    }
    Ok(status)
}
