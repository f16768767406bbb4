//! The embedded messaging: one SQLite file for all queues of a host.
//!
//! What it promises beyond [`MessagingBackend`]:
//!
//! - **Order.** Deliveries of one subject in one queue are leased one at a time, in the order in which they became due
//!   for the first time (for an event without a delay: in which it was published). One that is leased or waits for
//!   its retry holds back all that come after it. Events without a subject are free.
//! - **Priority.** The highest first; one level is worth one minute of waiting, so that nothing starves. Within a
//!   subject the order goes before the priority.
//! - **Leases.** Each is fenced by a number that grows with every lease. One that is not renewed in time goes back to its
//!   queue; since that means that the host failed and not the handler, it uses up no attempt, and the age of the event
//!   bounds it. Opening the file ends all leases: their holders died with the process before.
//! - **Known ids** are remembered for the deduplication window, and as long as the event waits anywhere. Of an event that
//!   no queue subscribes to nothing is remembered, nor is its deduplication key.
//! - **Full queues** answer `QueueFull` to whoever publishes to them; the last call before that may exceed the bound by its
//!   own events, so that no call is larger than an empty queue.
//! - A queue whose component has disappeared keeps what is in it, and stays in the status.

mod complete;
mod dead;
mod lease;
mod numbers;
#[cfg(test)]
mod plans;
mod publish;
mod signals;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chassis_config::plan::{EventPattern, MessagingPolicy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::SqliteConnection;
use tokio_util::task::AbortOnDropHandle;

use self::complete::Ending;
use self::dead::Letters;
use self::lease::Queue;
use self::publish::Fanout;
use self::signals::{Next, Signals};
use super::verdict::later;
use super::{DeadLetterPage, Delivery, MessagingBackend, MessagingError, Outcome, QueueStatus, Subscription};
use crate::backlog::Weighed;
use crate::clock::Clock;
use crate::event::Envelope;
use crate::sqlite_file::connection::primary_code;
use crate::sqlite_file::{FileBounds, FileError, SqliteFile, ffi};

/// The schema, by version.
const SCHEMA: &[&str] = &[include_str!("sqlite/schema.sql")];

/// Events of one call: bounds the memory of one statement. What a guest may publish at once is bounded by the policy.
const EVENTS_MAX: usize = 10_000;

/// Pause between two rounds of forgetting. The first comes only after it, so that after a start a relay can repeat what
/// it had not confirmed while the ids are still known.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

const ADD_QUEUE: &str = "insert into queue (name) values (?1) on conflict (name) do nothing";

const QUEUES: &str = "select name, id from queue";

/// Durable queues in one SQLite file. Must be used within a tokio runtime.
pub struct SqliteMessaging {
    shared: Arc<Shared>,
    _forgetting: AbortOnDropHandle<()>,
}

struct Shared {
    file: SqliteFile,
    queues: BTreeMap<String, i64>,
    fanout: Arc<Fanout>,
    signals: Signals,
    clock: Arc<dyn Clock>,
    chance: Mutex<StdRng>,
}

impl SqliteMessaging {
    /// Open or make the file. `seed` decides the jitter of retries.
    ///
    /// # Errors
    /// Where the file cannot be opened, or was written by a newer host.
    pub async fn open(
        path: &Path,
        policy: MessagingPolicy,
        subscriptions: Vec<Subscription>,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, MessagingError> {
        let bounds = FileBounds { bytes: policy.database_bytes, ..FileBounds::default() };
        let file = SqliteFile::open(path, SCHEMA, bounds).await?;
        let now = clock.now().as_microsecond();
        let names: Arc<[String]> = subscriptions.iter().map(|subscription| subscription.queue.clone()).collect();
        let queues = file
            .write(move |connection| {
                let names = Arc::clone(&names);
                Box::pin(async move { begin(connection, &names, now).await })
            })
            .await?;
        let fanout = Arc::new(Fanout { policy, queues: routes(&queues, subscriptions) });
        let signals = Signals::new(queues.values().copied());
        let chance = Mutex::new(StdRng::seed_from_u64(seed));
        let shared = Arc::new(Shared { file, queues, fanout, signals, clock, chance });
        let forgetting = AbortOnDropHandle::new(tokio::spawn(forget_for_ever(Arc::clone(&shared))));
        Ok(Self { shared, _forgetting: forgetting })
    }

    /// Let everyone who waits look again: for clocks that jump, as in tests.
    pub fn poke(&self) {
        self.shared.signals.all();
    }

    /// Forget dead letters, ids and deduplication keys whose time has passed. A background task does the same every
    /// minute.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub async fn forget(&self) -> Result<(), MessagingError> {
        self.shared.forget().await
    }

    /// End: what was accepted is finished, later calls are refused.
    pub async fn close(&self) {
        self.shared.file.close().await;
    }
}

impl fmt::Debug for SqliteMessaging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteMessaging").field("file", &self.shared.file).finish_non_exhaustive()
    }
}

/// Make the queues that are new, and end the leases of the process before; all queues.
async fn begin(
    connection: &mut SqliteConnection,
    names: &[String],
    now: i64,
) -> Result<BTreeMap<String, i64>, MessagingError> {
    // One statement for each component of an application, once at start.
    for name in names {
        sqlx::query(ADD_QUEUE).bind(name).execute(&mut *connection).await?;
    }
    lease::expire_all(connection, now).await?;
    let queues: Vec<(String, i64)> = sqlx::query_as(QUEUES).fetch_all(connection).await?;
    Ok(queues.into_iter().collect())
}

/// The patterns of each queue; several subscriptions of one queue are one.
fn routes(queues: &BTreeMap<String, i64>, subscriptions: Vec<Subscription>) -> Vec<(i64, Vec<EventPattern>)> {
    let mut routes: BTreeMap<i64, Vec<EventPattern>> = BTreeMap::new();
    for subscription in subscriptions {
        if let Some(queue) = queues.get(&subscription.queue) {
            routes.entry(*queue).or_default().extend(subscription.patterns.into_iter().map(EventPattern));
        }
    }
    routes.into_iter().collect()
}

async fn forget_for_ever(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(FORGET_INTERVAL).await;
        if let Err(error) = shared.forget().await {
            tracing::warn!(%error, "old dead letters and ids were not forgotten, trying again later");
        }
    }
}

impl Shared {
    fn now(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    fn queue<'a>(&self, name: &'a str) -> Option<Queue<'a>> {
        self.queues.get(name).map(|id| Queue { id: *id, name })
    }

    async fn forget(&self) -> Result<(), MessagingError> {
        let now = self.now();
        loop {
            let fanout = Arc::clone(&self.fanout);
            let more = self.file.write(move |connection| {
                let fanout = Arc::clone(&fanout);
                Box::pin(async move { dead::forget(connection, &fanout.policy, now).await })
            });
            if !more.await? {
                return Ok(());
            }
        }
    }

    async fn publish(&self, events: Weighed<Vec<Envelope>>) -> Result<(), MessagingError> {
        let (now, fanout, events) = (self.now(), Arc::clone(&self.fanout), Arc::new(events));
        let touched = self.file.write(move |connection| {
            let (fanout, events) = (Arc::clone(&fanout), Arc::clone(&events));
            Box::pin(async move { publish::publish(connection, &fanout, &events, now).await })
        });
        self.signals.some(&touched.await?);
        Ok(())
    }

    async fn lease(&self, name: &str, limit: u32) -> Result<Vec<Delivery>, MessagingError> {
        let Some(Queue { id, .. }) = self.queue(name) else { return Ok(Vec::new()) };
        let (now, fanout, name) = (self.now(), Arc::clone(&self.fanout), Arc::<str>::from(name));
        let leased = self.file.write(move |connection| {
            let (fanout, name) = (Arc::clone(&fanout), Arc::clone(&name));
            Box::pin(
                async move { lease::lease(connection, &fanout.policy, Queue { id, name: &name }, (limit, now)).await },
            )
        });
        leased.await
    }

    async fn complete(&self, delivery: &Delivery, outcome: Outcome) -> Result<(), MessagingError> {
        let queue = self.queue(&delivery.queue).ok_or(MessagingError::LeaseLost)?.id;
        let ending = Ending {
            queue,
            event: delivery.event.id.as_str().into(),
            lease: token(delivery)?,
            outcome,
            now: self.now(),
            seed: self.chance.lock().unwrap_or_else(PoisonError::into_inner).random(),
        };
        let fanout = Arc::clone(&self.fanout);
        let completed = self.file.write(move |connection| {
            let (fanout, ending) = (Arc::clone(&fanout), ending.clone());
            Box::pin(async move { complete::complete(connection, &fanout.policy, ending).await })
        });
        completed.await?;
        // A retry is due later, and what was behind this delivery may be due now.
        self.signals.one(queue);
        Ok(())
    }

    async fn replay(&self, seq: i64) -> Result<bool, MessagingError> {
        let (now, fanout) = (self.now(), Arc::clone(&self.fanout));
        let replayed = self.file.write(move |connection| {
            let fanout = Arc::clone(&fanout);
            Box::pin(async move { dead::replay(connection, &fanout.policy, seq, now).await })
        });
        let replayed = replayed.await?;
        replayed.inspect(|queue| self.signals.one(*queue));
        Ok(replayed.is_some())
    }

    async fn next(&self, queue: i64) -> Result<Next, MessagingError> {
        let now = self.now();
        let due_at = self.file.read(|connection| {
            Box::pin(async move {
                let due_at = sqlx::query_scalar(lease::NEXT).bind(queue).bind(now);
                Ok::<Option<i64>, MessagingError>(due_at.fetch_one(connection).await?)
            })
        });
        Ok(Next::new(due_at.await?, now))
    }
}

#[async_trait]
impl MessagingBackend for SqliteMessaging {
    async fn publish(&self, events: Weighed<Vec<Envelope>>) -> Result<(), MessagingError> {
        if events.len() > EVENTS_MAX {
            return Err(MessagingError::TooLarge(format!("one call publishes at most {EVENTS_MAX} events")));
        }
        if events.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        to_its_end(async move { shared.publish(events).await }).await
    }

    async fn cancel(&self, id: &str, source: &str) -> Result<bool, MessagingError> {
        let (id, source, now) = (Arc::<str>::from(id), Arc::<str>::from(source), self.shared.now());
        let cancelled = self.shared.file.write(move |connection| {
            let (id, source) = (Arc::clone(&id), Arc::clone(&source));
            Box::pin(async move { publish::cancel(connection, &id, &source, now).await })
        });
        cancelled.await
    }

    async fn lease(&self, queue: &str, limit: u32) -> Result<Vec<Delivery>, MessagingError> {
        self.shared.lease(queue, limit).await
    }

    async fn renew(&self, delivery: &Delivery) -> Result<(), MessagingError> {
        let queue = self.shared.queue(&delivery.queue).ok_or(MessagingError::LeaseLost)?.id;
        let (event, lease) = (Arc::<str>::from(delivery.event.id.as_str()), token(delivery)?);
        let until = later(self.shared.now(), self.shared.fanout.policy.lease);
        let renewed = self.shared.file.write(move |connection| {
            let event = Arc::clone(&event);
            Box::pin(async move { lease::renew(connection, queue, (&event, lease), until).await })
        });
        if renewed.await? { Ok(()) } else { Err(MessagingError::LeaseLost) }
    }

    async fn complete(&self, delivery: &Delivery, outcome: Outcome) -> Result<(), MessagingError> {
        let (shared, delivery) = (Arc::clone(&self.shared), delivery.clone());
        to_its_end(async move { shared.complete(&delivery, outcome).await }).await
    }

    async fn wait(&self, queue: &str) {
        match self.shared.queue(queue) {
            Some(queue) => self.shared.signals.wait(queue.id, || self.shared.next(queue.id)).await,
            // Nothing is ever due in a queue that does not exist: subscriptions are fixed when the host starts.
            None => std::future::pending().await,
        }
    }

    async fn status(&self) -> Result<Vec<QueueStatus>, MessagingError> {
        let now = self.shared.now();
        self.shared.file.read(|connection| Box::pin(status::status(connection, now))).await
    }

    async fn dead_letters(
        &self,
        queue: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<DeadLetterPage, MessagingError> {
        let before = dead::before(cursor, limit)?;
        let letters = match queue.map(|name| self.shared.queue(name)) {
            None => Letters::OfAll,
            Some(Some(queue)) => Letters::OfQueue(queue.id),
            Some(None) => return Ok(DeadLetterPage { items: Vec::new(), next_cursor: None }),
        };
        self.shared.file.read(|connection| Box::pin(dead::page(connection, letters, before, limit))).await
    }

    async fn replay(&self, id: &str) -> Result<bool, MessagingError> {
        let Ok(seq) = id.parse() else { return Ok(false) };
        let shared = Arc::clone(&self.shared);
        to_its_end(async move { shared.replay(seq).await }).await
    }
}

/// Run on a task of its own, so that whoever waits is told of a commit even if the caller is gone by then.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, MessagingError>> + Send + 'static,
) -> Result<T, MessagingError> {
    let ended = tokio::spawn(work).await;
    ended.unwrap_or_else(|error| Err(MessagingError::Internal(format!("a step of messaging ended early: {error}"))))
}

/// The fencing token as it is stored.
fn token(delivery: &Delivery) -> Result<i64, MessagingError> {
    i64::try_from(delivery.lease).map_err(|_never_given| MessagingError::LeaseLost)
}

impl From<FileError> for MessagingError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Busy(wait) => Self::Busy(wait),
            FileError::Sqlite(error) if primary_code(&error) == Some(ffi::TOOBIG) => {
                Self::TooLarge("the events of one call are more than SQLite takes at once".to_owned())
            }
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for MessagingError {
    fn from(error: sqlx::Error) -> Self {
        FileError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    #[tokio::test]
    async fn what_is_longer_than_a_value_can_be_is_too_large() {
        let mut connection = SqliteConnectOptions::new().filename(":memory:").connect().await.expect("opens");
        let refused = sqlx::query("select zeroblob(2000000000)").execute(&mut connection).await.expect_err("too long");
        assert!(matches!(MessagingError::from(refused), MessagingError::TooLarge(_)));
    }
}
