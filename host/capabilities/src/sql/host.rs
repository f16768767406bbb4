//! `chassis:platform/sql`: finds the database of a label, and translates.

use std::sync::Arc;

use wasmtime::component::Accessor;

use super::{ConstraintKind, Expectation, RowSet, SqlBackend, SqlError, Statement, Step, Value};
use crate::bindings::chassis::platform::sql as wit;
use crate::event::{Refusal, seal};
use crate::lent::{HasLent, LentView};

impl wit::Host for LentView {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn query(
        accessor: &Accessor<T, Self>,
        database: String,
        statement: wit::Statement,
    ) -> Result<wit::RowSet, wit::Error> {
        let view = accessor.with(|mut access| access.get());
        let answer = find(&view, &database)?.query(statement.into()).await;
        answer.map(Into::into).map_err(|error| report(&view, &database, error))
    }

    async fn batch(
        accessor: &Accessor<T, Self>,
        database: String,
        steps: Vec<wit::Step>,
    ) -> Result<Vec<wit::RowSet>, wit::Error> {
        let view = accessor.with(|mut access| access.get());
        let backend = find(&view, &database)?;
        let steps = steps.into_iter().map(|step| translate(&view, step)).collect::<Result<Vec<_>, _>>()?;
        let answer = backend.batch(steps).await;
        answer.map(|sets| sets.into_iter().map(Into::into).collect()).map_err(|error| report(&view, &database, error))
    }
}

fn find(view: &LentView, label: &str) -> Result<Arc<dyn SqlBackend>, wit::Error> {
    view.lent.databases.get(label).cloned().ok_or_else(|| {
        view.refuse("refused a database that the component does not own", label, "");
        wit::Error::Denied(format!("the database «{label}» is not lent to this component"))
    })
}

fn translate(view: &LentView, step: wit::Step) -> Result<Step, wit::Error> {
    Ok(match step {
        wit::Step::Run(guarded) => Step::Run(guarded.statement.into(), guarded.expect.map(Into::into)),
        wit::Step::Publish(event) => Step::Publish(seal(view, event)?),
    })
}

/// What the guest reads; the text of an internal error goes to the log alone. What a statement may not do is logged, what
/// the data does not allow is the component's own business.
fn report(view: &LentView, database: &str, error: SqlError) -> wit::Error {
    match &error {
        SqlError::Denied(_) | SqlError::Syntax(_) | SqlError::ReadOnly | SqlError::TooLarge(_) => {
            view.refuse("refused a statement", database, &error.to_string());
        }
        SqlError::Timeout => view.refuse("ended a statement that took too long", database, ""),
        SqlError::Internal(what) => view.fail("a database failed", database, what),
        SqlError::Guard(_)
        | SqlError::Constraint { .. }
        | SqlError::Conflict
        | SqlError::Busy(_)
        | SqlError::OutcomeUnknown => {}
    }
    error.into()
}

impl From<SqlError> for wit::Error {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Denied(what) => Self::Denied(what),
            SqlError::Guard(step) => Self::Guard(step),
            SqlError::Constraint { kind, table, columns } => {
                Self::Constraint(wit::ConstraintViolation { kind: kind.into(), table, columns })
            }
            SqlError::Syntax(what) => Self::Syntax(what),
            SqlError::ReadOnly => Self::ReadOnly,
            SqlError::TooLarge(what) => Self::TooLarge(what),
            SqlError::Timeout => Self::Timeout,
            SqlError::Conflict => Self::Conflict,
            SqlError::Busy(wait) => Self::Busy(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
            SqlError::OutcomeUnknown => Self::OutcomeUnknown,
            SqlError::Internal(_) => Self::Internal("the database failed; the host's log says why".to_owned()),
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
