//! What each route does: parse, decide (domain), store, respond.

mod access;
pub(crate) mod accounts;
mod bodies;
pub(crate) mod keys;
pub(crate) mod sessions;

use chassis_kit::axum::http::{HeaderValue, header};
use chassis_kit::axum::response::{IntoResponse, Response};

pub(crate) use self::access::identify;

/// An answer that nobody may keep, because it is about one person or holds a token.
fn not_stored(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
