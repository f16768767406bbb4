//! The least that a component can be: one route, one text. `cargo xtask bench` measures it against the same router
//! natively, so what it costs is what a component costs.
#![cfg(target_arch = "wasm32")]

use std::sync::OnceLock;

use axum::Router;
use axum::routing::get;
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
    Router::new().route("/hello", get(hello))
}

async fn hello() -> &'static str {
    "Hello from a component!\n"
}
