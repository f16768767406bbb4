//! The greeting of the guest `greeting`.

use axum::Router;
use axum::routing::get;

/// Its one route.
pub(crate) fn router() -> Router {
    Router::new().route("/hello", get(hello))
}

async fn hello() -> &'static str {
    "Hello from a component!\n"
}
