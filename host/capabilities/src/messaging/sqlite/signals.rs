//! Who waits for a queue, and what wakes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::Notify;

use crate::messaging::MessagingError;

/// The longest sleep before a look at the clock, which may have been set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Pause after a look that failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// When a queue has something to lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    In(Duration),
    Unknown,
}

/// One bell for each queue.
#[derive(Debug)]
pub(super) struct Signals {
    bells: BTreeMap<i64, Notify>,
}

impl Next {
    /// From the moment, in microseconds, at which something is due.
    pub(super) fn new(due_at: Option<i64>, now: i64) -> Self {
        match due_at {
            Some(due_at) if due_at <= now => Self::Now,
            Some(due_at) => Self::In(Duration::from_micros(due_at.abs_diff(now))),
            None => Self::Unknown,
        }
    }
}

impl Signals {
    pub(super) fn new(queues: impl Iterator<Item = i64>) -> Self {
        Self { bells: queues.map(|queue| (queue, Notify::new())).collect() }
    }

    pub(super) fn one(&self, queue: i64) {
        if let Some(bell) = self.bells.get(&queue) {
            bell.notify_waiters();
        }
    }

    pub(super) fn some(&self, queues: &BTreeSet<i64>) {
        for queue in queues {
            self.one(*queue);
        }
    }

    pub(super) fn all(&self) {
        self.bells.values().for_each(Notify::notify_waiters);
    }

    /// Resolves when `look` says that the queue has something now. It looks at first, when the bell rings, and when
    /// what it saw last has become due.
    pub(super) async fn wait<F>(&self, queue: i64, look: impl Fn() -> F)
    where
        F: Future<Output = Result<Next, MessagingError>>,
    {
        let Some(bell) = self.bells.get(&queue) else { return std::future::pending().await };
        loop {
            let rung = bell.notified();
            tokio::pin!(rung);
            // Listen before looking: what is committed after the look rings.
            rung.as_mut().enable();
            let sleep = match look().await {
                Ok(Next::Now) => return,
                Ok(Next::In(sleep)) => sleep.min(SLEEP_MAX),
                Ok(Next::Unknown) => SLEEP_MAX,
                Err(error) => {
                    tracing::warn!(%error, "cannot see what is due in a queue, trying again");
                    FAILURE_PAUSE
                }
            };
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }
}
