//! How rows become values of the domain.

use chassis_kit::db::{FromRow, Row, RowError};

use crate::domain::account::User;
use crate::domain::ids::{SessionId, UserId};
use crate::domain::refresh::StoredToken;
use crate::domain::session::Session;
use crate::domain::signing::StoredKey;

/// How an account logs in. Not to be printed.
pub(crate) struct Credentials {
    pub(crate) user_id: String,
    pub(crate) password_hash: String,
    pub(crate) is_active: bool,
}

impl FromRow for Credentials {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let (user_id, password_hash) = (row.get("id")?, row.get("password_hash")?);
        Ok(Self { user_id, password_hash, is_active: row.get("is_active")? })
    }
}

/// An account with one of its roles: the query answers one row per role.
pub(super) struct UserRow {
    user: User,
    role: Option<String>,
}

impl UserRow {
    pub(super) fn fold(rows: Vec<Self>) -> Option<User> {
        let mut rows = rows.into_iter();
        let first = rows.next()?;
        let mut user = first.user;
        user.roles.extend(first.role);
        user.roles.extend(rows.filter_map(|row| row.role));
        Some(user)
    }
}

impl FromRow for UserRow {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let user = User {
            id: row.try_get("id", |id: String| UserId::parse(&id))?,
            email: row.get("email")?,
            first_name: row.get("first_name")?,
            last_name: row.get("last_name")?,
            roles: Vec::new(),
            is_active: row.get("is_active")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        };
        Ok(Self { user, role: row.get("role")? })
    }
}

/// A session and who holds it.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) session: Session,
    pub(crate) email: String,
    pub(crate) roles: Vec<String>,
}

/// A session with one of its user's roles: the query answers one row per role.
pub(super) struct HolderRow {
    session: Session,
    email: String,
    role: Option<String>,
}

impl HolderRow {
    pub(super) fn fold(rows: Vec<Self>) -> Option<Holder> {
        let mut rows = rows.into_iter();
        let Self { session, email, role } = rows.next()?;
        let roles = role.into_iter().chain(rows.filter_map(|row| row.role)).collect();
        Some(Holder { session, email, roles })
    }
}

impl FromRow for HolderRow {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self { session: session(row)?, email: row.get("email")?, role: row.get("role")? })
    }
}

impl FromRow for StoredToken {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let (expires_at, used_at) = (row.get("token_expires_at")?, row.get("used_at")?);
        Ok(Self { expires_at, used_at, session: session(row)? })
    }
}

fn session(row: &Row<'_>) -> Result<Session, RowError> {
    Ok(Session {
        id: row.try_get("session_id", |id: String| SessionId::parse(&id))?,
        user_id: row.try_get("user_id", |id: String| UserId::parse(&id))?,
        expires_at: row.get("expires_at")?,
        ended_at: row.get("ended_at")?,
        user_is_active: row.get("is_active")?,
    })
}

/// The public half of a signing key, as it is stored.
pub(super) struct PublicHalf {
    pub(super) kid: String,
    pub(super) public_key: String,
}

impl FromRow for PublicHalf {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self { kid: row.get("kid")?, public_key: row.get("public_key")? })
    }
}

impl FromRow for StoredKey {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self {
            kid: row.get("kid")?,
            public_key: row.get("public_key")?,
            private_key: row.get("private_key")?,
            is_sealed: row.get("is_sealed")?,
            created_at: row.get("created_at")?,
        })
    }
}
