//! The public keys, for whoever checks tokens without asking.

use chassis_kit::axum::extract::State;
use chassis_kit::axum::http::{HeaderValue, header};
use chassis_kit::axum::response::{IntoResponse as _, Response};
use chassis_kit::{Json, utoipa};

use crate::component::App;
use crate::domain::signing::key_set;
use crate::error::Error;

/// The public keys (RFC 7517). Whoever keeps them may do so for five minutes.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, description = "A JSON Web Key Set", body = Object)),
)]
pub(crate) async fn jwks(State(app): State<App>) -> Result<Response, Error> {
    let keys = app.keyring().published(&app).await?;
    let mut response = Json(key_set(&keys)?).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}
