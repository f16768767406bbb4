//! Why a query or a batch was not done.

use std::time::Duration;

use super::{RowError, host};
use crate::problem::{Problem, ProblemType};

pub use crate::bindings::sql::ConstraintKind;

/// Why a query or a batch was not done. Nothing was kept, but for [`DbError::OutcomeUnknown`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DbError {
    /// The step with this index did not meet its expectation: decide anew.
    #[error("step {0} did not meet its expectation")]
    Guard(usize),
    /// A constraint of the schema was violated.
    #[error("a constraint of kind {kind:?} on {table} ({}) was violated", columns.join(", "))]
    Constraint {
        /// Its kind.
        kind: ConstraintKind,
        /// Its table; empty where the backend does not say.
        table: String,
        /// Its columns.
        columns: Vec<String>,
    },
    /// Another batch won; the same batch may succeed if it is decided anew.
    #[error("conflicts with another batch")]
    Conflict,
    /// The database takes no more work now.
    #[error("busy for {0:?}")]
    Busy(Duration),
    /// The time was up.
    #[error("timed out")]
    Timeout,
    /// It is not known whether the batch was kept: ask by an idempotency record.
    #[error("it is not known whether the batch was kept")]
    OutcomeUnknown,
    /// Beyond a limit of the host; the text names it.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A mistake of the component or of its manifest, or a failure of the host; the text is for the log.
    #[error("{0}")]
    Fault(String),
}

impl DbError {
    /// Whether this is a violated unique constraint on exactly these columns of this table.
    pub fn is_unique(&self, on_table: &str, on_columns: &[&str]) -> bool {
        match self {
            Self::Constraint { kind: ConstraintKind::Unique, table, columns } => {
                table == on_table && columns.iter().map(String::as_str).eq(on_columns.iter().copied())
            }
            _ => false,
        }
    }
}

impl From<host::Error> for DbError {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::Guard(step) => Self::Guard(usize::try_from(step).unwrap_or(usize::MAX)),
            host::Error::Constraint(c) => Self::Constraint { kind: c.kind, table: c.table, columns: c.columns },
            host::Error::Conflict => Self::Conflict,
            host::Error::Busy(milliseconds) => Self::Busy(Duration::from_millis(u64::from(milliseconds))),
            host::Error::Timeout => Self::Timeout,
            host::Error::OutcomeUnknown => Self::OutcomeUnknown,
            host::Error::TooLarge(limit) => Self::TooLarge(limit),
            host::Error::Denied(what) => Self::Fault(format!("denied: {what}")),
            host::Error::NoSuchDatabase => Self::Fault("no such database; does the manifest grant the label?".into()),
            host::Error::Syntax(what) => Self::Fault(format!("syntax: {what}")),
            host::Error::ReadOnly => Self::Fault("a statement that writes was given to a query".into()),
            host::Error::Internal(what) => Self::Fault(format!("internal: {what}")),
        }
    }
}

impl From<RowError> for DbError {
    fn from(error: RowError) -> Self {
        Self::Fault(error.to_string())
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy(pause) => Self::new(ProblemType::Overloaded).retry_after(pause),
            DbError::Timeout | DbError::Conflict => {
                Self::new(ProblemType::Overloaded).retry_after(Duration::from_secs(1))
            }
            DbError::OutcomeUnknown => Self::new(ProblemType::OutcomeUnknown).retry_after(Duration::from_secs(1)),
            DbError::TooLarge(limit) => Self::internal(format!("the database refused the size: {limit}")),
            DbError::Guard(_) | DbError::Constraint { .. } | DbError::Fault(_) => Self::internal(error.to_string()),
        }
    }
}
