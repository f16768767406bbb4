//! The only SQL of this component, one statement per file.

pub(crate) mod keyring;
mod rows;

use chassis_kit::db::Statement;
use chassis_kit::{Batch, Db, DbError, sql};
use chassis_values::time;
use jiff::Timestamp;

pub(crate) use self::rows::{Credentials, Holder};
use self::rows::{HolderRow, UserRow};
use crate::domain::account::User;
use crate::domain::ids::{AuditId, SessionId};
use crate::domain::password;
use crate::domain::refresh::{StoredToken, TokenHash};
use crate::domain::session::{AUDIT_RETENTION, SESSIONS_PER_USER_MAX, Session};

/// How the account with this address logs in.
pub(crate) async fn find_credentials(db: &Db, email_key: &str) -> Result<Option<Credentials>, DbError> {
    db.first(sql(include_str!("sql/find_credentials.sql")).bind(email_key)).await
}

/// Whether this is the password of the account with this address.
pub(crate) async fn password_fits(db: &Db, email_key: &str, password: &str) -> Result<bool, DbError> {
    let found = find_credentials(db, email_key).await?;
    Ok(password::verify(password, found.as_ref().map(|found| found.password_hash.as_str())))
}

/// An account.
pub(crate) async fn find_user(db: &Db, id: &str) -> Result<Option<User>, DbError> {
    let rows = db.all::<UserRow>(sql(include_str!("sql/find_user.sql")).bind(id)).await?;
    Ok(UserRow::fold(rows))
}

/// A session and who holds it.
pub(crate) async fn find_holder(db: &Db, id: &SessionId) -> Result<Option<Holder>, DbError> {
    let rows = db.all::<HolderRow>(sql(include_str!("sql/find_holder.sql")).bind(id.as_str())).await?;
    Ok(HolderRow::fold(rows))
}

/// A refresh token and its session.
pub(crate) async fn find_token(db: &Db, hash: &TokenHash) -> Result<Option<StoredToken>, DbError> {
    db.first(sql(include_str!("sql/find_refresh_token.sql")).bind(hash.0.as_slice())).await
}

/// Keep a new account.
pub(crate) fn insert_user(user: &User, email_key: &str, password_hash: &str) -> Batch {
    let account = sql(include_str!("sql/insert_user.sql"))
        .bind(user.id.as_str())
        .bind(user.email.as_str())
        .bind(email_key)
        .bind(password_hash)
        .bind(user.first_name.as_str())
        .bind(user.last_name.as_str())
        .bind(user.is_active)
        .bind(user.created_at);
    user.roles.iter().fold(Batch::new().run_affecting(1, account), |batch, role| {
        let role = sql(include_str!("sql/insert_user_role.sql")).bind(user.id.as_str()).bind(role.as_str());
        batch.run_affecting(1, role)
    })
}

/// Whether a batch was refused because there is an account with this address.
pub(crate) fn is_email_taken(error: &DbError) -> bool {
    error.is_unique("users", &["email_key"])
}

/// Keep a new session, end the oldest where a user has too many, and forget a few that are over. The first step finds
/// nothing to change where the user is not active.
pub(crate) fn open_session(session: &Session, now: Timestamp) -> Batch {
    let insert = sql(include_str!("sql/insert_session.sql"))
        .bind(session.id.as_str())
        .bind(session.user_id.as_str())
        .bind(now)
        .bind(session.expires_at);
    let limit = sql(include_str!("sql/end_surplus_sessions.sql"))
        .bind(session.user_id.as_str())
        .bind(now)
        .bind(SESSIONS_PER_USER_MAX);
    Batch::new()
        .run_affecting(1, insert)
        .run(limit)
        .run(sql(include_str!("sql/purge_refresh_tokens.sql")).bind(now))
        .run(sql(include_str!("sql/purge_sessions.sql")).bind(now))
        .run(sql(include_str!("sql/purge_audit.sql")).bind(time::after(now, -AUDIT_RETENTION)))
}

/// Keep a refresh token.
pub(crate) fn insert_token(hash: &TokenHash, session: &SessionId, now: Timestamp, expires_at: Timestamp) -> Statement {
    sql(include_str!("sql/insert_refresh_token.sql"))
        .bind(hash.0.as_slice())
        .bind(session.as_str())
        .bind(now)
        .bind(expires_at)
}

/// Use a refresh token up, if it is unused and its session counts: what the decision relied on, stated again.
pub(crate) fn rotate(used: &TokenHash, session: &SessionId, now: Timestamp) -> Batch {
    let token = sql(include_str!("sql/use_refresh_token.sql")).bind(used.0.as_slice()).bind(now);
    let session = sql(include_str!("sql/refresh_session.sql")).bind(session.as_str()).bind(now);
    Batch::new().run_affecting(1, token).run_affecting(1, session)
}

/// Why a session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// Its user has logged out.
    Logout,
    /// A used refresh token came again.
    Reuse,
}

impl EndReason {
    /// As it is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Reuse => "reuse",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Logout => "session.logout",
            Self::Reuse => "session.reuse",
        }
    }
}

/// The end of a session.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    /// Which.
    pub(crate) session: &'a Session,
    /// Why.
    pub(crate) reason: EndReason,
    /// Its entry in the audit.
    pub(crate) audit_id: AuditId,
}

/// End a session, if it has not ended yet, with one entry in the audit.
pub(crate) fn end_session(ending: &Ending<'_>, now: Timestamp) -> Batch {
    let Ending { session, reason, audit_id } = ending;
    let end = sql(include_str!("sql/end_session.sql")).bind(session.id.as_str()).bind(now).bind(reason.as_str());
    let audit = sql(include_str!("sql/insert_audit.sql"))
        .bind(audit_id.as_str())
        .bind(now)
        .bind(reason.action())
        .bind(session.user_id.as_str())
        .bind(session.id.as_str());
    Batch::new().run_affecting(1, end).run_affecting(1, audit)
}
