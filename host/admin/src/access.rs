//! Tokens: who may call the admin side.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::{Caller, Page, Sources};
use crate::problem::{BODY_TOO_LARGE, CONFLICT, INVALID, NOT_FOUND, Problem, UNSUPPORTED};
use crate::store::StoreError;
use crate::token::{Role, TokenSummary};

/// A token to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    role: Role,
}

/// A token that was just made. Its secret is never told again.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    #[serde(flatten)]
    summary: TokenSummary,
    token: String,
}

pub(crate) async fn list(State(sources): State<Sources>) -> Json<Page<TokenSummary>> {
    Json(Page::whole(sources.tokens.list()))
}

pub(crate) async fn create(
    State(sources): State<Sources>,
    Extension(Caller(caller)): Extension<Caller>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let Json(Wanted { name, role }) = wanted.map_err(body_problem)?;
    let made = sources.tokens.create(&name, role, Timestamp::now()).await;
    let (summary, secret) = made.map_err(store_problem)?;
    tracing::info!(target: "chassis::admin", caller = caller.name, token = summary.id, name, ?role, "a token was made");
    Ok((StatusCode::CREATED, Json(Made { summary, token: secret.reveal().to_owned() })))
}

pub(crate) async fn revoke(
    State(sources): State<Sources>,
    Extension(Caller(caller)): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let gone = sources.tokens.revoke(&id).await.map_err(store_problem)?;
    let gone = gone.ok_or_else(|| Problem::new(NOT_FOUND, "There is no such token."))?;
    tracing::info!(target: "chassis::admin", caller = caller.name, token = gone.id, name = gone.name, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn body_problem(rejection: JsonRejection) -> Problem {
    let kind = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => BODY_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => UNSUPPORTED,
        _ => INVALID,
    };
    Problem::new(kind, rejection.body_text())
}

fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::Name => Problem::new(INVALID, error.to_string()),
        StoreError::Taken | StoreError::Full | StoreError::Last => Problem::new(CONFLICT, error.to_string()),
        StoreError::File { .. }
        | StoreError::Exposed(_)
        | StoreError::Malformed { .. }
        | StoreError::Format { .. }
        | StoreError::Ending => Problem::failed(&error),
    }
}
