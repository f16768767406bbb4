//! A guest that imports an interface that nobody grants: it must not be loaded.
#![cfg(target_arch = "wasm32")]

mod bindings;

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    bindings::acme::grabber::vault::open(request.uri().path())
}
