//! Making databases and statements.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::event::{DEFAULT_PRIORITY, Envelope};
use chassis_capabilities::sql::{
    Expectation, Migration, Outbox, RowSet, SqlBackend, SqlError, SqliteDatabase, Statement, Step, Value,
};
use chassis_config::plan::SqlPolicy;
use jiff::Timestamp;
use tempfile::TempDir;

/// Makes databases of one backend for the contract suite.
#[async_trait]
pub(crate) trait Factory: Send + Sync {
    type Backend: SqlBackend + Outbox + Clone + 'static;

    /// A new database with a schema.
    async fn make(&self, schema: &str, policy: SqlPolicy) -> Made<Self::Backend>;
}

/// A database that goes when it is dropped.
pub(crate) struct Made<B> {
    pub(crate) database: B,
    _keep: Box<dyn Send + Sync>,
}

impl<B> std::ops::Deref for Made<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.database
    }
}

/// The embedded backend.
#[derive(Default)]
pub(crate) struct Sqlite;

#[async_trait]
impl Factory for Sqlite {
    type Backend = SqliteDatabase;

    async fn make(&self, schema: &str, policy: SqlPolicy) -> Made<SqliteDatabase> {
        let (folder, path) = place();
        let database = open(&path, &policy, &one_migration(schema)).await;
        Made { database, _keep: Box::new(folder) }
    }
}

pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.db");
    (folder, path)
}

pub(crate) fn one_migration(schema: &str) -> Vec<Migration> {
    Migration::parse_all([("0001_schema.sql", schema)]).unwrap()
}

pub(crate) async fn open(path: &std::path::Path, policy: &SqlPolicy, migrations: &[Migration]) -> SqliteDatabase {
    SqliteDatabase::open(path, policy, migrations, Arc::new(SystemClock)).await.unwrap()
}

pub(crate) fn policy() -> SqlPolicy {
    SqlPolicy {
        rows: 1000,
        result_bytes: 1024 * 1024,
        timeout: Duration::from_secs(10),
        steps: 32,
        params: 64,
        statement_bytes: 256 * 1024,
        readers: 4,
        queue: 1024,
        group: 64,
        statements: 64,
        outbox: 100_000,
        database_bytes: 1 << 30,
        wal_bytes: 64 << 20,
        temporary_bytes: 256 << 20,
        queue_bytes: 32 << 20,
    }
}

pub(crate) fn statement(text: &str, params: &[Value]) -> Statement {
    Statement { text: text.to_owned(), params: params.to_vec() }
}

pub(crate) fn run(text: &str, params: &[Value]) -> Step {
    Step::Run(statement(text, params), None)
}

pub(crate) fn guarded(text: &str, params: &[Value], expect: Expectation) -> Step {
    Step::Run(statement(text, params), Some(expect))
}

pub(crate) fn event(id: &str) -> Envelope {
    Envelope {
        id: id.to_owned(),
        source: "/components/test".to_owned(),
        event_type: "test.happened".to_owned(),
        subject: Some(id.to_owned()),
        time: Timestamp::UNIX_EPOCH,
        data: format!(r#"{{"id":"{id}"}}"#),
        not_before: None,
        priority: DEFAULT_PRIORITY,
        dedup_key: None,
        traceparent: None,
    }
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// The rows of a query that must succeed.
pub(crate) async fn rows(database: &impl SqlBackend, sql: &str) -> Vec<Vec<Value>> {
    database.query(statement(sql, &[])).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows
}

/// The one integer of a query that must succeed.
pub(crate) async fn number(database: &impl SqlBackend, sql: &str) -> i64 {
    match rows(database, sql).await.as_slice() {
        [row] => match row.as_slice() {
            [Value::Integer(number)] => *number,
            other => panic!("{sql}: {other:?}"),
        },
        other => panic!("{sql}: {other:?}"),
    }
}

/// A batch that must succeed.
pub(crate) async fn keep(database: &impl SqlBackend, steps: Vec<Step>) -> Vec<RowSet> {
    let shown = format!("{steps:?}");
    database.batch(steps).await.unwrap_or_else(|error| panic!("{shown}: {error}"))
}

pub(crate) fn is_too_large(answer: &Result<impl std::fmt::Debug, SqlError>) -> bool {
    matches!(answer, Err(SqlError::TooLarge(_)))
}

pub(crate) fn is_syntax(answer: &Result<impl std::fmt::Debug, SqlError>) -> bool {
    matches!(answer, Err(SqlError::Syntax(_)))
}
