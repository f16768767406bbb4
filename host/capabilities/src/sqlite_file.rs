//! One SQLite file: durable, with one writer that commits in groups and a few readers.
//!
//! This is the ground on which every embedded backend stands. The host's own backends (key-value stores, messaging,
//! the mailbox) use [`SqliteFile`] with SQL of their own; the databases that are lent to guests add confinement on top
//! (see `sql::sqlite`). What holds for both:
//!
//! - WAL, `synchronous = full`, foreign keys on: what was answered was synced before.
//! - One task writes. It takes all work that waits, runs each piece in a savepoint of one transaction and commits once,
//!   so that one sync answers many. If that commit fails, each piece is run again alone.
//! - Accepted work runs to its end, even if the future that asked for it is dropped.
//! - A reader sees every write that was answered before it began.
//! - What is on the disk is bounded: the file, its write-ahead log, which SQLite itself lets grow for as long as there is
//!   always somebody who reads, and temporary files.

pub(crate) mod connection;
#[cfg(any(test, feature = "failpoints"))]
pub(crate) mod faulty_disk;
pub(crate) mod fence;
pub(crate) mod ffi;
mod functions;
pub(crate) mod readers;
mod rules;
pub(crate) mod temporary;
mod vfs;
pub(crate) mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use self::connection::{Connection, ConnectionPlan, Role};
use self::readers::{Reader, Readers};
use self::writer::{End, Job, Verdict, Writer};

/// Bounds of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileBounds {
    /// Reading connections; they are opened when they are first needed.
    pub readers: u32,
    /// Pieces of writing work that may wait; as many readers may wait. Beyond it: [`FileError::Busy`].
    pub queue: u32,
    /// Pieces of writing work that share one commit.
    pub group: u32,
    /// Prepared statements kept per connection.
    pub statements: u32,
    /// Time that a reader waits for a connection, and that a connection waits for another process's lock.
    pub wait: Duration,
    /// Bytes beyond which the file does not grow, rounded to pages. What does not fit is refused as on a full disk:
    /// [`FileError::Busy`]. A file that is larger already stays so.
    pub bytes: u64,
    /// Bytes of the write-ahead log. When it has them it is copied into the file and begun anew before more is written,
    /// which waits for those who read an older state; a group of work may exceed it by what it writes. Where they do not
    /// end within `wait`: [`FileError::Busy`].
    pub log_bytes: u64,
    /// Bytes of all temporary files together: sorts, `distinct`, recursion, savepoints. A statement that needs more fails.
    pub temporary_bytes: u64,
}

/// Readers of a file of the host's own: its reads are few and short.
const READERS: u32 = 2;
/// Pieces of work that wait for such a file. Each has a bound of its own; whoever gives many of them counts their bytes.
const QUEUE: u32 = 1024;
/// Pieces of work that share one commit: beyond some dozens a sync more makes little difference, and a failure much.
const GROUP: u32 = 64;
/// More than there are statements for any of these files.
const STATEMENTS: u32 = 64;
/// Time for which the host waits for such a file, before it says that it is busy.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of their write-ahead logs: seconds of writing.
const LOG_BYTES: u64 = 64 << 20;
/// Bytes of their temporary files. Their statements sort little.
const TEMPORARY_BYTES: u64 = 256 << 20;

/// Those of the files of the host's own: key-value stores, messaging, the mailbox. No operator has a reason to move them,
/// but for the size, which each has in its settings.
impl Default for FileBounds {
    fn default() -> Self {
        Self {
            readers: READERS,
            queue: QUEUE,
            group: GROUP,
            statements: STATEMENTS,
            wait: WAIT,
            bytes: u64::MAX,
            log_bytes: LOG_BYTES,
            temporary_bytes: TEMPORARY_BYTES,
        }
    }
}

/// Why work on a file was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileError {
    /// Too much waits, the disk is full, or another process holds the lock; wait so long and try again.
    #[error("the database takes no more work now, try again in {0:?}")]
    Busy(Duration),
    /// The commit failed in a way that leaves open whether it will be found after a restart.
    #[error("it is not known whether the work was kept")]
    OutcomeUnknown,
    /// The file was closed.
    #[error("the database is closed")]
    Closed,
    /// SQLite, or the driver, refused.
    #[error("{0}")]
    Sqlite(Arc<sqlx::Error>),
    /// The file could not be made or opened.
    #[error("cannot open the database {}: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// The file was written by a newer host.
    #[error("the database {} has schema version {found}, this host knows {known}: use the newer host", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
}

impl From<sqlx::Error> for FileError {
    fn from(error: sqlx::Error) -> Self {
        connection::busy_hint(&error).map_or_else(|| Self::Sqlite(Arc::new(error)), Self::Busy)
    }
}

/// One SQLite file of the host's own. Cheap to clone; closed when the last clone is dropped.
#[derive(Clone)]
pub struct SqliteFile {
    path: Arc<Path>,
    writer: Writer,
    readers: Arc<Readers>,
}

impl fmt::Debug for SqliteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteFile {
    /// Open a file, or make it (mode 0600), and bring it to the newest schema: `schema[0]` is the SQL that leads from
    /// nothing to version 1, `schema[1]` from version 1 to 2, and so on, each possibly many statements. All pending
    /// ones run in one transaction.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the file cannot be opened, its version is newer than `schema`, or the SQL of a version fails.
    pub async fn open(path: &Path, schema: &[&'static str], bounds: FileBounds) -> Result<Self, FileError> {
        let plan = ConnectionPlan::new(path, bounds)?;
        let mut first = Connection::open(&plan, Role::Writer).await?;
        upgrade(first.sqlx(), &plan.path, schema).await?;
        Ok(Self::start(plan, first))
    }

    /// Open a file whose schema is somebody else's matter.
    pub(crate) async fn with_plan(plan: ConnectionPlan) -> Result<Self, FileError> {
        let first = Connection::open(&plan, Role::Writer).await?;
        Ok(Self::start(plan, first))
    }

    fn start(plan: ConnectionPlan, first: Connection) -> Self {
        let readers = Readers::new(plan.clone());
        let path = plan.path.clone();
        Self { path, writer: Writer::start(plan, first), readers }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Read. `work` may send several statements; they see one state of the file only if it begins a transaction.
    ///
    /// ```ignore
    /// file.read(|c| Box::pin(async move { Ok(sqlx::query_scalar("select 1").fetch_one(c).await?) })).await
    /// ```
    ///
    /// # Errors
    /// Those of `work`; `Busy` where no connection became free in time.
    pub async fn read<T, E, W>(&self, work: W) -> Result<T, E>
    where
        E: From<FileError>,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>> + Send,
    {
        let mut reader = self.readers.take().await?;
        let answer = work(reader.connection()?.sqlx()).await;
        match &answer {
            Ok(_) => reader.give_back(),
            Err(_) => reader.examine().await,
        }
        answer
    }

    /// Write: `work` is run in a savepoint and kept if it answers `Ok`; the answer comes after the commit.
    ///
    /// `work` may be run more than once, when work that shared its transaction made the transaction fail; nothing of
    /// the earlier run is then left. It must not begin, commit or roll back.
    ///
    /// # Errors
    /// Those of `work`, after which nothing is kept; `Busy` where the queue is full; `OutcomeUnknown` where a commit
    /// failed without telling.
    pub async fn write<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<FileError> + Send + 'static,
        W: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>> + Send + Sync + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.writer.submit(Box::new(Work { work, outcome: None, answer }))?;
        answered.await.unwrap_or_else(|_| Err(FileError::OutcomeUnknown.into()))
    }

    /// A reading connection, for work that needs more than SQL.
    pub(crate) async fn reader(&self) -> Result<Reader, FileError> {
        self.readers.take().await
    }

    /// Writing work that needs more than SQL. Once accepted it runs to its end.
    pub(crate) fn submit(&self, job: Box<dyn Job>) -> Result<(), FileError> {
        self.writer.submit(job)
    }

    /// Keep everybody out, with all connections closed, until what is answered is dropped: accepted work is finished
    /// first, later work waits.
    pub(crate) async fn pause(&self) -> Result<Paused, FileError> {
        let readers = self.readers.pause().await?;
        let writer = self.writer.pause().await?;
        Ok(Paused { _readers: readers, _writer: writer })
    }

    /// End: accepted work is finished, later work is refused with `Closed`.
    pub async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}

/// While it lives, nobody reads or writes the file.
#[derive(Debug)]
pub(crate) struct Paused {
    _readers: OwnedSemaphorePermit,
    _writer: oneshot::Sender<()>,
}

/// A closure on its way through the writer.
struct Work<T, E, W> {
    work: W,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

#[async_trait::async_trait]
impl<T, E, W> Job for Work<T, E, W>
where
    T: Send + 'static,
    E: From<FileError> + Send + 'static,
    W: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>> + Send + Sync + 'static,
{
    async fn run(&mut self, connection: &mut Connection) -> Verdict {
        let outcome = (self.work)(connection.sqlx()).await;
        let verdict = if outcome.is_ok() { Verdict::Keep } else { Verdict::Undo };
        self.outcome = Some(outcome);
        verdict
    }

    fn finish(self: Box<Self>, end: End) {
        let answer = match (end, self.outcome) {
            (End::AsRun, Some(outcome)) => outcome,
            (End::AsRun, None) => Err(FileError::Closed.into()),
            (End::Failed(error), _) => Err(error.into()),
        };
        // Whoever asked may be gone; the work is done all the same.
        let _ = self.answer.send(answer);
    }
}

/// Bring a file of the host's own to the newest schema.
async fn upgrade(connection: &mut SqliteConnection, path: &Path, schema: &[&'static str]) -> Result<(), FileError> {
    let known = i64::try_from(schema.len()).unwrap_or(i64::MAX);
    sqlx::raw_sql("begin immediate").execute(&mut *connection).await?;
    let found: i64 = sqlx::query_scalar("pragma user_version").fetch_one(&mut *connection).await?;
    if found > known {
        return Err(FileError::Newer { path: path.to_owned(), found, known });
    }
    if found == known {
        sqlx::raw_sql("rollback").execute(&mut *connection).await?;
        return Ok(());
    }
    let pending = schema.iter().skip(usize::try_from(found).unwrap_or(0));
    for step in pending {
        sqlx::raw_sql(*step).execute(&mut *connection).await?;
    }
    let set_version = sqlx::AssertSqlSafe(format!("pragma user_version = {known}"));
    sqlx::raw_sql(set_version).execute(&mut *connection).await?;
    sqlx::raw_sql("commit").execute(&mut *connection).await?;
    Ok(())
}
