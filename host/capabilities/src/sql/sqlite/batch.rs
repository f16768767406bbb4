//! A batch on its way through the writer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chassis_config::plan::SqlPolicy;

use super::super::{Expectation, RowSet, SqlError, Step, Value};
use super::WAIT_WRITER;
use super::error;
use super::inspect::{Facts, Texts, check_statement, statement_bytes};
use super::run::{self, Budget};
use super::schema::Schema;
use crate::backlog::Room;
use crate::conduct::Conduct;
use crate::event::Envelope;
use crate::failpoint::{self, Point};
use crate::sqlite_file::connection::Connection;
use crate::sqlite_file::fence::Mode;
use crate::sqlite_file::writer::{End, Job, Verdict};
use crate::sqlite_file::{SqliteFile, ffi};

/// A step that was checked.
#[derive(Debug)]
pub(super) enum CheckedStep {
    Run { facts: Arc<Facts>, params: Vec<Value>, expect: Option<Expectation> },
    Publish { id: String, envelope: String },
}

/// The bounds and the schema under which a batch runs.
#[derive(Debug)]
pub(super) struct Limited {
    pub(super) policy: SqlPolicy,
    pub(super) schema: Arc<Schema>,
    /// For whose conduct its CPU time counts.
    pub(super) conduct: Option<Arc<dyn Conduct>>,
}

/// The steps of a batch, and the room that they take in the queue of their database.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) steps: Vec<CheckedStep>,
    pub(super) _room: Room,
}

/// Until when a batch may run, and who decides that it is not run any more: the writer by beginning it, or whoever waits
/// for it by withdrawing it, whichever is first. What it holds is there for the one of them.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    deadline: Instant,
    waiting: Arc<Mutex<Option<Load>>>,
}

impl Claim {
    pub(super) fn new(deadline: Instant, load: Load) -> Self {
        Self { deadline, waiting: Arc::new(Mutex::new(Some(load))) }
    }

    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether it was withdrawn before it began. Its place in the writer's queue stays, and holds nothing.
    pub(super) fn withdraw(&self) -> bool {
        self.take().is_some()
    }

    /// Begin it: what it holds, and the time to run. None where that is over, or it was withdrawn.
    fn begin(&self) -> Option<(Load, Duration)> {
        let load = self.take()?;
        Some((load, self.remaining())).filter(|(_, remaining)| !remaining.is_zero())
    }

    fn take(&self) -> Option<Load> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes that a batch holds while it waits.
pub(super) fn bytes(steps: &[Step]) -> u64 {
    let bytes = steps.iter().map(|step| match step {
        Step::Run(statement, _) => statement_bytes(statement),
        Step::Publish(event) => event.data.len() as u64,
    });
    bytes.fold(0, u64::saturating_add)
}

/// Check every step; texts that are new are compiled on a reading connection.
pub(super) async fn prepare(
    texts: &Texts,
    file: &SqliteFile,
    policy: &SqlPolicy,
    steps: Vec<Step>,
) -> Result<Vec<CheckedStep>, SqlError> {
    let mut checked = Vec::with_capacity(steps.len());
    for step in steps {
        checked.push(match step {
            Step::Run(statement, expect) => {
                check_statement(&statement, policy)?;
                let facts = match texts.known(&statement.text) {
                    Some(facts) => facts,
                    None => compile(texts, file, policy, &statement.text).await?,
                };
                facts.check_params(&statement)?;
                CheckedStep::Run { facts, params: statement.params, expect }
            }
            Step::Publish(event) => publish(&event)?,
        });
    }
    Ok(checked)
}

async fn compile(texts: &Texts, file: &SqliteFile, policy: &SqlPolicy, text: &str) -> Result<Arc<Facts>, SqlError> {
    let mut reader = file.reader().await.map_err(|error| error::from_file(error, &Schema::default()))?;
    let facts = texts.facts(text, &mut reader, policy).await;
    reader.give_back();
    facts
}

fn publish(event: &Envelope) -> Result<CheckedStep, SqlError> {
    let envelope = serde_json::to_string(event)
        .map_err(|error| SqlError::Internal(format!("an event cannot be written: {error}")))?;
    Ok(CheckedStep::Publish { id: event.id.clone(), envelope })
}

type Outcome = Result<Vec<RowSet>, SqlError>;

/// A checked batch and whoever waits for it.
pub(super) struct BatchJob {
    limited: Limited,
    claim: Claim,
    /// What it holds, from when it has begun.
    load: Option<Load>,
    outcome: Option<Outcome>,
    committed: Box<dyn FnOnce() + Send>,
    answer: Box<dyn FnOnce(Outcome) + Send>,
}

impl fmt::Debug for BatchJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchJob").field("claim", &self.claim).finish_non_exhaustive()
    }
}

impl BatchJob {
    pub(super) fn new(limited: Limited, claim: Claim, answer: impl FnOnce(Outcome) + Send + 'static) -> Self {
        let committed = Box::new(|| ());
        Self { limited, claim, load: None, outcome: None, committed, answer: Box::new(answer) }
    }

    /// What is to be done once the batch is durable, before it is answered.
    pub(super) fn on_commit(self, committed: impl FnOnce() + Send + 'static) -> Self {
        Self { committed: Box::new(committed), ..self }
    }
}

impl BatchJob {
    /// The time that it has to run now; none where it is not to be run, or not again.
    fn time(&mut self) -> Option<Duration> {
        match self.outcome {
            None => {
                let Some((load, time)) = self.claim.begin() else {
                    self.outcome = Some(Err(SqlError::Busy(WAIT_WRITER)));
                    return None;
                };
                self.load = Some(load);
                Some(time)
            }
            Some(Err(SqlError::Timeout)) => None,
            // It has run in time, and a neighbour undid it.
            Some(_) => Some(self.limited.policy.timeout),
        }
    }
}

#[async_trait]
impl Job for BatchJob {
    async fn run(&mut self, connection: &mut Connection) -> Verdict {
        let Some(time) = self.time() else { return Verdict::Undo };
        connection.fence().limit(time);
        if let Some(conduct) = &self.limited.conduct {
            connection.fence().watch(Arc::clone(conduct));
        }
        let steps = self.load.as_ref().map_or(&[][..], |load| &load.steps);
        let outcome = run_steps(steps, &self.limited, connection).await;
        connection.fence().enter(Mode::Host);
        connection.fence().unlimit();
        connection.fence().unwatch();
        let verdict = if outcome.is_ok() { Verdict::Keep } else { Verdict::Undo };
        self.outcome = Some(outcome);
        if verdict == Verdict::Keep {
            failpoint::pass(Point::BatchApplied);
        }
        verdict
    }

    fn finish(self: Box<Self>, end: End) {
        let Self { limited, outcome, committed, answer, .. } = *self;
        let outcome = match (end, outcome) {
            (End::AsRun, Some(outcome)) => outcome,
            (End::AsRun, None) => Err(SqlError::Internal("the batch was not run".to_owned())),
            (End::Failed(error), _) => Err(error::from_file(error, &limited.schema)),
        };
        if outcome.is_ok() {
            failpoint::pass(Point::Committed);
            committed();
        }
        answer(outcome);
    }
}

async fn run_steps(steps: &[CheckedStep], limited: &Limited, connection: &mut Connection) -> Outcome {
    let mut budget = Budget::new(&limited.policy);
    let mut answers = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if connection.fence().expired() {
            return Err(SqlError::Timeout);
        }
        match step {
            CheckedStep::Run { facts, params, expect } => {
                connection.fence().enter(Mode::Guest);
                let ran = run::run(connection, facts, params.clone(), &mut budget).await;
                connection.fence().enter(Mode::Host);
                let answer = ran.map_err(|error| error.translate(&limited.schema))?;
                if !expect.is_none_or(|expect| is_met(expect, &answer)) {
                    return Err(SqlError::Guard(u32::try_from(index).unwrap_or(u32::MAX)));
                }
                answers.push(answer);
            }
            CheckedStep::Publish { id, envelope } => {
                let put = sqlx::query("insert into chassis_outbox (id, envelope) values ($1, $2)");
                let put = put.bind(id.clone()).bind(envelope.clone()).execute(connection.sqlx()).await;
                put.map_err(|error| unpublished(&error, &limited.schema))?;
            }
        }
    }
    // The last one may have been over before anybody looked at the clock.
    if connection.fence().expired() {
        return Err(SqlError::Timeout);
    }
    if limited.schema.has_deferred_references && has_open_references(connection).await? {
        return Err(error::open_reference());
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

/// A guest is not to hear of the host's own table.
fn unpublished(error: &sqlx::Error, schema: &Schema) -> SqlError {
    match error::from_sqlx(error, schema) {
        SqlError::Constraint { .. } => SqlError::Internal(format!("an event was not put into the outbox: {error}")),
        other => other,
    }
}

async fn has_open_references(connection: &mut Connection) -> Result<bool, SqlError> {
    let internal = |error: &dyn fmt::Display| SqlError::Internal(format!("references were not checked: {error}"));
    let mut handle = connection.sqlx().lock_handle().await.map_err(|error| internal(&error))?;
    ffi::has_open_references(&mut handle).map_err(|refusal| internal(&refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backlog::Backlog;

    fn waiting(backlog: &Backlog, time: Duration) -> Option<Claim> {
        let load = Load { steps: Vec::new(), _room: backlog.take(4096)? };
        Some(Claim::new(Instant::now() + time, load))
    }

    #[test]
    fn a_batch_that_is_withdrawn_holds_nothing_although_the_writer_has_not_come_to_it() {
        let backlog = Backlog::new(4096);
        let claim = waiting(&backlog, Duration::from_secs(60)).expect("room");
        let queued = claim.clone();
        assert!(waiting(&backlog, Duration::ZERO).is_none());
        assert!(claim.withdraw());
        assert!(backlog.take(4096).is_some());
        assert!(queued.begin().is_none() && !claim.withdraw());
    }

    #[test]
    fn a_batch_that_has_begun_is_not_withdrawn_and_holds_its_room() {
        let backlog = Backlog::new(4096);
        let claim = waiting(&backlog, Duration::from_secs(60)).expect("room");
        let begun = claim.begin();
        assert!(begun.is_some() && !claim.withdraw() && backlog.take(1).is_none());
        drop(begun);
        assert!(backlog.take(4096).is_some());
    }

    #[test]
    fn a_batch_whose_time_is_over_does_not_begin() {
        let backlog = Backlog::new(4096);
        let claim = waiting(&backlog, Duration::ZERO).expect("room");
        assert!(claim.begin().is_none() && backlog.take(4096).is_some());
    }
}
