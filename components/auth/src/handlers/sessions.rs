//! Logging in, going on, logging out.

use chassis_kit::axum::extract::State;
use chassis_kit::axum::http::StatusCode;
use chassis_kit::axum::response::Response;
use chassis_kit::{Component as _, CurrentUser, DbError, Json, log, utoipa};
use chassis_values::time;
use jiff::Timestamp;
use serde_json::json;

use super::access::issue;
use super::bodies::{Credentials, Refresh, Tokens, Validated};
use super::not_stored;
use crate::component::App;
use crate::domain::account::User;
use crate::domain::email::search_key;
use crate::domain::ids::{AuditId, SessionId};
use crate::domain::password;
use crate::domain::refresh::{Decision, RefreshToken, StoredToken, TokenHash, decide};
use crate::domain::session::Session;
use crate::error::Error;
use crate::events;
use crate::store::{self, EndReason, Ending};

/// How often a refresh is decided anew where other requests come between. Each time another request has won, and after
/// the first of them the token is used, so more than two are not expected.
const DECISIONS_MAX: u32 = 4;

/// Open a session.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", request_body = Credentials,
    responses(
        (status = 200, description = "The tokens of the new session", body = Tokens),
        (status = 401, description = "Address and password do not belong together"),
    ),
)]
pub(crate) async fn login(State(app): State<App>, Json(body): Json<Credentials>) -> Result<Response, Error> {
    // Known and unknown addresses take the same way up to the refusal: one query, one hash.
    let found = store::find_credentials(&app.db(), &search_key(&body.email)).await?;
    let fits = password::verify(&body.password, found.as_ref().map(|found| found.password_hash.as_str()));
    let found = found.filter(|found| fits && found.is_active).ok_or(Error::InvalidCredentials)?;
    let user = store::find_user(&app.db(), &found.user_id).await?.ok_or(Error::InvalidCredentials)?;
    let tokens = open(&app, &user).await?;
    Ok(not_stored(Json(tokens)))
}

async fn open(app: &App, user: &User) -> Result<Tokens, Error> {
    let environment = app.environment();
    let now = time::whole_millis(environment.now());
    let session = Session::new(SessionId::new(now, environment.random()?), user.id.clone(), now);
    let token = RefreshToken::new(environment.random()?);
    let tokens = issue(app, user, &session, &token, now).await?;
    let expires_at = session.refresh_expiry(&*app.settings().await?, now);
    let batch = store::open_session(&session, now)
        .run(store::insert_token(&token.hash(), &session.id, now, expires_at))
        .publish(events::logged_in(user, now));
    match app.db().apply(batch).await {
        Ok(_answers) => Ok(tokens),
        // The first step writes nothing where the account was deactivated meanwhile.
        Err(DbError::Guard(_)) => Err(Error::InvalidCredentials),
        Err(error) => Err(error.into()),
    }
}

/// Go on with a session: the refresh token is used up, and a new pair of tokens given out.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Refresh,
    responses(
        (status = 200, description = "The next tokens of the session", body = Tokens),
        (status = 401, description = "The token does not count. Where it was used before, the session has ended"),
    ),
)]
pub(crate) async fn refresh(State(app): State<App>, Json(body): Json<Refresh>) -> Result<Response, Error> {
    let token = RefreshToken::parse(&body.refresh_token).ok_or(Error::InvalidRefreshToken)?;
    let hash = token.hash();
    for _decision in 0..DECISIONS_MAX {
        let now = time::whole_millis(app.environment().now());
        let stored = store::find_token(&app.db(), &hash).await?;
        match (decide(stored.as_ref(), now), stored) {
            (Decision::Rotate, Some(stored)) => {
                if let Some(tokens) = rotate(&app, &hash, &stored, now).await? {
                    return Ok(not_stored(Json(tokens)));
                }
            }
            (Decision::EndSession, Some(stored)) => {
                end(&app, &stored.session, EndReason::Reuse, now).await?;
                return Err(Error::InvalidRefreshToken);
            }
            (_, _) => return Err(Error::InvalidRefreshToken),
        }
    }
    Err(DbError::Conflict.into())
}

/// Use a token up and give out its successor; none where another request came between, and it must be decided anew.
async fn rotate(app: &App, used: &TokenHash, stored: &StoredToken, now: Timestamp) -> Result<Option<Tokens>, Error> {
    let session = &stored.session;
    let user = store::find_user(&app.db(), session.user_id.as_str()).await?.ok_or(Error::InvalidRefreshToken)?;
    let next = RefreshToken::new(app.environment().random()?);
    let tokens = issue(app, &user, session, &next, now).await?;
    let expires_at = session.refresh_expiry(&*app.settings().await?, now);
    let batch =
        store::rotate(used, &session.id, now).run(store::insert_token(&next.hash(), &session.id, now, expires_at));
    match app.db().apply(batch).await {
        Ok(_answers) => Ok(Some(tokens)),
        Err(DbError::Guard(_) | DbError::Conflict) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Close the session.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "The session has ended, with all its tokens")),
)]
pub(crate) async fn logout(State(app): State<App>, CurrentUser(identity): CurrentUser) -> Result<Response, Error> {
    let now = time::whole_millis(app.environment().now());
    let session = store::find_holder(&app.db(), &parse_session(&identity.session_id)?).await?;
    if let Some(holder) = session {
        end(&app, &holder.session, EndReason::Logout, now).await?;
    }
    Ok(not_stored(StatusCode::NO_CONTENT))
}

fn parse_session(id: &str) -> Result<SessionId, Error> {
    SessionId::parse(id).map_err(|error| Error::Fault(error.to_string()))
}

/// End a session, once: who comes second changes nothing, and writes no second entry into the audit.
async fn end(app: &App, session: &Session, reason: EndReason, now: Timestamp) -> Result<(), Error> {
    let audit_id = AuditId::new(now, app.environment().random()?);
    let ending = Ending { session, reason, audit_id };
    match app.db().apply(store::end_session(&ending, now)).await {
        Ok(_answers) => {
            log::info("a session was ended", json!({ "sessionId": session.id, "reason": reason.as_str() }));
        }
        Err(DbError::Guard(0)) => {}
        Err(error) => return Err(error.into()),
    }
    app.tokens().forget_session(session.id.as_str());
    Ok(())
}

/// Whose access token this is.
#[utoipa::path(
    get, path = "/api/v1/auth/validate", tag = "auth", security(("bearer" = [])),
    responses((status = 200, description = "The token counts", body = Validated)),
)]
pub(crate) async fn validate(CurrentUser(identity): CurrentUser) -> Response {
    not_stored(Json(Validated {
        valid: true,
        user_id: identity.user_id,
        session_id: identity.session_id,
        email: identity.email,
        roles: identity.roles,
        expires_at: identity.expires_at,
    }))
}
