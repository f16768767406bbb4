//! What is needed of a connection to SQLite.

use super::limits::Budget;
use crate::bindings::sql::{Error, Value};
use crate::bindings::sqlite;

/// Rows with the names of their columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// Why a statement did not come to its end.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Spin said so.
    Spin(sqlite::Error),
    /// The budget said so.
    Refused(Error),
}

/// One connection: what is done on it is done one after the other.
#[expect(async_fn_in_trait, reason = "a component has one thread: no future has to be sent to another")]
pub trait Connection {
    /// Run a statement to its end. `?1` is `params[0]`.
    async fn execute(&self, text: &str, params: &[Value], budget: &mut Budget) -> Result<Answer, Failure>;

    /// Rows that the last statement which inserts, updates or deletes has changed.
    async fn changes(&self) -> u64;
}

impl From<sqlite::Error> for Failure {
    fn from(error: sqlite::Error) -> Self {
        Self::Spin(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// A parameter as SQLite stores it.
pub fn to_spin(value: &Value) -> sqlite::Value {
    match value {
        Value::Null => sqlite::Value::Null,
        Value::Boolean(boolean) => sqlite::Value::Integer(i64::from(*boolean)),
        Value::Integer(integer) => sqlite::Value::Integer(*integer),
        Value::Real(real) => sqlite::Value::Real(*real),
        Value::Text(text) => sqlite::Value::Text(text.clone()),
        Value::Blob(blob) => sqlite::Value::Blob(blob.clone()),
    }
}

/// A value as it is stored.
pub fn from_spin(value: sqlite::Value) -> Value {
    match value {
        sqlite::Value::Null => Value::Null,
        sqlite::Value::Integer(integer) => Value::Integer(integer),
        sqlite::Value::Real(real) => Value::Real(real),
        sqlite::Value::Text(text) => Value::Text(text),
        sqlite::Value::Blob(blob) => Value::Blob(blob),
    }
}

/// Take a row from the budget.
///
/// # Errors
/// `too-large`.
pub fn take_row(values: Vec<sqlite::Value>, budget: &mut Budget) -> Result<Vec<Value>, Error> {
    budget.take_row(values.iter().map(|value| match value {
        sqlite::Value::Text(text) => text.len(),
        sqlite::Value::Blob(blob) => blob.len(),
        sqlite::Value::Null | sqlite::Value::Integer(_) | sqlite::Value::Real(_) => 0,
    }))?;
    Ok(values.into_iter().map(from_spin).collect())
}
