//! The one task that writes, with group commit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::FileError;
use super::connection::{Connection, ConnectionPlan, Role, is_broken, primary_code};
use super::ffi;

/// Wait hint where the queue is full: a few group commits.
const WAIT_QUEUE_FULL: Duration = Duration::from_millis(50);
/// Wait hint where the write-ahead log is full and somebody still reads an older state.
const WAIT_LOG_FULL: Duration = Duration::from_secs(1);

/// What a job wants done with its savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Undo,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum End {
    /// As its last run said: what it wanted kept is durable, what it wanted undone is undone.
    AsRun,
    /// Nothing of it is kept, unless the error says that this is not known.
    Failed(FileError),
}

/// A piece of work for the writer.
#[async_trait]
pub(crate) trait Job: Send {
    /// Do the work. May be called more than once; nothing of an earlier run is left then.
    async fn run(&mut self, connection: &mut Connection) -> Verdict;
    /// Answer whoever waits.
    fn finish(self: Box<Self>, end: End);
}

/// The way to the writing task, which ends when the last handle is dropped and the queue is empty.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Queued>,
    closing: CancellationToken,
    tracker: TaskTracker,
}

enum Queued {
    Job(Box<dyn Job>),
    /// Close the connection, say so, and wait until `resume` is answered or dropped.
    Pause {
        paused: oneshot::Sender<()>,
        resume: oneshot::Receiver<()>,
    },
}

impl fmt::Debug for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queued")
    }
}

impl Writer {
    pub(crate) fn start(plan: ConnectionPlan, first: Connection) -> Self {
        let (queue, jobs) = mpsc::channel(plan.bounds.queue.max(1) as usize);
        let (closing, tracker) = (CancellationToken::new(), TaskTracker::new());
        let (plan, closing_task) = (Arc::new(plan), closing.clone());
        let task = Task { plan, connection: Some(first), jobs, closing: closing_task, trouble: None };
        tracker.spawn(task.run());
        tracker.close();
        Self { queue, closing, tracker }
    }

    /// Accept a job, or refuse it: from here on it runs to its end.
    pub(crate) fn submit(&self, job: Box<dyn Job>) -> Result<(), FileError> {
        self.queue.try_send(Queued::Job(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => FileError::Busy(WAIT_QUEUE_FULL),
            mpsc::error::TrySendError::Closed(_) => FileError::Closed,
        })
    }

    /// Finish what was accepted so far, close the connection, and write nothing until what is answered is dropped.
    pub(crate) async fn pause(&self) -> Result<oneshot::Sender<()>, FileError> {
        let ((paused, is_paused), (pause, resume)) = (oneshot::channel(), oneshot::channel());
        self.queue.send(Queued::Pause { paused, resume }).await.map_err(|_closed| FileError::Closed)?;
        is_paused.await.map_err(|_closed| FileError::Closed)?;
        Ok(pause)
    }

    /// Finish what was accepted, then end.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.tracker.wait().await;
    }
}

/// What became of one try to run a group of jobs in one transaction.
enum Attempt {
    /// Committed: each job as it wished.
    Done,
    /// This job destroyed the transaction; nothing is kept. Where the job did not say that it failed, the error does.
    Destroyed(usize, Option<FileError>),
    /// The commit failed, and nothing is kept.
    NotCommitted(FileError),
    /// Nothing was run, or it is not known what was kept: not to be tried again.
    Failed(FileError),
}

type Pause = (oneshot::Sender<()>, oneshot::Receiver<()>);

struct Task {
    plan: Arc<ConnectionPlan>,
    connection: Option<Connection>,
    jobs: mpsc::Receiver<Queued>,
    closing: CancellationToken,
    /// What is wrong with the write-ahead log, as it was last told.
    trouble: Option<LogTrouble>,
}

/// What keeps a write-ahead log from being begun anew.
#[derive(Debug, PartialEq, Eq)]
enum LogTrouble {
    /// Somebody reads an older state.
    Read,
    /// It cannot be copied, and SQLite said why.
    Failed(String),
}

impl Task {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            match first {
                Queued::Job(job) => {
                    let (group, pause) = self.gather(job);
                    self.serve(group).await;
                    self.rest().await;
                    if let Some((paused, resume)) = pause {
                        self.pause(paused, resume).await;
                    }
                }
                Queued::Pause { paused, resume } => self.pause(paused, resume).await,
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    async fn next(&mut self) -> Option<Queued> {
        tokio::select! {
            biased;
            next = self.jobs.recv() => next,
            () = self.closing.cancelled() => {
                self.jobs.close();
                self.jobs.recv().await
            }
        }
    }

    /// All jobs that wait, up to a group's length or a pause.
    fn gather(&mut self, first: Box<dyn Job>) -> (Vec<Box<dyn Job>>, Option<Pause>) {
        let mut group = vec![first];
        while group.len() < self.plan.bounds.group as usize {
            match self.jobs.try_recv() {
                Ok(Queued::Job(job)) => group.push(job),
                Ok(Queued::Pause { paused, resume }) => return (group, Some((paused, resume))),
                Err(_) => break,
            }
        }
        (group, None)
    }

    /// Between two groups: whoever has been served does not wait for this, and whoever comes waits for no reader.
    async fn rest(&mut self) {
        let most = self.plan.bounds.log_bytes;
        let Some(connection) = &mut self.connection else { return };
        match connection.copy_log(most).await {
            Err(error) => self.note(Some(LogTrouble::Failed(error.to_string()))),
            Ok(()) if connection.log_bytes() < most => self.note(None),
            // Whether a full log can be begun anew shows with the next group.
            Ok(()) => {}
        }
    }

    /// Begin the write-ahead log anew where it is full. Whether it has room.
    async fn make_room(&mut self, connection: &mut Connection) -> bool {
        let most = self.plan.bounds.log_bytes;
        if connection.log_bytes() < most {
            return true;
        }
        let emptied = connection.empty_log().await;
        let has_room = connection.log_bytes() < most;
        self.note(match emptied {
            Err(error) => Some(LogTrouble::Failed(error.to_string())),
            Ok(()) => (!has_room).then_some(LogTrouble::Read),
        });
        has_room
    }

    /// Tell what is wrong with the write-ahead log, where that has changed.
    fn note(&mut self, trouble: Option<LogTrouble>) {
        if self.trouble == trouble {
            return;
        }
        let (path, most) = (self.plan.path.display(), self.plan.bounds.log_bytes);
        match &trouble {
            Some(LogTrouble::Read) => {
                tracing::warn!(%path, most, "a write-ahead log is full and still read: nothing is written until it is not");
            }
            Some(LogTrouble::Failed(error)) => {
                tracing::warn!(%path, most, error, "a write-ahead log cannot be copied: nothing is written once it is full");
            }
            None => {}
        }
        self.trouble = trouble;
    }

    async fn pause(&mut self, paused: oneshot::Sender<()>, resume: oneshot::Receiver<()>) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        if paused.send(()).is_ok() {
            let _ = resume.await;
        }
    }

    /// See every job of a group to its end.
    async fn serve(&mut self, group: Vec<Box<dyn Job>>) {
        // A stack of groups: the last one is next.
        let mut groups = vec![group];
        while let Some(mut group) = groups.pop() {
            match self.attempt(&mut group).await {
                Attempt::Done => group.into_iter().for_each(|job| job.finish(End::AsRun)),
                Attempt::Destroyed(culprit, error) => {
                    let after = group.split_off(culprit.saturating_add(1));
                    if let Some(job) = group.pop() {
                        job.finish(error.map_or(End::AsRun, End::Failed));
                    }
                    // Those before it have shown that they do no harm: they are committed first.
                    groups.extend([after, group].into_iter().filter(|group| !group.is_empty()));
                }
                Attempt::NotCommitted(_) if group.len() > 1 => {
                    groups.extend(group.into_iter().rev().map(|job| vec![job]));
                }
                Attempt::NotCommitted(error) | Attempt::Failed(error) => {
                    group.into_iter().for_each(|job| job.finish(End::Failed(error.clone())));
                }
            }
        }
    }

    async fn attempt(&mut self, group: &mut [Box<dyn Job>]) -> Attempt {
        if let Some(unfit) = self.connection.take_if(|connection| !self.plan.suits(connection)) {
            unfit.close().await;
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match Connection::open(&self.plan, Role::Writer).await {
                Ok(connection) => connection,
                Err(error) => return Attempt::Failed(error),
            },
        };
        if !self.make_room(&mut connection).await {
            self.connection = Some(connection);
            return Attempt::Failed(FileError::Busy(WAIT_LOG_FULL));
        }
        let (attempt, trust) = transact(&mut connection, group).await;
        match trust {
            Trust::Sound => self.connection = Some(connection),
            // Closing waits for the driver's thread, so that the old connection is gone before a new one writes.
            Trust::Broken => connection.close().await,
        }
        attempt
    }
}

/// Whether a connection can be used further.
enum Trust {
    Sound,
    Broken,
}

async fn transact(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> (Attempt, Trust) {
    if let Err(error) = control(connection, "begin immediate").await {
        // A transaction that an earlier failure left open must not swallow this group.
        let trust = recover(connection, &error).await;
        return (Attempt::Failed(error.into()), trust);
    }
    let mut kept = false;
    for (index, job) in group.iter_mut().enumerate() {
        if let Err(error) = control(connection, "savepoint batch").await {
            let trust = recover(connection, &error).await;
            return (Attempt::NotCommitted(error.into()), trust);
        }
        let verdict = job.run(connection).await;
        let closed = match verdict {
            Verdict::Keep => control(connection, "release batch").await,
            Verdict::Undo => control(connection, "rollback to batch; release batch").await,
        };
        if let Err(error) = closed {
            let trust = recover(connection, &error).await;
            let unsaid = (verdict == Verdict::Keep).then(|| error.into());
            return (Attempt::Destroyed(index, unsaid), trust);
        }
        kept |= verdict == Verdict::Keep;
    }
    let ending = if kept { "commit" } else { "rollback" };
    match control(connection, ending).await {
        Ok(()) => (Attempt::Done, Trust::Sound),
        Err(error) => {
            let trust = recover(connection, &error).await;
            (commit_failure(error, group.len()), trust)
        }
    }
}

/// What a failed commit means for those who wait.
fn commit_failure(error: sqlx::Error, jobs: usize) -> Attempt {
    tracing::error!(%error, jobs, "a commit failed");
    match primary_code(&error) {
        // The driver's thread is gone: the commit may have happened.
        None => Attempt::Failed(FileError::OutcomeUnknown),
        // Pages may have reached the disk before the sync failed, and a crash now would find them. Another try
        // overwrites them; when there is none, nobody knows.
        Some(ffi::IOERR) if jobs == 1 => Attempt::Failed(FileError::OutcomeUnknown),
        Some(_) => Attempt::NotCommitted(error.into()),
    }
}

/// Leave whatever transaction is open.
async fn recover(connection: &mut Connection, error: &sqlx::Error) -> Trust {
    connection.fence().unlimit();
    // It fails where SQLite has rolled back by itself already, which is as good.
    let rolled_back = control(connection, "rollback").await;
    let broken = is_broken(error) || rolled_back.is_err_and(|error| is_broken(&error));
    if broken { Trust::Broken } else { Trust::Sound }
}

async fn control(connection: &mut Connection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection.sqlx()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite_file::FileBounds;

    async fn execute(task: &mut Task, sql: &'static str) {
        control(task.connection.as_mut().unwrap(), sql).await.unwrap();
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_copied_is_noted_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = FileBounds { log_bytes: 1, ..FileBounds::default() };
        let plan = ConnectionPlan::new(&folder.path().join("data.db"), bounds).unwrap();
        let connection = Connection::open(&plan, Role::Writer).await.unwrap();
        let (_queue, jobs) = mpsc::channel(1);
        let (plan, closing) = (Arc::new(plan), CancellationToken::new());
        let mut task = Task { plan, connection: Some(connection), jobs, closing, trouble: None };
        execute(&mut task, "create table notes (body text)").await;
        // SQLite copies nothing within a transaction that writes.
        execute(&mut task, "begin immediate; insert into notes values ('')").await;
        task.rest().await;
        let failed = task.trouble.take();
        assert!(matches!(&failed, Some(LogTrouble::Failed(why)) if why.contains("locked")), "{failed:?}");
        assert!(matches!(task.attempt(&mut []).await, Attempt::Failed(FileError::Busy(_))));
        assert_eq!(task.trouble, failed, "it is not said that somebody reads");
        execute(&mut task, "commit").await;
        assert!(matches!(task.attempt(&mut []).await, Attempt::Done));
        assert_eq!(task.trouble, None);
    }
}
