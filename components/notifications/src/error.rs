//! Why an event was not consumed, and what the host is told: 429 and 5xx mean « again », another 4xx « never ».

use std::time::Duration;

use chassis_kit::values::violation::Violations;
use chassis_kit::{DbError, Problem, ProblemType};

use crate::domain::render::TemplateError;

/// Why an event was not consumed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The event does not hold what its type promises. Trying again does not help.
    #[error("the event breaks rules")]
    Invalid(#[from] Violations),
    /// Nobody has said yet where this user can be reached. The order of events is promised per subject only, so the
    /// registration may be on its way; how long to wait is bounded by the host's attempts.
    #[error("the address of {0} is not known yet")]
    UnknownAddress(String),
    /// The mail was not taken now.
    #[error("the mail was not taken now: {0}")]
    Later(String),
    /// The mail was not taken, because there are too many.
    #[error("the mail has to wait for {0:?}")]
    RateLimited(Duration),
    /// The mail will never be taken as it is. The event goes to the dead letters, where an operator sees it and can
    /// replay it once the cause (an address, a sender that is not permitted) is mended.
    #[error("the mail was refused: {0}")]
    Refused(String),
    /// A template failed.
    #[error("{0}")]
    Template(String),
    /// The database did not do it.
    #[error("the database did not do it")]
    Database(#[from] DbError),
    /// Something else, for which the answer is made already.
    #[error("refused")]
    Answered(Problem),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Answered(problem)
    }
}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        Self::Template(error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::Invalid(violations) => violations.into(),
            // Without Retry-After: the host's growing pauses fit what lasts unknown long.
            Error::UnknownAddress(_) | Error::Later(_) => Self::new(ProblemType::Unavailable).detail(words),
            Error::RateLimited(pause) => Self::new(ProblemType::RateLimited).retry_after(pause),
            Error::Refused(_) => Self::new(ProblemType::Conflict).detail(words),
            Error::Template(_) => Self::internal(words),
            Error::Database(error) => error.into(),
            Error::Answered(problem) => problem,
        }
    }
}
