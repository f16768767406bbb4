//! Events on their way: one queue per subscribing component, leases, retries, dead letters.

mod host;
mod sqlite;
mod verdict;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

pub use self::sqlite::SqliteMessaging;
use crate::backlog::Weighed;
use crate::event::Envelope;

/// Who wants which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The queue: the name of the subscribing component.
    pub queue: String,
    /// Event types: exact, or a prefix that ends in `.*`.
    pub patterns: Vec<String>,
}

/// An event that is leased to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its queue.
    pub queue: String,
    /// The event.
    pub event: Envelope,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// The fencing token: every later step with an older token is refused.
    pub lease: u64,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Ack,
    /// Try again; not before the given time from now where the handler asked for one, else after back-off.
    Retry {
        /// `Retry-After` of the handler.
        after: Option<Duration>,
        /// Why, for whoever looks.
        reason: String,
    },
    /// The host could not deliver (overload, swap, lost connection): try again without using up an attempt.
    HostFailure {
        /// Why, for whoever looks.
        reason: String,
    },
    /// The handler refused it for good: to the dead letters.
    Reject {
        /// Why, for whoever looks.
        reason: String,
    },
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessagingError {
    /// A limit of the host was exceeded.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The backend takes no more work now.
    #[error("busy, try again in {0:?}")]
    Busy(Duration),
    /// A queue has as many deliveries as it may have; nobody was given anything.
    #[error("the queue «{queue}» is full (messaging.queue_length), try again in {wait:?}")]
    QueueFull {
        /// The queue.
        queue: String,
        /// Wait hint.
        wait: Duration,
    },
    /// A cursor or a limit breaks its rule.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The lease has passed to another worker, or was completed.
    #[error("the lease is no longer held")]
    LeaseLost,
    /// The backend failed; the text is for the log.
    #[error("internal: {0}")]
    Internal(String),
}

/// Counts of one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Its name.
    pub queue: String,
    /// Deliveries that could be leased now.
    pub ready: u64,
    /// Deliveries behind an earlier one of their subject that is not done.
    pub blocked: u64,
    /// Deliveries that wait for their time: a delay, or the pause before a retry.
    pub delayed: u64,
    /// Deliveries that are leased.
    pub leased: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Age of the oldest delivery that could be leased now.
    pub oldest_ready_seconds: Option<u64>,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Names this dead letter.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// The event.
    pub event: Envelope,
    /// How often it was tried.
    pub attempts: u32,
    /// The last reason.
    pub reason: String,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// One page of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterPage {
    /// Newest first.
    pub items: Vec<DeadLetter>,
    /// Where the next page begins; none at the end.
    pub next_cursor: Option<String>,
}

/// A durable store of deliveries.
#[async_trait]
pub trait MessagingBackend: Debug + Send + Sync {
    /// Make events durable for every queue that subscribes to them. All or none; an id that is already known is
    /// ignored, so that a relay may repeat itself.
    async fn publish(&self, events: Weighed<Vec<Envelope>>) -> Result<(), MessagingError>;

    /// Take back a delayed event from all queues. False: unknown, or already due in some queue.
    async fn cancel(&self, id: &str, source: &str) -> Result<bool, MessagingError>;

    /// Lease up to `limit` due deliveries of a queue, highest priority first, in order per subject.
    async fn lease(&self, queue: &str, limit: u32) -> Result<Vec<Delivery>, MessagingError>;

    /// Prolong a lease.
    async fn renew(&self, delivery: &Delivery) -> Result<(), MessagingError>;

    /// End a lease. `LeaseLost` where it has passed to another.
    async fn complete(&self, delivery: &Delivery, outcome: Outcome) -> Result<(), MessagingError>;

    /// Resolves when a queue may have something due: after a publish, a retry, a delay that has passed.
    async fn wait(&self, queue: &str);

    /// Counts per queue.
    async fn status(&self) -> Result<Vec<QueueStatus>, MessagingError>;

    /// Deliveries that were given up.
    async fn dead_letters(
        &self,
        queue: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<DeadLetterPage, MessagingError>;

    /// Put a dead letter back into its queue with its attempts forgotten. False: unknown.
    async fn replay(&self, id: &str) -> Result<bool, MessagingError>;
}
