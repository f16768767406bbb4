//! A batch on its way through the writer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chassis_config::plan::SqlPolicy;

use super::super::{Expectation, RowSet, SqlError, Step, Value};
use super::WAIT_WRITER;
use super::error;
use super::inspect::{Facts, Texts, check_statement};
use super::run::{self, Budget};
use super::schema::Schema;
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

/// Until when a batch may run, and who decides that it is not run any more: the writer by beginning it, or whoever waits
/// for it by withdrawing it, whichever is first.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    deadline: Instant,
    state: Arc<AtomicU8>,
}

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Claim {
    /// Accepted now, with so much time.
    pub(super) fn new(time: Duration) -> Self {
        Self { deadline: Instant::now() + time, state: Arc::default() }
    }

    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether it was withdrawn before it began.
    pub(super) fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITING, WITHDRAWN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Begin it: the time to run. None where that is over, or it was withdrawn.
    fn begin(&self) -> Option<Duration> {
        let began = self.state.compare_exchange(WAITING, BEGUN, Ordering::SeqCst, Ordering::SeqCst);
        Some(self.remaining()).filter(|remaining| began.is_ok() && !remaining.is_zero())
    }
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
    steps: Vec<CheckedStep>,
    limited: Limited,
    claim: Claim,
    outcome: Option<Outcome>,
    committed: Box<dyn FnOnce() + Send>,
    answer: Box<dyn FnOnce(Outcome) + Send>,
}

impl fmt::Debug for BatchJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchJob").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

impl BatchJob {
    pub(super) fn new(
        steps: Vec<CheckedStep>,
        limited: Limited,
        claim: Claim,
        answer: impl FnOnce(Outcome) + Send + 'static,
    ) -> Self {
        Self { steps, limited, claim, outcome: None, committed: Box::new(|| ()), answer: Box::new(answer) }
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
                let time = self.claim.begin();
                if time.is_none() {
                    self.outcome = Some(Err(SqlError::Busy(WAIT_WRITER)));
                }
                time
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
        let outcome = run_steps(&self.steps, &self.limited, connection).await;
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
