//! `spin:sqlite` on SQLite: a connection each time that one is opened, statements on threads that may block, errors as texts.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::{Value as SqlValue, ValueRef};
use wasmtime::component::{Accessor, FutureReader, HasSelf, Resource, StreamReader};

use crate::host::State;
use crate::host::bindings::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};

/// A connection that a guest has opened.
#[expect(unreachable_pub, reason = "the generated bindings hand it on")]
#[derive(Debug, Clone)]
pub struct Open(Arc<Mutex<rusqlite::Connection>>);

impl Open {
    fn execute(&self, text: &str, parameters: Vec<Value>) -> Result<QueryResult, Error> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        run(&connection, text, parameters).map_err(|error| Error::Io(error.to_string()))
    }

    fn with<T>(&self, ask: impl FnOnce(&rusqlite::Connection) -> T) -> T {
        ask(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn run(connection: &rusqlite::Connection, text: &str, parameters: Vec<Value>) -> rusqlite::Result<QueryResult> {
    let mut statement = connection.prepare(text)?;
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut found = statement.query(rusqlite::params_from_iter(parameters.into_iter().map(|value| match value {
        Value::Null => SqlValue::Null,
        Value::Integer(integer) => SqlValue::Integer(integer),
        Value::Real(real) => SqlValue::Real(real),
        Value::Text(text) => SqlValue::Text(text),
        Value::Blob(blob) => SqlValue::Blob(blob),
    })))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values = (0..columns.len()).map(|index| Ok(value(row.get_ref(index)?)));
        rows.push(RowResult { values: values.collect::<rusqlite::Result<_>>()? });
    }
    Ok(QueryResult { columns, rows })
}

fn value(stored: ValueRef<'_>) -> Value {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

impl State {
    fn open_database(&mut self, label: &str) -> wasmtime::Result<Result<Resource<Open>, Error>> {
        let Some(path) = self.grants.databases.get(label) else { return Ok(Err(Error::AccessDenied)) };
        let connection = rusqlite::Connection::open(path)?;
        Ok(Ok(self.table.push(Open(Arc::new(Mutex::new(connection))))?))
    }
}

fn found<T>(accessor: &Accessor<T, HasSelf<State>>, connection: &Resource<Open>) -> wasmtime::Result<Open> {
    accessor.with(|mut access| Ok(access.get().table.get(connection)?.clone()))
}

impl Host for State {}

impl HostConnection for State {
    fn open(&mut self, database: String) -> wasmtime::Result<Result<Resource<Open>, Error>> {
        self.open_database(&database)
    }

    fn execute(
        &mut self,
        connection: Resource<Open>,
        text: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        Ok(self.table.get(&connection)?.execute(&text, parameters))
    }

    fn last_insert_rowid(&mut self, connection: Resource<Open>) -> wasmtime::Result<i64> {
        Ok(self.table.get(&connection)?.with(rusqlite::Connection::last_insert_rowid))
    }

    fn changes(&mut self, connection: Resource<Open>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&connection)?.with(rusqlite::Connection::changes))
    }

    fn drop(&mut self, connection: Resource<Open>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

type Rows = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>);

impl<T: Send + 'static> HostConnectionWithStore<T> for HasSelf<State> {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        database: String,
    ) -> wasmtime::Result<Result<Resource<Open>, Error>> {
        accessor.with(|mut access| access.get().open_database(&database))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Open>,
        text: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        let connection = found(accessor, &connection)?;
        let done = tokio::task::spawn_blocking(move || connection.execute(&text, parameters)).await?;
        let QueryResult { columns, rows } = match done {
            Ok(result) => result,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, rows)?;
            let end = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
            Ok(Ok((columns, rows, end)))
        })
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Open>,
    ) -> wasmtime::Result<i64> {
        Ok(found(accessor, &connection)?.with(rusqlite::Connection::last_insert_rowid))
    }

    async fn changes_async(accessor: &Accessor<T, Self>, connection: Resource<Open>) -> wasmtime::Result<u64> {
        Ok(found(accessor, &connection)?.with(rusqlite::Connection::changes))
    }
}
