//! Queries and batches on one connection.

use super::connection::{Answer, Connection, Failure};
use super::error::{translate, translate_commit, violated_index};
use super::limits::{Budget, STEPS_MAX};
use super::outbox::{self, Envelope, Stamp};
use super::text::{Checked, Verb, check};
use crate::bindings::sql::{ConstraintViolation, Error, Expectation, RowSet, Statement, Step, Value};

/// A step that was checked.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckedStep {
    /// Run a statement, and expect something of it.
    Run(Checked, Option<Expectation>),
    /// Put an event into the outbox.
    Publish(Envelope),
}

impl CheckedStep {
    /// The id of the event that it publishes.
    pub fn into_event_id(self) -> Option<String> {
        match self {
            Self::Publish(envelope) => Some(envelope.id),
            Self::Run(..) => None,
        }
    }
}

/// Check all steps of a batch on `database`; `stamp` says when it is, and brings chance, for each event.
///
/// # Errors
/// The first thing that is wrong with a step.
pub fn check_steps(
    database: &str,
    steps: Vec<Step>,
    mut stamp: impl FnMut() -> Result<Stamp, Error>,
) -> Result<Vec<CheckedStep>, Error> {
    if steps.len() > STEPS_MAX {
        return Err(Error::TooLarge(format!("a batch has at most {STEPS_MAX} steps")));
    }
    let checked = steps.into_iter().map(|step| match step {
        Step::Run(guarded) => Ok(CheckedStep::Run(check(guarded.statement)?, guarded.expect)),
        Step::Publish(event) => Ok(CheckedStep::Publish(outbox::seal(event, database, stamp()?)?)),
    });
    checked.collect()
}

/// Run one statement that reads.
///
/// # Errors
/// `read-only` for a statement that writes, and what [`check`] and SQLite say.
pub async fn query(connection: &impl Connection, statement: Statement) -> Result<RowSet, Error> {
    let checked = check(statement)?;
    if checked.verb == Verb::Write {
        return Err(Error::ReadOnly);
    }
    run(connection, &checked, &mut Budget::full()).await
}

/// Run all steps or none. The connection is of no use to others meanwhile, and of none to anybody where this future is
/// dropped: to close it rolls back what was begun.
///
/// # Errors
/// Nothing was kept, but for `outcome-unknown`.
pub async fn batch(connection: &impl Connection, steps: &[CheckedStep]) -> Result<Vec<RowSet>, Error> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    // Immediate: it waits for another writer here, and cannot lose against one later. Batches are in a line, which makes
    // them serializable.
    command(connection, "begin immediate").await.map_err(translate)?;
    let answers = match run_steps(connection, steps).await {
        Ok(answers) => answers,
        Err(error) => {
            roll_back(connection).await;
            return Err(error);
        }
    };
    match command(connection, "commit").await {
        Ok(()) => Ok(answers),
        Err(failure) => {
            roll_back(connection).await;
            Err(translate_commit(failure))
        }
    }
}

async fn run_steps(connection: &impl Connection, steps: &[CheckedStep]) -> Result<Vec<RowSet>, Error> {
    let mut budget = Budget::full();
    let mut answers = Vec::new();
    let events = steps.iter().filter(|step| matches!(step, CheckedStep::Publish(_))).count();
    if events > 0 {
        outbox::make_room(connection, events).await?;
    }
    for (index, step) in steps.iter().enumerate() {
        match step {
            CheckedStep::Run(checked, expect) => {
                let answer = run(connection, checked, &mut budget).await?;
                if !expect.is_none_or(|expect| is_met(expect, &answer)) {
                    return Err(Error::Guard(u32::try_from(index).unwrap_or(u32::MAX)));
                }
                answers.push(answer);
            }
            CheckedStep::Publish(envelope) => outbox::put(connection, envelope).await?,
        }
    }
    Ok(answers)
}

fn is_met(expect: Expectation, answer: &RowSet) -> bool {
    match expect {
        Expectation::Affected(rows) => answer.affected == rows,
        Expectation::AffectedAtLeast(rows) => answer.affected >= rows,
        Expectation::NoRows => answer.rows.is_empty(),
        Expectation::SomeRows => !answer.rows.is_empty(),
    }
}

async fn run(connection: &impl Connection, checked: &Checked, budget: &mut Budget) -> Result<RowSet, Error> {
    let Answer { columns, rows } = match connection.execute(&checked.text, &checked.params, budget).await {
        Ok(answer) => answer,
        Err(failure) => return Err(explain(connection, failure).await),
    };
    let affected = match checked.verb {
        // SQLite keeps the count of the statement before where this one changes nothing.
        Verb::Read => 0,
        Verb::Write => connection.changes().await,
    };
    Ok(RowSet { columns, rows, affected })
}

const INDEX: &str = "select s.tbl_name, c.name from sqlite_schema s join pragma_index_info(s.name) c \
                     where s.type = 'index' and s.name = ?1 order by c.seqno";

/// As [`translate`], with the table and the columns of an index that SQLite names alone.
async fn explain(connection: &impl Connection, failure: Failure) -> Error {
    let index = violated_index(&failure);
    match (translate(failure), index) {
        (Error::Constraint(violation), Some(index)) => {
            let found = connection.execute(INDEX, &[Value::Text(index)], &mut Budget::full()).await;
            Error::Constraint(located(violation, found.unwrap_or_default().rows))
        }
        (error, _) => error,
    }
}

/// `rows`: the table, and a column each; null for an expression.
fn located(mut violation: ConstraintViolation, rows: Vec<Vec<Value>>) -> ConstraintViolation {
    for row in rows {
        let mut row = row.into_iter();
        if let Some(Value::Text(table)) = row.next() {
            violation.table = table;
        }
        if let Some(Value::Text(column)) = row.next() {
            violation.columns.push(column);
        }
    }
    violation
}

/// A statement of the adapter's own, without parameters and without an answer.
pub(super) async fn command(connection: &impl Connection, text: &str) -> Result<(), Failure> {
    connection.execute(text, &[], &mut Budget::full()).await.map(|_no_rows| ())
}

/// Where this fails, there is no transaction any more, or the connection is lost; closing it does the same.
async fn roll_back(connection: &impl Connection) {
    let _rolled_back_or_gone = command(connection, "rollback").await;
}

#[cfg(test)]
mod tests;
