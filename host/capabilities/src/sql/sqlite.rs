//! The embedded SQL backend: one SQLite file per database.
//!
//! Guest SQL is hostile input, and is confined four times over: it is compiled and looked at before anything runs
//! ([`inspect`]); the connection's authorizer refuses what a guest has no use for, also inside triggers and views;
//! SQLite's own limits and a deadline bound what one statement can cost; and a batch that destroys the writer's
//! transaction is found out, while its neighbours are run again without it (`sqlite_file::writer`).
//!
//! # Time and CPU
//! SQLite looks at the deadline where it jumps from one instruction to another, so what is between two jumps is bounded:
//! the instructions and the functions of a statement, the bytes of a value, the arguments of a function. Functions of which
//! one call could outlast any deadline are refused (`json_patch`, `json_pretty`, `unhex`) or the host's own (`like`, `glob`,
//! `instr`, `replace`, `trim`). What ends after its deadline all the same is answered `timeout`, and a batch is undone.
//! CPU time counts for the component's [`Conduct`]: SQL that burns more than a burst goes on at the lowest priority.
//!
//! # Values
//! `boolean` is stored as the integer 0 or 1 and comes back as one; every other value comes back with the type with
//! which SQLite stored it, which is that of the parameter unless the column's affinity converts it (declare tables
//! `strict` to be told instead). A float that is not a number is refused, since SQLite would store null.

mod batch;
mod error;
mod inspect;
mod migrate;
mod migration;
mod run;
mod schema;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chassis_config::plan::SqlPolicy;
use futures::FutureExt;
use tokio::sync::{Notify, oneshot};

use self::batch::{BatchJob, Claim, Limited, Load};
use self::inspect::{Texts, check_statement, statement_bytes};
pub use self::migrate::OpenError;
pub use self::migration::{Migration, MigrationError, MigrationKind};
use self::schema::Schema;
use super::{Outbox, RowSet, SqlBackend, SqlError, Statement, Step};
use crate::backlog::{Backlog, Room};
use crate::clock::Clock;
use crate::conduct::Conduct;
use crate::event::Envelope;
use crate::sqlite_file::connection::ConnectionPlan;
use crate::sqlite_file::fence::Mode;
use crate::sqlite_file::ffi::Limits;
use crate::sqlite_file::{FileBounds, FileError, SqliteFile};

/// Wait hint where what waits has too many bytes: a few group commits.
const WAIT_BACKLOG: Duration = Duration::from_millis(50);

/// Wait hint where the outbox is full.
const WAIT_OUTBOX_FULL: Duration = Duration::from_secs(1);

/// Wait hint where a batch waited for all of its time.
const WAIT_WRITER: Duration = Duration::from_millis(200);
/// Time after its deadline that a query is given to hear of it; a single call of a function does not, until it is over.
const QUERY_GRACE: Duration = Duration::from_millis(500);

/// Limits that SQLite keeps are not below what the host's own statements need. Those of the policy are kept exactly
/// where they are lower, since requests and answers are counted besides.
const VALUE_BYTES_FLOOR: u64 = 2 * 1024 * 1024;
/// See [`VALUE_BYTES_FLOOR`].
const TEXT_BYTES_FLOOR: u64 = 4096;
/// See [`VALUE_BYTES_FLOOR`].
const PARAMS_FLOOR: u32 = 16;
/// Instructions of a statement beside those for its parameters. SQLite doubles its room for them, so that somewhat less
/// than twice as many may fit.
const INSTRUCTIONS: u32 = 8192;
/// Instructions for a parameter.
const INSTRUCTIONS_PER_PARAM: u32 = 8;

/// The first events, as long as they do not exceed a sum of bytes. The lengths are summed up before an event is read.
const FRONT_OF_OUTBOX: &str = "
with front as (
    select sequence, octet_length(envelope) as own from chassis_outbox order by sequence limit $1
), sized as (
    select sequence, own, sum(own) over (order by sequence) as whole from front
)
select envelope from chassis_outbox
where sequence in (select sequence from sized where whole <= $2 or whole = own) order by sequence";

/// One SQLite database of one component. There should be one of these per file in a process: [`SqliteDatabase::migrate`]
/// keeps its own readers and writer from the changing schema, not those of another. Cheap to clone.
#[derive(Clone)]
pub struct SqliteDatabase {
    shared: Arc<Shared>,
}

struct Shared {
    file: SqliteFile,
    plan: ConnectionPlan,
    policy: SqlPolicy,
    clock: Arc<dyn Clock>,
    texts: Texts,
    schema: RwLock<Arc<Schema>>,
    outbox: OutboxGauge,
    backlog: Backlog,
}

/// How much is in the outbox, and the bell that rings when something is put there.
#[derive(Debug, Default)]
struct OutboxGauge {
    waiting: AtomicU64,
    published: Notify,
}

impl fmt::Debug for SqliteDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteDatabase").field("path", &self.shared.plan.path).finish_non_exhaustive()
    }
}

impl SqliteDatabase {
    /// Open a database, or make it (mode 0600), and apply those of `migrations` that are pending. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// Where the file cannot be opened, or its migrations and `migrations` do not agree, or one fails; then the file is
    /// as it was before. The error names the migration.
    pub async fn open(
        path: &Path,
        policy: &SqlPolicy,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let mut plan = ConnectionPlan::new(path, bounds(policy))?;
        plan.limits = Some(limits(policy));
        let schema = migrate::apply(&plan, migrations, clock.as_ref()).await?;
        let file = SqliteFile::with_plan(plan.clone()).await?;
        let database = Self {
            shared: Arc::new(Shared {
                file,
                plan,
                policy: policy.clone(),
                clock,
                texts: Texts::new(policy.statements),
                schema: RwLock::new(Arc::new(schema)),
                outbox: OutboxGauge::default(),
                backlog: Backlog::new(policy.queue_bytes),
            }),
        };
        let waiting = database.count_outbox().await?;
        database.shared.outbox.waiting.store(waiting, Ordering::SeqCst);
        if waiting > 0 {
            database.shared.outbox.published.notify_one();
        }
        Ok(database)
    }

    /// Apply those of `migrations` that are pending while the database is in use, in one transaction. Queries and
    /// batches wait meanwhile, so that no connection runs a statement that it compiled against the old schema.
    ///
    /// # Errors
    /// Those of [`SqliteDatabase::open`].
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), OpenError> {
        let _paused = self.shared.file.pause().await?;
        let schema = migrate::apply(&self.shared.plan, migrations, self.shared.clock.as_ref()).await?;
        *self.shared.schema.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(schema);
        self.shared.texts.forget();
        Ok(())
    }

    /// Let the file not grow beyond `bytes` (rounded to pages; it is never cut). What does not fit is answered `busy`.
    ///
    /// # Errors
    /// Where the writer does not answer.
    pub async fn limit_size(&self, bytes: u64) -> Result<(), SqlError> {
        let path = self.shared.plan.path.clone();
        self.shared.plan.limit_size(bytes);
        let pages = self.shared.plan.pages();
        self.shared
            .file
            .write(move |connection| {
                async move {
                    let pragma = sqlx::AssertSqlSafe(format!("pragma max_page_count = {pages}"));
                    sqlx::raw_sql(pragma).execute(connection).await.map_err(FileError::from).map(drop)
                }
                .boxed()
            })
            .await
            .map_err(|error| self.translate(error))
            .inspect(|()| tracing::info!(path = %path.display(), pages, "database size limited"))
    }

    /// End: batches that were accepted are finished, later ones refused.
    pub async fn close(&self) {
        self.shared.file.close().await;
    }

    fn schema(&self) -> Arc<Schema> {
        self.shared.schema.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn translate(&self, error: FileError) -> SqlError {
        error::from_file(error, &self.schema())
    }

    async fn count_outbox(&self) -> Result<u64, FileError> {
        let count: i64 = self
            .shared
            .file
            .read(|connection| {
                let count = sqlx::query_scalar("select count(*) from chassis_outbox").fetch_one(connection);
                count.map(|answer| answer.map_err(FileError::from)).boxed()
            })
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn room(&self, bytes: u64) -> Result<Room, SqlError> {
        self.shared.backlog.take(bytes).ok_or(SqlError::Busy(WAIT_BACKLOG))
    }

    /// Refuse a batch that is too long, before anything of it is compiled.
    fn check_size(&self, steps: &[Step]) -> Result<u64, SqlError> {
        let most = self.shared.policy.steps;
        if steps.len() > most as usize {
            return Err(SqlError::TooLarge(format!("a batch has at most {most} steps (sql.steps)")));
        }
        let events = steps.iter().filter(|step| matches!(step, Step::Publish(_))).count() as u64;
        let waiting = self.shared.outbox.waiting.load(Ordering::SeqCst);
        if events > 0 && waiting.saturating_add(events) > self.shared.policy.outbox {
            return Err(SqlError::Busy(WAIT_OUTBOX_FULL));
        }
        Ok(events)
    }
}

#[async_trait]
impl SqlBackend for SqliteDatabase {
    async fn query(&self, statement: Statement) -> Result<RowSet, SqlError> {
        let (shared, began) = (&self.shared, Instant::now());
        check_statement(&statement, &shared.policy)?;
        let _room = self.room(statement_bytes(&statement))?;
        let mut reader = shared.file.reader().await.map_err(|error| self.translate(error))?;
        let facts = match shared.texts.facts(&statement.text, &mut reader, &shared.policy).await {
            Ok(facts) => facts,
            Err(error) => {
                reader.give_back();
                return Err(error);
            }
        };
        let allowed = if facts.read_only { facts.check_params(&statement) } else { Err(SqlError::ReadOnly) };
        if let Err(error) = allowed {
            reader.give_back();
            return Err(error);
        }
        let connection = reader.connection().map_err(|error| self.translate(error))?;
        connection.fence().enter(Mode::Guest);
        let remaining = shared.policy.timeout.saturating_sub(began.elapsed());
        connection.fence().limit(remaining);
        if let Some(conduct) = shared.plan.conduct() {
            connection.fence().watch(Arc::clone(conduct));
        }
        let mut budget = run::Budget::new(&shared.policy);
        let running = run::run(connection, &facts, statement.params, &mut budget);
        // Where this elapses, the reader is dropped, and comes back once its connection has come to rest.
        let ran = tokio::time::timeout(remaining.saturating_add(QUERY_GRACE), running).await;
        let ran = ran.map_err(|_elapsed| SqlError::Timeout)?;
        let is_late = reader.connection().is_ok_and(|connection| connection.fence().expired());
        match ran {
            Ok(_) if is_late => {
                reader.give_back();
                Err(SqlError::Timeout)
            }
            Ok(rows) => {
                reader.give_back();
                Ok(rows)
            }
            Err(error) => {
                reader.examine().await;
                Err(error.translate(&self.schema()))
            }
        }
    }

    async fn batch(&self, steps: Vec<Step>) -> Result<Vec<RowSet>, SqlError> {
        let deadline = Instant::now() + self.shared.policy.timeout;
        let events = self.check_size(&steps)?;
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.room(batch::bytes(&steps))?;
        let steps = batch::prepare(&self.shared.texts, &self.shared.file, &self.shared.policy, steps).await?;
        let claim = Claim::new(deadline, Load { steps, _room: room });
        let (answer, answered) = oneshot::channel();
        let limited = Limited {
            policy: self.shared.policy.clone(),
            schema: self.schema(),
            conduct: self.shared.plan.conduct().cloned(),
        };
        let job = BatchJob::new(limited, claim.clone(), move |outcome| {
            // Whoever asked may be gone; the batch is kept all the same.
            let _ = answer.send(outcome);
        });
        let shared = self.shared.clone();
        let job = job.on_commit(move || {
            if events > 0 {
                shared.outbox.waiting.fetch_add(events, Ordering::SeqCst);
                shared.outbox.published.notify_one();
            }
        });
        self.shared.file.submit(Box::new(job)).map_err(|error| self.translate(error))?;
        let mut answered = answered;
        let answer = match tokio::time::timeout(claim.remaining(), &mut answered).await {
            Ok(answer) => answer,
            Err(_elapsed) if claim.withdraw() => return Err(SqlError::Busy(WAIT_WRITER)),
            // It has begun: it ends by its deadline, or at once.
            Err(_elapsed) => answered.await,
        };
        answer.unwrap_or(Err(SqlError::OutcomeUnknown))
    }

    fn watch(&self, conduct: Arc<dyn Conduct>) {
        self.shared.plan.watch(conduct);
    }
}

#[async_trait]
impl Outbox for SqliteDatabase {
    async fn pending(&self, limit: u32, bytes: u64) -> Result<Vec<Envelope>, SqlError> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let rows: Result<Vec<String>, FileError> = self
            .shared
            .file
            .read(move |connection| {
                sqlx::query_scalar(FRONT_OF_OUTBOX)
                    .bind(limit)
                    .bind(bytes)
                    .fetch_all(connection)
                    .map(|rows| rows.map_err(FileError::from))
                    .boxed()
            })
            .await;
        let rows = rows.map_err(|error| self.translate(error))?;
        rows.iter()
            .map(|row| serde_json::from_str(row))
            .collect::<Result<_, _>>()
            .map_err(|error| SqlError::Internal(format!("an event of the outbox cannot be read: {error}")))
    }

    async fn confirm(&self, ids: &[String]) -> Result<(), SqlError> {
        let ids = serde_json::to_string(ids).map_err(|error| SqlError::Internal(error.to_string()))?;
        let deleted: Result<u64, FileError> = self
            .shared
            .file
            .write(move |connection| {
                let ids = ids.clone();
                async move {
                    let done = sqlx::query("delete from chassis_outbox where id in (select value from json_each($1))")
                        .bind(ids)
                        .execute(connection)
                        .await?;
                    Ok(done.rows_affected())
                }
                .boxed()
            })
            .await;
        let deleted = deleted.map_err(|error| self.translate(error))?;
        let waiting = &self.shared.outbox.waiting;
        let _ = waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_sub(deleted)));
        Ok(())
    }

    async fn published(&self) {
        self.shared.outbox.published.notified().await;
    }
}

fn bounds(policy: &SqlPolicy) -> FileBounds {
    FileBounds {
        readers: policy.readers,
        queue: policy.queue,
        group: policy.group,
        statements: policy.statements,
        wait: policy.timeout,
        bytes: policy.database_bytes,
        log_bytes: policy.wal_bytes,
        temporary_bytes: policy.temporary_bytes,
    }
}

fn limits(policy: &SqlPolicy) -> Limits {
    let at_most = |bytes: u64| i32::try_from(bytes).unwrap_or(i32::MAX);
    Limits {
        value_bytes: at_most(policy.statement_bytes.max(VALUE_BYTES_FLOOR)),
        text_bytes: at_most(policy.statement_bytes.max(TEXT_BYTES_FLOOR)),
        params: i32::try_from(policy.params.max(PARAMS_FLOOR)).unwrap_or(i32::MAX),
        instructions: at_most(u64::from(INSTRUCTIONS) + u64::from(policy.params) * u64::from(INSTRUCTIONS_PER_PARAM)),
    }
}
