//! Access tokens: giving them out, and telling whose they are.

use chassis_kit::{Component as _, Identity, VerifyError};
use jiff::Timestamp;

use super::bodies::{Tokens, UserBody};
use crate::component::App;
use crate::domain::account::User;
use crate::domain::ids::TokenId;
use crate::domain::refresh::RefreshToken;
use crate::domain::session::{Lapse, Session};
use crate::domain::token::{self, Claims, TokenError};
use crate::error::Error;
use crate::store;

/// The tokens of a session. The refresh token must be stored already, or be a step of the batch that follows.
pub(super) async fn issue(
    app: &App,
    user: &User,
    session: &Session,
    refresh: &RefreshToken,
    now: Timestamp,
) -> Result<Tokens, Error> {
    let settings = app.settings().await?;
    let expires_at = session.access_expiry(&settings, now);
    let claims = Claims {
        iss: settings.issuer.clone(),
        sub: user.id.clone(),
        sid: session.id.clone(),
        jti: TokenId::new(now, app.environment().random()?),
        iat: now.as_second(),
        exp: expires_at.as_second(),
        roles: user.roles.clone(),
    };
    let key = app.keyring().signing(app).await?;
    Ok(Tokens {
        access_token: claims.sign(&key)?,
        token_type: "Bearer",
        expires_in: claims.exp.saturating_sub(claims.iat),
        refresh_token: refresh.expose().to_owned(),
        user: UserBody::from(user),
    })
}

/// Whose token this is, if its session counts. An answer is remembered for a second; it says when it was found, so that
/// whoever asked remembers it no longer than that either.
pub(crate) async fn identify(app: &App, token: &str) -> Result<Identity, VerifyError> {
    let now = app.environment().now();
    if let Some(identity) = app.tokens().get(token, now) {
        return Ok(identity);
    }
    let identity = identify_anew(app, token, now).await?;
    app.tokens().put(token, &identity, now);
    Ok(identity)
}

async fn identify_anew(app: &App, token: &str, now: Timestamp) -> Result<Identity, VerifyError> {
    let claims = check_token(app, token, now).await?;
    let holder = store::find_holder(&app.db(), &claims.sid).await.map_err(Error::from)?;
    let holder = holder.filter(|holder| holder.session.user_id == claims.sub).ok_or(VerifyError::Revoked)?;
    match holder.session.check(now) {
        Ok(()) => {}
        Err(Lapse::Ended) => return Err(VerifyError::Revoked),
        Err(Lapse::Expired) => return Err(VerifyError::Expired),
    }
    Ok(Identity {
        user_id: claims.sub.to_string(),
        session_id: claims.sid.to_string(),
        email: Some(holder.email),
        roles: holder.roles,
        expires_at: claims.expires_at(),
        checked_at: now,
    })
}

async fn check_token(app: &App, token: &str, now: Timestamp) -> Result<Claims, VerifyError> {
    let settings = app.settings().await?;
    let mut checked = token::verify(token, &app.keyring().verifying(app).await?, &settings.issuer, now);
    if checked == Err(TokenError::UnknownKey) {
        checked = token::verify(token, &app.keyring().verifying_anew(app).await?, &settings.issuer, now);
    }
    checked.map_err(|error| match error {
        TokenError::Expired => VerifyError::Expired,
        TokenError::Invalid | TokenError::UnknownKey => VerifyError::Invalid,
    })
}
