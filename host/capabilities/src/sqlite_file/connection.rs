//! A connection to a file: its pragmas, its fence, its limits.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use tokio::runtime::Handle;

use super::fence::Fence;
use super::ffi::{self, Limits};
use super::temporary::{FULL_TEMPORARY, TemporaryFiles};
use super::{FileBounds, FileError};
use crate::conduct::Conduct;
use crate::failpoint;

/// Bytes to which the write-ahead log is cut back after a checkpoint.
const WAL_BYTES_KEPT: &str = "16777216";
/// Bytes of the write-ahead log from which on it is copied into the database between two groups.
const WAL_BYTES_COPIED: u64 = 4 * 1024 * 1024;
/// Bytes of the write-ahead log beside those of each page.
const WAL_FRAME_BYTES: u64 = 24;
/// Instructions of SQLite's machine between two looks at the clock: some microseconds, and a second at the very most,
/// if every instruction works on values as long as the limit.
const OPERATIONS_BETWEEN_CHECKS: i32 = 200;
/// Rows that the driver reads ahead.
const ROWS_AHEAD: usize = 16;
/// Bytes of a page.
const PAGE_BYTES: u32 = 4096;
/// The most pages that SQLite can count.
const PAGES_MAX: u32 = 0xffff_fffe;
/// Wait hint where another process holds the lock.
const WAIT_LOCKED: Duration = Duration::from_millis(100);
/// Wait hint where the disk is full.
const WAIT_DISK_FULL: Duration = Duration::from_secs(1);

/// How connections to one file are made.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPlan {
    pub(crate) path: Arc<Path>,
    pub(crate) bounds: FileBounds,
    /// Confinement of guest SQL; none for the host's own files.
    pub(crate) limits: Option<Limits>,
    pub(crate) temporary: TemporaryFiles,
    /// Pages beyond which the file does not grow.
    pages: Arc<AtomicU32>,
    /// Whose SQL it is; none for the host's own files.
    conduct: Arc<OnceLock<Arc<dyn Conduct>>>,
    /// Where connections are opened: a thread is born with the priority of the one that makes it, and whoever needs a
    /// connection may be in the slow lane.
    runtime: Handle,
}

impl ConnectionPlan {
    pub(crate) fn new(path: &Path, bounds: FileBounds) -> Result<Self, FileError> {
        // An absolute path cannot be taken for a `file:` URI.
        let path = std::path::absolute(path)
            .map_err(|error| FileError::Open { path: path.to_owned(), reason: error.to_string() })?;
        let runtime =
            Handle::try_current().map_err(|error| FileError::Open { path: path.clone(), reason: error.to_string() })?;
        let temporary = TemporaryFiles::of(&path, bounds.temporary_bytes)
            .map_err(|reason| FileError::Open { path: path.clone(), reason })?;
        let plan = Self {
            path: path.into(),
            bounds,
            limits: None,
            temporary,
            pages: Arc::new(AtomicU32::new(PAGES_MAX)),
            conduct: Arc::default(),
            runtime,
        };
        plan.limit_size(bounds.bytes);
        Ok(plan)
    }

    /// Let the file not grow beyond so many bytes, on connections that are opened from now on.
    pub(crate) fn limit_size(&self, bytes: u64) {
        let pages = u32::try_from(bytes / u64::from(PAGE_BYTES)).unwrap_or(PAGES_MAX).clamp(1, PAGES_MAX);
        self.pages.store(pages, Ordering::SeqCst);
    }

    pub(crate) fn pages(&self) -> u32 {
        self.pages.load(Ordering::SeqCst)
    }

    /// Whose conduct CPU time counts for from now on. Only the first one is kept.
    pub(crate) fn watch(&self, conduct: Arc<dyn Conduct>) {
        let _ = self.conduct.set(conduct);
    }

    pub(crate) fn conduct(&self) -> Option<&Arc<dyn Conduct>> {
        self.conduct.get()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether a connection's thread is fit for what comes next: one of low priority is only for those in bad standing.
    pub(crate) fn suits(&self, connection: &Connection) -> bool {
        !connection.fence.is_niced() || self.conduct().is_some_and(|conduct| conduct.is_slow())
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// One connection and its fence.
#[derive(Debug)]
pub(crate) struct Connection {
    sqlx: SqliteConnection,
    fence: Arc<Fence>,
}

impl Connection {
    pub(crate) async fn open(plan: &ConnectionPlan, role: Role) -> Result<Self, FileError> {
        let own = plan.clone();
        let opening = plan.runtime.spawn(async move { Self::open_here(&own, role).await });
        opening.await.map_err(|error| open_error(plan, &error))?
    }

    async fn open_here(plan: &ConnectionPlan, role: Role) -> Result<Self, FileError> {
        if role == Role::Writer {
            make_file(&plan.path).await.map_err(|error| open_error(plan, &error))?;
        }
        let options = options(plan, role);
        let mut sqlx = options.connect().await.map_err(|error| open_error(plan, &error))?;
        let fence = Arc::new(Fence::new());
        let mut handle = sqlx.lock_handle().await?;
        ffi::attach(&mut handle, &fence).map_err(|error| open_error(plan, &error))?;
        if let Some(limits) = &plan.limits {
            ffi::confine(&mut handle, limits, &fence).map_err(|error| open_error(plan, &error))?;
        }
        let watched = fence.clone();
        handle.set_progress_handler(OPERATIONS_BETWEEN_CHECKS, move || watched.pass());
        drop(handle);
        Ok(Self { sqlx, fence })
    }

    pub(crate) fn sqlx(&mut self) -> &mut SqliteConnection {
        &mut self.sqlx
    }

    pub(crate) fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// Copy the write-ahead log into the database where it has grown, without waiting for anybody. To be called between
    /// two transactions.
    pub(crate) async fn copy_log(&mut self, most: u64) -> Result<(), sqlx::Error> {
        if self.log_bytes() < WAL_BYTES_COPIED.min(most) {
            return Ok(());
        }
        self.checkpoint("pragma wal_checkpoint(passive)").await
    }

    /// Copy the write-ahead log and begin it anew: wait for those who read an older state, for as long as for another's
    /// lock. Those who come meanwhile read on: they need nothing of a log that is copied. To be called between two
    /// transactions. Where somebody reads for longer, the log is as long as before.
    pub(crate) async fn empty_log(&mut self) -> Result<(), sqlx::Error> {
        self.checkpoint("pragma wal_checkpoint(truncate)").await
    }

    async fn checkpoint(&mut self, pragma: &'static str) -> Result<(), sqlx::Error> {
        let (_is_busy, pages, _copied): (i64, i64, i64) = sqlx::query_as(pragma).fetch_one(self.sqlx()).await?;
        // -1 where SQLite could not look, as while another process copies: then it is as long as it was.
        if let Ok(pages) = u32::try_from(pages) {
            self.fence.note_log(pages);
        }
        Ok(())
    }

    /// Bytes of the write-ahead log after the last commit or checkpoint here.
    pub(crate) fn log_bytes(&self) -> u64 {
        u64::from(self.fence.log_pages()).saturating_mul(u64::from(PAGE_BYTES) + WAL_FRAME_BYTES)
    }

    pub(crate) async fn close(self) {
        if let Err(error) = self.sqlx.close().await {
            tracing::warn!(%error, "a database connection did not close cleanly");
        }
    }
}

fn options(plan: &ConnectionPlan, role: Role) -> SqliteConnectOptions {
    let statements = usize::try_from(plan.bounds.statements).unwrap_or(usize::MAX);
    let options = SqliteConnectOptions::new()
        .filename(&plan.path)
        .vfs(plan.temporary.vfs().to_owned())
        .busy_timeout(plan.bounds.wait)
        .foreign_keys(true)
        .statement_cache_capacity(statements)
        .row_buffer_size(ROWS_AHEAD)
        .disable_statement_logging();
    match role {
        Role::Writer => options
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous())
            .page_size(PAGE_BYTES)
            .pragma("journal_size_limit", WAL_BYTES_KEPT)
            .pragma("max_page_count", plan.pages().to_string())
            .thread_name(|id| format!("sqlite-writer-{id}")),
        Role::Reader => {
            options.read_only(true).pragma("query_only", "on").thread_name(|id| format!("sqlite-reader-{id}"))
        }
    }
}

/// What was answered was synced before. Only a test that shows how it finds losses has it otherwise.
fn synchronous() -> SqliteSynchronous {
    if failpoint::synchronous_is_off() { SqliteSynchronous::Off } else { SqliteSynchronous::Full }
}

/// Make the file before SQLite does, readable by the host's user alone. It is found again after a power failure only if
/// the entries that lead to it are synced, which SQLite does for what it makes itself.
async fn make_file(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let is_new_folder = !tokio::fs::try_exists(folder).await?;
    tokio::fs::create_dir_all(folder).await?;
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    let file = options.open(path).await?;
    if file.metadata().await?.len() > 0 {
        return Ok(());
    }
    let changed = [Some(folder), folder.parent().filter(|_| is_new_folder)];
    for folder in changed.into_iter().flatten() {
        tokio::fs::File::open(folder).await?.sync_all().await?;
    }
    Ok(())
}

fn open_error(plan: &ConnectionPlan, error: &dyn std::fmt::Display) -> FileError {
    FileError::Open { path: plan.path.to_path_buf(), reason: error.to_string() }
}

/// The primary result code of SQLite, where the error is SQLite's.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

/// The extended result code of SQLite, where the error is SQLite's.
pub(crate) fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// How long to wait before another try, where waiting may help.
pub(crate) fn busy_hint(error: &sqlx::Error) -> Option<Duration> {
    match extended_code(error)? {
        // Waiting does not make a statement smaller.
        FULL_TEMPORARY => None,
        code => match code & 0xff {
            ffi::BUSY | ffi::LOCKED => Some(WAIT_LOCKED),
            ffi::FULL => Some(WAIT_DISK_FULL),
            _ => None,
        },
    }
}

/// Whether the connection itself is in doubt, so that a new one must be opened.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            matches!(primary_code(error), Some(ffi::IOERR | ffi::CORRUPT | ffi::NOTADB | ffi::CANTOPEN | ffi::NOMEM))
        }
        sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) | sqlx::Error::Io(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_that_was_not_looked_at_is_as_long_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let plan = ConnectionPlan::new(&folder.path().join("data.db"), FileBounds::default()).unwrap();
        let mut connection = Connection::open(&plan, Role::Writer).await.unwrap();
        sqlx::raw_sql("create table notes (body text)").execute(connection.sqlx()).await.unwrap();
        let long = u32::try_from(WAL_BYTES_COPIED / u64::from(PAGE_BYTES)).unwrap();
        connection.fence.note_log(long);
        connection.copy_log(u64::MAX).await.unwrap();
        assert!(connection.fence.log_pages() < long, "what SQLite has found is noted");
        // Without a log SQLite answers as it does where it cannot look.
        sqlx::raw_sql("pragma journal_mode = delete").execute(connection.sqlx()).await.unwrap();
        connection.fence.note_log(long);
        connection.copy_log(u64::MAX).await.unwrap();
        assert_eq!(connection.fence.log_pages(), long);
    }
}
