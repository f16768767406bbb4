//! Bodies of requests and answers.

use chassis_kit::utoipa;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::account::{Application, User};

/// What an account is made of.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registration {
    /// An e-mail address; letter case does not tell accounts apart.
    #[schema(format = Email, max_length = 254)]
    pub(crate) email: String,
    /// 8 to 128 characters.
    #[schema(format = Password, min_length = 8, max_length = 128)]
    pub(crate) password: String,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) first_name: String,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) last_name: String,
}

impl Registration {
    /// The same for the domain.
    pub(crate) fn as_application(&self) -> Application<'_> {
        Application {
            email: &self.email,
            password: &self.password,
            first_name: &self.first_name,
            last_name: &self.last_name,
        }
    }
}

/// What a session is opened with.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credentials {
    /// The address of the account.
    pub(crate) email: String,
    /// Its password.
    #[schema(format = Password)]
    pub(crate) password: String,
}

/// What a session goes on with.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refresh {
    /// The refresh token that was given out last. It is used up.
    pub(crate) refresh_token: String,
}

/// An account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserBody {
    /// Its id: `usr_` and a UUIDv7.
    id: String,
    /// The address, as it was typed.
    email: String,
    /// First name.
    first_name: String,
    /// Last name.
    last_name: String,
    /// Roles, in alphabetical order.
    roles: Vec<String>,
    /// Whether the user may log in.
    is_active: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.clone(),
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            roles: user.roles.clone(),
            is_active: user.is_active,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// The answer to a registration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registered {
    /// The new account.
    pub(crate) user: UserBody,
}

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    /// The access token: a JWT.
    pub(crate) access_token: String,
    /// `Bearer`.
    pub(crate) token_type: &'static str,
    /// Seconds until the access token ends.
    pub(crate) expires_in: i64,
    /// The refresh token, good once.
    pub(crate) refresh_token: String,
    /// Whose session it is.
    pub(crate) user: UserBody,
}

/// Whose access token it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validated {
    /// Always true: a token that does not count is answered with 401.
    pub(crate) valid: bool,
    /// The user's id.
    pub(crate) user_id: String,
    /// The session's id.
    pub(crate) session_id: String,
    /// The user's address.
    pub(crate) email: Option<String>,
    /// The user's roles.
    pub(crate) roles: Vec<String>,
    /// When the token ends.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: Timestamp,
}
