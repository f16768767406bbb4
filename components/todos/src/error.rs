//! What can go wrong here, and what clients see of it.

use std::time::Duration;

use chassis_kit::values::etag::Precondition;
use chassis_kit::values::violation::Violations;
use chassis_kit::{DbError, Problem, ProblemType};

use crate::domain::todo::TODOS_PER_USER_MAX;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such todo, or it is somebody else's.
    #[error("no such todo")]
    NotFound,
    /// A precondition of the request does not hold.
    #[error("a precondition does not hold")]
    Precondition(#[from] Precondition),
    /// The body breaks rules.
    #[error("the body breaks rules")]
    Invalid(#[from] Violations),
    /// The user has as many todos as one may have.
    #[error("no more todos for this user")]
    Full,
    /// Others changed the todo each time before this request could.
    #[error("others were faster, again and again")]
    Contended,
    /// The database did not do it.
    #[error("the database did not do it")]
    Database(#[from] DbError),
    /// Something else, for which the answer is made already.
    #[error("refused")]
    Refused(Problem),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::new(ProblemType::NotFound).detail("there is no such todo"),
            Error::Precondition(precondition) => precondition.into(),
            Error::Invalid(violations) => violations.into(),
            Error::Full => Self::new(ProblemType::LimitReached)
                .detail(format!("there are {TODOS_PER_USER_MAX} todos, which is as many as one user may have")),
            Error::Contended => Self::new(ProblemType::Overloaded)
                .detail("the todo is being changed by others")
                .retry_after(Duration::from_secs(1)),
            Error::Database(error) => error.into(),
            Error::Refused(problem) => problem,
        }
    }
}
