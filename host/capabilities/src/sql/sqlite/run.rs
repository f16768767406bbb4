//! Running one inspected statement: bind, step, read.

use chassis_config::plan::SqlPolicy;
use futures::TryStreamExt;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow, SqliteValueRef};
use sqlx::{AssertSqlSafe, Column, Connection as _, Decode, Either, Executor, Row, TypeInfo, ValueRef};

use super::super::{RowSet, SqlError, Value};
use super::error;
use super::inspect::Facts;
use super::schema::Schema;
use crate::sqlite_file::connection::Connection;

/// Bytes that are counted for a value beside those of its text.
const VALUE_BYTES: u64 = 8;

/// What one answer may still hold.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    policy: &'a SqlPolicy,
    rows: u64,
    bytes: u64,
}

impl<'a> Budget<'a> {
    pub(super) fn new(policy: &'a SqlPolicy) -> Self {
        Self { policy, rows: u64::from(policy.rows), bytes: policy.result_bytes }
    }

    fn take_row(&mut self) -> Result<(), SqlError> {
        self.rows = self.rows.checked_sub(1).ok_or_else(|| {
            SqlError::TooLarge(format!("the answer has more than {} rows (sql.rows)", self.policy.rows))
        })?;
        Ok(())
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), SqlError> {
        self.bytes = self.bytes.checked_sub((bytes as u64).saturating_add(VALUE_BYTES)).ok_or_else(|| {
            let most = self.policy.result_bytes;
            SqlError::TooLarge(format!("the answer has more than {most} bytes (sql.result_bytes)"))
        })?;
        Ok(())
    }
}

/// Why a statement did not come to its end.
#[derive(Debug)]
pub(super) enum RunError {
    /// SQLite said so.
    Sqlite(sqlx::Error),
    /// The host said so.
    Refused(SqlError),
}

impl RunError {
    pub(super) fn translate(self, schema: &Schema) -> SqlError {
        match self {
            Self::Sqlite(error) => error::from_sqlx(&error, schema),
            Self::Refused(error) => error,
        }
    }
}

impl From<SqlError> for RunError {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

impl From<sqlx::Error> for RunError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Run a statement to its end, within the budget. Mode and deadline of the connection are the caller's.
pub(super) async fn run(
    connection: &mut Connection,
    facts: &Facts,
    params: Vec<Value>,
    budget: &mut Budget<'_>,
) -> Result<RowSet, RunError> {
    let answer = collect(connection, facts, params, budget).await;
    if let Err(RunError::Refused(_)) = &answer {
        // The driver may still be stepping. It stops at the next row, or at the deadline.
        connection.sqlx().ping().await?;
    }
    answer
}

async fn collect(
    connection: &mut Connection,
    facts: &Facts,
    params: Vec<Value>,
    budget: &mut Budget<'_>,
) -> Result<RowSet, RunError> {
    let mut query = sqlx::query(AssertSqlSafe(facts.text.clone()));
    for value in params {
        query = bind(query, value);
    }
    let mut answer = RowSet::default();
    let mut items = connection.sqlx().fetch_many(query);
    while let Some(item) = items.try_next().await? {
        match item {
            // SQLite keeps the count of the statement before where this one changes nothing.
            Either::Left(done) if !facts.read_only => answer.affected += done.rows_affected(),
            Either::Left(_) => {}
            Either::Right(row) => {
                if answer.columns.is_empty() {
                    answer.columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
                }
                budget.take_row()?;
                answer.rows.push(decode_row(&row, budget)?);
            }
        }
    }
    if answer.columns.is_empty() {
        answer.columns.clone_from(&facts.columns);
    }
    Ok(answer)
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn bind(query: Query<'_>, value: Value) -> Query<'_> {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Boolean(boolean) => query.bind(i64::from(boolean)),
        Value::Integer(integer) => query.bind(integer),
        Value::Real(real) => query.bind(real),
        Value::Text(text) => query.bind(text),
        Value::Blob(blob) => query.bind(blob),
    }
}

fn decode_row(row: &SqliteRow, budget: &mut Budget<'_>) -> Result<Vec<Value>, RunError> {
    (0..row.len())
        .map(|index| {
            let value = row.try_get_raw(index)?;
            decode(value, budget).map_err(|failure| match failure {
                Decoding::Budget(error) => RunError::Refused(error),
                Decoding::Value(reason) => {
                    let column = row.columns().get(index).map(Column::name).unwrap_or_default();
                    RunError::Refused(SqlError::Syntax(format!("column {column}: {reason}")))
                }
            })
        })
        .collect()
}

enum Decoding {
    Budget(SqlError),
    Value(String),
}

impl From<SqlError> for Decoding {
    fn from(error: SqlError) -> Self {
        Self::Budget(error)
    }
}

/// A value as it is stored, whatever its column was declared to be.
fn decode(value: SqliteValueRef<'_>, budget: &mut Budget<'_>) -> Result<Value, Decoding> {
    let undecodable = |error: sqlx::error::BoxDynError| Decoding::Value(error.to_string());
    if value.is_null() {
        budget.take_bytes(0)?;
        return Ok(Value::Null);
    }
    let kind = value.type_info().into_owned();
    match kind.name() {
        "INTEGER" => {
            budget.take_bytes(0)?;
            <i64 as Decode<Sqlite>>::decode(value).map(Value::Integer).map_err(undecodable)
        }
        "REAL" => {
            budget.take_bytes(0)?;
            <f64 as Decode<Sqlite>>::decode(value).map(Value::Real).map_err(undecodable)
        }
        "TEXT" => {
            let text = <&str as Decode<Sqlite>>::decode(value)
                .map_err(|_not_utf8| Decoding::Value("the text is not UTF-8: cast it to a blob".to_owned()))?;
            budget.take_bytes(text.len())?;
            Ok(Value::Text(text.to_owned()))
        }
        _ => {
            let blob = <&[u8] as Decode<Sqlite>>::decode(value).map_err(undecodable)?;
            budget.take_bytes(blob.len())?;
            Ok(Value::Blob(blob.to_owned()))
        }
    }
}
