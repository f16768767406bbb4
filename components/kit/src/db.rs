//! The component's database: queries, and batches that are kept as a whole or not at all.
//!
//! There is no transaction across guest code. A component reads, decides in pure code, and writes one [`Batch`] whose
//! expectations restate what the decision relied on; where one does not hold, nothing is kept and the component
//! decides anew ([`DbError::Guard`]).

mod batch;
mod error;
mod row;

pub use self::batch::Batch;
pub use self::error::{ConstraintKind, DbError};
pub use self::row::{FromRow, FromValue, IntoValue, Row, RowError, Rows};
use crate::bindings::sql as host;
pub use crate::bindings::sql::Value;

/// One statement with its parameters. Made by [`sql`].
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    text: &'static str,
    params: Vec<Value>,
}

/// A statement, written in a file of its own: `sql(include_str!("sql/insert_user.sql")).bind(id).bind(email)`.
pub fn sql(text: &'static str) -> Statement {
    Statement { text, params: Vec::new() }
}

impl Statement {
    /// The next parameter: the first call gives `$1`.
    #[must_use]
    pub fn bind(mut self, value: impl IntoValue) -> Self {
        self.params.push(value.into_value());
        self
    }

    fn into_host(self) -> host::Statement {
        host::Statement { text: self.text.to_owned(), params: self.params }
    }
}

/// A database by its label.
#[derive(Debug, Clone, Copy)]
pub struct Db {
    label: &'static str,
}

impl Db {
    /// The database with this label, which the manifest must grant.
    pub const fn new(label: &'static str) -> Self {
        Self { label }
    }

    /// Run a statement that reads. It sees every batch answered before.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn query(&self, statement: Statement) -> Result<Rows, DbError> {
        Ok(Rows::new(host::query(self.label.to_owned(), statement.into_host()).await?))
    }

    /// As [`Db::query`], with each row read into a value.
    ///
    /// # Errors
    /// See [`DbError`]; a row that does not fit is [`DbError::Fault`].
    pub async fn all<T: FromRow>(&self, statement: Statement) -> Result<Vec<T>, DbError> {
        Ok(self.query(statement).await?.read()?)
    }

    /// As [`Db::all`], of which only the first row counts.
    ///
    /// # Errors
    /// See [`Db::all`].
    pub async fn first<T: FromRow>(&self, statement: Statement) -> Result<Option<T>, DbError> {
        Ok(self.all(statement).await?.into_iter().next())
    }

    /// Run all steps of a batch, or none. Answers with one row set for each statement, in order.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn apply(&self, batch: Batch) -> Result<Vec<Rows>, DbError> {
        let answers = host::batch(self.label.to_owned(), batch.into_steps()).await?;
        Ok(answers.into_iter().map(Rows::new).collect())
    }

    /// Whether the database answers; for health.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn ping(&self) -> Result<(), DbError> {
        self.query(sql("select 1")).await.map(|_rows| ())
    }
}
