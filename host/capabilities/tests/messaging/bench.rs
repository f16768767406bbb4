//! A backend on the bench, with a clock that tests can advance, and two queues that listen.

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::{Clock, ManualClock};
use chassis_capabilities::event::{DEFAULT_PRIORITY, Envelope};
use chassis_capabilities::messaging::{
    Delivery, MessagingBackend, MessagingError, Outcome, QueueStatus, SqliteMessaging, Subscription,
};
use chassis_config::plan::MessagingPolicy;
use jiff::Timestamp;
use sqlx::Connection as _;
use tempfile::TempDir;

/// Listens to all of `todo.*` and to `user.registered`.
pub(crate) const MAIL: &str = "mail";
/// Listens to `todo.created` only.
pub(crate) const AUDIT: &str = "audit";

/// Bound of each queue.
pub(crate) const QUEUE_LENGTH: u64 = 200;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A backend and what drives it.
pub(crate) struct Bench {
    pub(crate) backend: Arc<dyn MessagingBackend>,
    clock: Arc<ManualClock>,
    housekeeping: Arc<dyn Housekeeping>,
    folder: TempDir,
}

/// What a host does beside the trait.
#[async_trait::async_trait]
pub(crate) trait Housekeeping: Send + Sync {
    /// The clock has jumped.
    fn poke(&self);
    /// Forget what is old.
    async fn forget(&self);
    /// The host stops.
    async fn stop(&self);
}

/// Makes backends of one kind.
pub(crate) trait Factory {
    async fn open(policy: MessagingPolicy) -> Bench;

    /// Stop the host, and start another on the same state.
    async fn restart(bench: Bench, policy: MessagingPolicy) -> Bench;
}

pub(crate) struct Sqlite;

impl Factory for Sqlite {
    async fn open(policy: MessagingPolicy) -> Bench {
        start(tempfile::tempdir().expect("a folder"), clock(), policy, subscriptions()).await
    }

    async fn restart(bench: Bench, policy: MessagingPolicy) -> Bench {
        bench.restarted(policy, subscriptions()).await
    }
}

async fn start(
    folder: TempDir,
    clock: Arc<ManualClock>,
    policy: MessagingPolicy,
    subscriptions: Vec<Subscription>,
) -> Bench {
    let path = folder.path().join("messaging.db");
    let opened = SqliteMessaging::open(&path, policy, subscriptions, Arc::clone(&clock) as _, 7).await;
    let backend = Arc::new(opened.expect("opens"));
    Bench { backend: Arc::clone(&backend) as _, clock, housekeeping: backend, folder }
}

#[async_trait::async_trait]
impl Housekeeping for SqliteMessaging {
    fn poke(&self) {
        self.poke();
    }

    async fn forget(&self) {
        self.forget().await.expect("forgets");
    }

    async fn stop(&self) {
        self.close().await;
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_second(1_700_000_000).expect("a time")))
}

pub(crate) fn subscription(queue: &str, patterns: &[&str]) -> Subscription {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Subscription { queue: queue.to_owned(), patterns }
}

pub(crate) fn subscriptions() -> Vec<Subscription> {
    vec![subscription(MAIL, &["todo.*", "user.registered"]), subscription(AUDIT, &["todo.created"])]
}

pub(crate) fn policy() -> MessagingPolicy {
    MessagingPolicy {
        event_bytes: 1 << 18,
        events: 100,
        queue_length: QUEUE_LENGTH,
        attempts: 3,
        backoff_base: SECOND,
        backoff_max: 60 * SECOND,
        max_age: HOUR,
        lease: LEASE,
        concurrency: 8,
        max_delay: 30 * DAY,
        dedup_window: DAY,
        dead_letter_retention: 7 * DAY,
        relay_batch: 100,
        relay_interval: Duration::from_secs(5),
        database_bytes: 1 << 30,
    }
}

/// An event that only [`MAIL`] gets.
pub(crate) fn event(id: &str) -> Envelope {
    Envelope {
        id: id.to_owned(),
        source: "/components/todos".to_owned(),
        event_type: "todo.updated".to_owned(),
        subject: None,
        time: Timestamp::from_second(1_700_000_000).expect("a time"),
        data: format!("{{\"id\":\"{id}\"}}"),
        not_before: None,
        priority: DEFAULT_PRIORITY,
        dedup_key: None,
        traceparent: None,
    }
}

/// An event about something.
pub(crate) fn about(id: &str, subject: &str) -> Envelope {
    Envelope { subject: Some(subject.to_owned()), ..event(id) }
}

pub(crate) fn retry() -> Outcome {
    Outcome::Retry { after: None, reason: "try again".to_owned() }
}

pub(crate) fn retry_after(after: Duration) -> Outcome {
    Outcome::Retry { after: Some(after), reason: "try again".to_owned() }
}

pub(crate) fn reject() -> Outcome {
    Outcome::Reject { reason: "never".to_owned() }
}

pub(crate) fn host_failure() -> Outcome {
    Outcome::HostFailure { reason: "overload".to_owned() }
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.event.id.as_str()).collect()
}

impl Bench {
    /// Rows of a table of the embedded backend.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        let url = format!("sqlite://{}", self.folder.path().join("messaging.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("opens");
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("counts")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Let time pass for the backend.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.housekeeping.poke();
    }

    pub(crate) async fn forget(&self) {
        self.housekeeping.forget().await;
    }

    /// Another host on the same state and clock, with other subscriptions.
    pub(crate) async fn restarted(self, policy: MessagingPolicy, subscriptions: Vec<Subscription>) -> Self {
        self.housekeeping.stop().await;
        start(self.folder, self.clock, policy, subscriptions).await
    }

    pub(crate) async fn publish(&self, events: impl IntoIterator<Item = Envelope>) {
        self.backend.publish(events.into_iter().collect::<Vec<_>>().into()).await.expect("published");
    }

    pub(crate) async fn lease(&self, queue: &str, limit: u32) -> Vec<Delivery> {
        self.backend.lease(queue, limit).await.expect("leases")
    }

    /// Lease all that is due in [`MAIL`]; its ids.
    pub(crate) async fn due(&self) -> Vec<String> {
        ids(&self.lease(MAIL, 100).await).into_iter().map(str::to_owned).collect()
    }

    /// Lease the one delivery that is due in [`MAIL`].
    pub(crate) async fn one(&self) -> Delivery {
        let mut due = self.lease(MAIL, 100).await;
        assert_eq!(due.len(), 1, "{due:?}");
        due.remove(0)
    }

    pub(crate) async fn complete(&self, delivery: &Delivery, outcome: Outcome) {
        self.backend.complete(delivery, outcome).await.expect("held");
    }

    pub(crate) async fn is_lost(&self, delivery: &Delivery) {
        for outcome in [Outcome::Ack, retry(), reject(), host_failure()] {
            assert_eq!(self.backend.complete(delivery, outcome).await, Err(MessagingError::LeaseLost));
        }
        assert_eq!(self.backend.renew(delivery).await, Err(MessagingError::LeaseLost));
    }

    pub(crate) async fn status(&self, queue: &str) -> QueueStatus {
        let all = self.backend.status().await.expect("counts");
        all.into_iter().find(|status| status.queue == queue).expect("known")
    }

    /// Ready, blocked, delayed, leased, dead.
    pub(crate) async fn counts(&self, queue: &str) -> [u64; 5] {
        let status = self.status(queue).await;
        [status.ready, status.blocked, status.delayed, status.leased, status.dead]
    }
}
