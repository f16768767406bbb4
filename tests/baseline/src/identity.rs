//! The token check of the component `auth`: the signature and the claims by its own domain code, the session by its own
//! statement.

use anyhow::Context;
use auth::domain::ids::{SessionId, UserId};
use auth::domain::session::{Lapse, Session};
use auth::domain::settings::{Settings, Variables};
use auth::domain::signing::VerifyingKey;
use auth::domain::token::{self, TokenError};
use chassis_config::name::ComponentName;
use chassis_config::plan::Plan;
use chassis_kit::values::time::from_millis;
use chassis_kit::{Identity, VerifyError};
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};

use crate::{database, database_file};

/// The name of the component whose check this is.
const AUTH: &str = "auth";

/// Tells whose a token is.
#[derive(Debug, Clone)]
pub(crate) struct Identities {
    pool: SqlitePool,
    keys: Vec<VerifyingKey>,
    issuer: String,
}

impl Identities {
    /// Read the keys. The component reads them again every minute; here none can have been added.
    pub(crate) async fn open(plan: &Plan) -> anyhow::Result<Self> {
        let pool = database::open(&database_file(&plan.state_dir, AUTH), &plan.sql).await?;
        let rows = sqlx::query(include_str!("../../../components/auth/src/sql/list_public_keys.sql"));
        let keys = rows.try_map(key).fetch_all(&pool).await.context("cannot read the keys")?;
        Ok(Self { pool, keys, issuer: issuer(plan)? })
    }

    /// Whose token this is, if its session counts.
    pub(crate) async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, VerifyError> {
        let claims = token::verify(token, &self.keys, &self.issuer, now).map_err(|error| match error {
            TokenError::Expired => VerifyError::Expired,
            TokenError::Invalid | TokenError::UnknownKey => VerifyError::Invalid,
        })?;
        let rows = sqlx::query(include_str!("../../../components/auth/src/sql/find_holder.sql"))
            .bind(claims.sid.as_str())
            .try_map(holder)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| VerifyError::Fault(error.to_string()))?;
        let mut rows = rows.into_iter();
        let first = rows.next().filter(|first| first.session.user_id == claims.sub).ok_or(VerifyError::Revoked)?;
        match first.session.check(now) {
            Ok(()) => {}
            Err(Lapse::Ended) => return Err(VerifyError::Revoked),
            Err(Lapse::Expired) => return Err(VerifyError::Expired),
        }
        Ok(Identity {
            user_id: claims.sub.to_string(),
            session_id: claims.sid.to_string(),
            email: Some(first.email),
            roles: first.role.into_iter().chain(rows.filter_map(|row| row.role)).collect(),
            expires_at: claims.expires_at(),
            checked_at: now,
        })
    }
}

/// Who issues tokens, as the manifest lends it to the component.
fn issuer(plan: &Plan) -> anyhow::Result<String> {
    let component = plan.components.get(&ComponentName::parse(AUTH)?).context("the manifest has no component auth")?;
    let variable = |name: &str| component.variables.get(name).map(|variable| variable.value.clone());
    let variables = Variables { token_issuer: variable("token_issuer"), ..Variables::default() };
    Ok(Settings::read(&variables)?.issuer)
}

/// A session with one of its user's roles.
struct Holder {
    session: Session,
    email: String,
    role: Option<String>,
}

fn holder(row: SqliteRow) -> Result<Holder, sqlx::Error> {
    let session = Session {
        id: SessionId::parse(row.try_get("session_id")?).map_err(decode)?,
        user_id: UserId::parse(row.try_get("user_id")?).map_err(decode)?,
        expires_at: from_millis(row.try_get("expires_at")?).map_err(decode)?,
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(from_millis).transpose().map_err(decode)?,
        user_is_active: row.try_get("is_active")?,
    };
    Ok(Holder { session, email: row.try_get("email")?, role: row.try_get("role")? })
}

fn key(row: SqliteRow) -> Result<VerifyingKey, sqlx::Error> {
    VerifyingKey::new(row.try_get("kid")?, row.try_get("public_key")?).map_err(decode)
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
