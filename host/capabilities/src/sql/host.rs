//! `chassis:platform/sql`: finds the database of a label, and translates.

use std::sync::Arc;

use wasmtime::component::Accessor;

use super::{ConstraintKind, Expectation, RowSet, SqlBackend, SqlError, Statement, Step, Value};
use crate::bindings::chassis::platform::sql as wit;
use crate::event::{Refusal, seal};
use crate::lent::{HasLent, LentView};

impl wit::Host for LentView<'_> {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn query(
        accessor: &Accessor<T, Self>,
        database: String,
        statement: wit::Statement,
    ) -> Result<wit::RowSet, wit::Error> {
        let backend = accessor.with(|mut access| find(&access.get(), &database))?;
        let answer = backend.query(statement.into()).await;
        answer.map(Into::into).map_err(|error| report(error, &database))
    }

    async fn batch(
        accessor: &Accessor<T, Self>,
        database: String,
        steps: Vec<wit::Step>,
    ) -> Result<Vec<wit::RowSet>, wit::Error> {
        let (backend, steps) = accessor.with(|mut access| {
            let view = access.get();
            let backend = find(&view, &database)?;
            let steps = steps.into_iter().map(|step| translate(&view, step)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, wit::Error>((backend, steps))
        })?;
        let answer = backend.batch(steps).await;
        answer.map(|sets| sets.into_iter().map(Into::into).collect()).map_err(|error| report(error, &database))
    }
}

fn find(view: &LentView<'_>, label: &str) -> Result<Arc<dyn SqlBackend>, wit::Error> {
    view.lent.databases.get(label).cloned().ok_or_else(|| {
        tracing::warn!(component = %view.lent.component, request_id = %view.caller.request_id, database = label, "refused a database that the component does not own");
        wit::Error::Denied(format!("the database «{label}» is not lent to this component"))
    })
}

fn translate(view: &LentView<'_>, step: wit::Step) -> Result<Step, wit::Error> {
    Ok(match step {
        wit::Step::Run(guarded) => Step::Run(guarded.statement.into(), guarded.expect.map(Into::into)),
        wit::Step::Publish(event) => Step::Publish(seal(view, event)?),
    })
}

/// What the guest reads; the text of an internal error goes to the log alone.
fn report(error: SqlError, database: &str) -> wit::Error {
    match error {
        SqlError::Denied(what) => {
            tracing::warn!(database, what, "refused a statement");
            wit::Error::Denied(what)
        }
        SqlError::NoSuchDatabase => wit::Error::NoSuchDatabase,
        SqlError::Guard(step) => wit::Error::Guard(step),
        SqlError::Constraint { kind, table, columns } => {
            wit::Error::Constraint(wit::ConstraintViolation { kind: kind.into(), table, columns })
        }
        SqlError::Syntax(what) => wit::Error::Syntax(what),
        SqlError::ReadOnly => wit::Error::ReadOnly,
        SqlError::TooLarge(what) => wit::Error::TooLarge(what),
        SqlError::Timeout => wit::Error::Timeout,
        SqlError::Conflict => wit::Error::Conflict,
        SqlError::Busy(wait) => wit::Error::Busy(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        SqlError::OutcomeUnknown => wit::Error::OutcomeUnknown,
        SqlError::Internal(what) => {
            tracing::error!(database, what, "a database failed");
            wit::Error::Internal("the database failed; the host's log says why".to_owned())
        }
    }
}

impl From<Refusal> for wit::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(what) => Self::Denied(what),
            Refusal::Invalid(what) => Self::Syntax(what),
            Refusal::TooLarge(what) => Self::TooLarge(what),
        }
    }
}

impl From<wit::Statement> for Statement {
    fn from(statement: wit::Statement) -> Self {
        Self { text: statement.text, params: statement.params.into_iter().map(Into::into).collect() }
    }
}

impl From<wit::Expectation> for Expectation {
    fn from(expectation: wit::Expectation) -> Self {
        match expectation {
            wit::Expectation::Affected(rows) => Self::Affected(rows),
            wit::Expectation::AffectedAtLeast(rows) => Self::AffectedAtLeast(rows),
            wit::Expectation::NoRows => Self::NoRows,
            wit::Expectation::SomeRows => Self::SomeRows,
        }
    }
}

impl From<ConstraintKind> for wit::ConstraintKind {
    fn from(kind: ConstraintKind) -> Self {
        match kind {
            ConstraintKind::Unique => Self::Unique,
            ConstraintKind::ForeignKey => Self::ForeignKey,
            ConstraintKind::NotNull => Self::NotNull,
            ConstraintKind::Check => Self::Check,
        }
    }
}

impl From<wit::Value> for Value {
    fn from(value: wit::Value) -> Self {
        match value {
            wit::Value::Null => Self::Null,
            wit::Value::Boolean(value) => Self::Boolean(value),
            wit::Value::Integer(value) => Self::Integer(value),
            wit::Value::Real(value) => Self::Real(value),
            wit::Value::Text(value) => Self::Text(value),
            wit::Value::Blob(value) => Self::Blob(value),
        }
    }
}

impl From<Value> for wit::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value),
            Value::Blob(value) => Self::Blob(value),
        }
    }
}

impl From<RowSet> for wit::RowSet {
    fn from(set: RowSet) -> Self {
        let rows = set.rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect();
        Self { columns: set.columns, rows, affected: set.affected }
    }
}
