//! Registering, and one's own account.

use chassis_kit::axum::extract::State;
use chassis_kit::axum::http::{StatusCode, header};
use chassis_kit::axum::response::Response;
use chassis_kit::idempotency::{self, Begin, CommitError, Idempotency, REPLAYED_HEADER, Ticket};
use chassis_kit::{Component as _, CurrentUser, Json, Problem, ProblemType, utoipa};
use chassis_values::{fingerprint, time};
use serde_json::json;

use super::bodies::{Registered, Registration, UserBody};
use super::not_stored;
use crate::component::App;
use crate::domain::account::{Applicant, User};
use crate::domain::ids::UserId;
use crate::domain::password;
use crate::error::Error;
use crate::{events, store};

/// Make an account.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth", request_body = Registration,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition harmless")),
    responses(
        (status = 201, description = "The new account", body = Registered),
        (status = 409, description = "There is an account with this address, in whatever letter case"),
    ),
)]
pub(crate) async fn register(
    State(app): State<App>,
    idempotency: Idempotency,
    Json(body): Json<Registration>,
) -> Result<Response, Error> {
    let applicant = body.as_application().check()?;
    let claim = idempotency.claim("anonymous", fingerprint::of_json(&without_password(&applicant)));
    let response = match idempotency::begin(&app.db(), claim, app.environment()).await? {
        Begin::Replay(response) => response,
        Begin::Proceed(ticket) => create(&app, &applicant, &body.password, &ticket).await?,
    };
    let is_replay = response.headers().contains_key(REPLAYED_HEADER);
    if is_replay && !store::password_fits(&app.db(), applicant.email.key(), &body.password).await? {
        return Err(Problem::new(ProblemType::IdempotencyKeyReused).into());
    }
    Ok(response)
}

/// What tells one registration from another, but for the password: a fast hash of it must not be stored. A repetition
/// is compared with the account's own hash instead.
fn without_password(applicant: &Applicant) -> serde_json::Value {
    json!({
        "email": applicant.email.key(), "firstName": applicant.first_name, "lastName": applicant.last_name,
    })
}

async fn create(app: &App, applicant: &Applicant, password: &str, ticket: &Ticket) -> Result<Response, Error> {
    if store::find_credentials(&app.db(), applicant.email.key()).await?.is_some() {
        return ticket.done_meanwhile().await?.ok_or(Error::EmailTaken);
    }
    let environment = app.environment();
    let now = time::whole_millis(environment.now());
    let user = User::new(UserId::new(now, environment.random()?), applicant, now);
    let hash = password::hash(password, environment.random()?)?;
    let batch = store::insert_user(&user, applicant.email.key(), &hash).publish(events::registered(&user));
    let mut answer = idempotency::answer(StatusCode::CREATED, &Registered { user: UserBody::from(&user) })?;
    answer.headers.push((header::CACHE_CONTROL.to_string(), "no-store".to_owned()));
    ticket.commit(batch, answer).await.map_err(|error| match error {
        CommitError::Db(error) if store::is_email_taken(&error) => Error::EmailTaken,
        other => other.into(),
    })
}

/// One's own account.
#[utoipa::path(
    get, path = "/api/v1/users/me", tag = "users", security(("bearer" = [])),
    responses((status = 200, description = "The account", body = UserBody)),
)]
pub(crate) async fn me(State(app): State<App>, CurrentUser(identity): CurrentUser) -> Result<Response, Error> {
    let user = store::find_user(&app.db(), &identity.user_id).await?;
    // The session was alive a moment ago, so the account was there.
    let user = user.ok_or_else(|| Problem::new(ProblemType::NotFound))?;
    Ok(not_stored(Json(UserBody::from(&user))))
}
