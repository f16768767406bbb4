//! Batches.

use super::{Statement, host};
use crate::events::Publication;

/// Steps that are kept as a whole or not at all, serializably.
#[derive(Debug, Default)]
pub struct Batch {
    steps: Vec<host::Step>,
}

impl Batch {
    /// No steps yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Run a statement.
    #[must_use]
    pub fn run(self, statement: Statement) -> Self {
        self.step(statement, None)
    }

    /// Run a statement; it must change exactly so many rows.
    #[must_use]
    pub fn run_affecting(self, rows: u64, statement: Statement) -> Self {
        self.step(statement, Some(host::Expectation::Affected(rows)))
    }

    /// Run a statement; it must return no row.
    #[must_use]
    pub fn run_finding_none(self, statement: Statement) -> Self {
        self.step(statement, Some(host::Expectation::NoRows))
    }

    /// Run a statement; it must return a row.
    #[must_use]
    pub fn run_finding_some(self, statement: Statement) -> Self {
        self.step(statement, Some(host::Expectation::SomeRows))
    }

    /// Publish an event, in the same commit.
    #[must_use]
    pub fn publish(mut self, event: Publication) -> Self {
        self.steps.push(host::Step::Publish(event.into_host()));
        self
    }

    /// All steps of another batch, behind these.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }

    /// The number of steps, which is also the index that the next one gets in [`super::DbError::Guard`].
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn step(mut self, statement: Statement, expect: Option<host::Expectation>) -> Self {
        self.steps.push(host::Step::Run(host::Guarded { statement: statement.into_host(), expect }));
        self
    }

    pub(super) fn into_steps(self) -> Vec<host::Step> {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::sql;

    #[test]
    fn every_step_says_what_it_must_find() {
        let event = || Publication::new("thing.done", "thing_1", &serde_json::json!({}));
        let last = Batch::new().publish(event());
        let batch = Batch::new()
            .run(sql("a"))
            .run_affecting(2, sql("b").bind(7_i64))
            .run_finding_none(sql("c"))
            .run_finding_some(sql("d"))
            .then(last);
        assert_eq!((batch.len(), batch.is_empty(), Batch::new().is_empty()), (5, false, true));
        let run = |text: &'static str, params: &[host::Value], expect: Option<host::Expectation>| {
            let statement = host::Statement { text: text.to_owned(), params: params.to_vec() };
            host::Step::Run(host::Guarded { statement, expect })
        };
        let expected = [
            run("a", &[], None),
            run("b", &[host::Value::Integer(7)], Some(host::Expectation::Affected(2))),
            run("c", &[], Some(host::Expectation::NoRows)),
            run("d", &[], Some(host::Expectation::SomeRows)),
            host::Step::Publish(event().into_host()),
        ];
        assert_eq!(batch.into_steps(), expected);
    }
}
