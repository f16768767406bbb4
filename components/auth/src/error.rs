//! What can go wrong, and what clients see of it.

use chassis_kit::axum::response::{IntoResponse, Response};
use chassis_kit::environment::NoRandomness;
use chassis_kit::idempotency::CommitError;
use chassis_kit::{DbError, Problem, VerifyError};
use chassis_values::violation::Violations;

use crate::domain::password::HashError;
use crate::domain::settings::InvalidSetting;
use crate::domain::signing::KeyError;
use crate::domain::token::SignError;

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The body breaks rules.
    #[error(transparent)]
    Input(#[from] Violations),
    /// There is an account with this address.
    #[error("the address is taken")]
    EmailTaken,
    /// Address and password do not belong together; or there is no such account, or it may not log in.
    #[error("address and password do not belong together")]
    InvalidCredentials,
    /// The refresh token does not count.
    #[error("the refresh token does not count")]
    InvalidRefreshToken,
    /// What others say about a request.
    #[error("refused")]
    Refused(Box<Problem>),
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The signing keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The configuration.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// Hashing.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Signing.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// Something else that is not the client's.
    #[error("{0}")]
    Fault(String),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Db(error) => Self::Database(error),
            CommitError::Refused(problem) => problem.into(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Input(violations) => violations.into(),
            Error::EmailTaken => Self::taken("/email", "there is an account with this address"),
            Error::InvalidCredentials => Self::unauthorized(None, "address and password do not belong together"),
            Error::InvalidRefreshToken => Self::unauthorized(Some("invalid_token"), "the refresh token is not valid"),
            Error::Refused(problem) => *problem,
            Error::Database(error) => error.into(),
            Error::Key(_)
            | Error::Setting(_)
            | Error::Hash(_)
            | Error::Sign(_)
            | Error::Randomness(_)
            | Error::Fault(_) => Self::internal(error.to_string()),
        }
    }
}

impl From<Error> for VerifyError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Database(DbError::Busy(_) | DbError::Timeout | DbError::Conflict) => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Fault(error.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
