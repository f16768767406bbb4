//! A guest for tests and measurements. It imports nothing beyond WASI, so that it runs on every WASI 0.3 host.
//!
//! `answers` and `shared` are what a well-behaved component does; `surroundings` shows what it was given;
//! `misdeeds` and `handles` do on request what no component should: panic, loop, hoard memory or handles, flood the
//! log, overflow the stack.
#![cfg(target_arch = "wasm32")]

mod answers;
mod handles;
mod misdeeds;
mod shared;
mod surroundings;

use std::sync::OnceLock;

use axum::Router;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    // Made once per instance, as a component of the product makes it.
    static ROUTER: OnceLock<Router> = OnceLock::new();
    ROUTER.get_or_init(router).clone().call(request).await
}

fn router() -> Router {
    Router::new()
        .merge(answers::router())
        .merge(shared::router())
        .merge(surroundings::router())
        .merge(misdeeds::router())
        .merge(handles::router())
}
