//! Relational storage: guarded, serializable batches and read-only queries.
//!
//! Guest SQL is hostile input. See `sqlite` for how the embedded backend confines it.

mod host;
mod sqlite;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::sqlite::{Migration, MigrationError, MigrationKind, OpenError, SqliteDatabase};
use crate::conduct::Conduct;
use crate::event::Envelope;

/// A value of a parameter or a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL `null`.
    Null,
    /// A boolean; SQLite stores 0 or 1.
    Boolean(bool),
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit float.
    Real(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One statement with all its parameters: `$1` is `params[0]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The SQL text: exactly one statement.
    pub text: String,
    /// The parameters.
    pub params: Vec<Value>,
}

/// What a statement answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowSet {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// Rows inserted, updated or deleted.
    pub affected: u64,
}

/// What must hold for a batch to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Exactly so many rows were changed.
    Affected(u64),
    /// At least so many rows were changed.
    AffectedAtLeast(u64),
    /// The statement returned no row.
    NoRows,
    /// The statement returned a row.
    SomeRows,
}

/// One step of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Run a statement, and expect something of it.
    Run(Statement, Option<Expectation>),
    /// Put an event into the outbox, in the same commit.
    Publish(Envelope),
}

/// The kind of a violated constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `unique` or `primary key`.
    Unique,
    /// `references`.
    ForeignKey,
    /// `not null`.
    NotNull,
    /// `check`.
    Check,
}

/// Why a query or a batch was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The statement is not permitted.
    #[error("not permitted: {0}")]
    Denied(String),
    /// The step did not meet its expectation; nothing was kept.
    #[error("step {0} did not meet its expectation")]
    Guard(u32),
    /// A constraint was violated; nothing was kept.
    #[error("constraint {kind:?} on {table} ({})", columns.join(", "))]
    Constraint {
        /// Its kind.
        kind: ConstraintKind,
        /// Its table, empty where the backend does not say.
        table: String,
        /// Its columns.
        columns: Vec<String>,
    },
    /// The text is not one valid statement, or its parameters do not fit.
    #[error("syntax: {0}")]
    Syntax(String),
    /// A writing statement was given to `query`.
    #[error("a statement that writes was given to a query")]
    ReadOnly,
    /// A limit of the host was exceeded.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The time was up; nothing was kept.
    #[error("timed out")]
    Timeout,
    /// Another batch won; nothing was kept.
    #[error("conflicts with another batch")]
    Conflict,
    /// The database takes no more work now.
    #[error("busy, try again in {0:?}")]
    Busy(Duration),
    /// It is not known whether the batch was kept.
    #[error("it is not known whether the batch was kept")]
    OutcomeUnknown,
    /// The backend failed; the text is for the log.
    #[error("internal: {0}")]
    Internal(String),
}

/// One database of one component.
#[async_trait]
pub trait SqlBackend: Debug + Send + Sync {
    /// Run one statement that reads; it sees every batch answered before it.
    async fn query(&self, statement: Statement) -> Result<RowSet, SqlError>;

    /// Run all steps or none, serializably. Once accepted, a batch runs to its end even if the future is dropped; but one
    /// that still waits when its time is up is answered `Busy` and is never run.
    /// Answers with one row set for each `Step::Run`, in order.
    async fn batch(&self, steps: Vec<Step>) -> Result<Vec<RowSet>, SqlError>;

    /// Whose conduct the CPU time of statements counts for from now on. Only the first one is kept.
    fn watch(&self, conduct: Arc<dyn Conduct>);
}

/// The events that batches of one database have published and that are not yet handed on.
#[async_trait]
pub trait Outbox: Debug + Send + Sync {
    /// The oldest events, in the order of their commits: at most `limit`, and together at most `bytes` as they are stored,
    /// but always the first. An event stays until it is confirmed.
    async fn pending(&self, limit: u32, bytes: u64) -> Result<Vec<Envelope>, SqlError>;

    /// Forget events that are durable elsewhere.
    async fn confirm(&self, ids: &[String]) -> Result<(), SqlError>;

    /// Resolves when a batch that published has been committed since the last call, or at once if one has.
    async fn published(&self);
}
