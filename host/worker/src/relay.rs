//! From an outbox to the messaging backend.
//!
//! An event is in its outbox until the backend has confirmed it. A relay that dies between the two steps publishes it
//! once more, which the backend ignores, since it knows the id.

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::Clock;
use chassis_capabilities::event::Envelope;
use chassis_capabilities::failpoint::{self, Point};
use chassis_capabilities::messaging::{MessagingBackend, MessagingError};
use chassis_capabilities::sql::Outbox;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::measure;

/// First pause after a failure; the next ones are twice as long each.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Bytes of events that are moved at once; a single event is moved whatever it has. The backend takes them as one value,
/// and holds them in memory several times over.
const BATCH_BYTES: u64 = 8 << 20;

/// Empties one outbox.
#[derive(Debug, Clone)]
pub struct Relay {
    /// How logs and metrics call the outbox.
    pub name: String,
    /// The outbox.
    pub outbox: Arc<dyn Outbox>,
    /// Where its events go.
    pub messaging: Arc<dyn MessagingBackend>,
    /// The clock of the host.
    pub clock: Arc<dyn Clock>,
    /// Events that are moved at once.
    pub batch: u32,
    /// Pause after which the outbox is looked into though it has not said anything (it may have been filled by another
    /// process, or by one that died), and the longest one after a failure.
    pub interval: Duration,
}

/// What one look into the outbox led to.
enum Step {
    /// There was nothing.
    Empty,
    /// Events were moved, and there may be more.
    Moved,
    /// The backend takes less at once than it was given.
    Smaller(usize),
    /// Nothing was moved, or it is not known; another try will tell. The backend may have said when.
    Failed(Duration),
    /// The backend waits for this queue to have room, and said when to ask again.
    Full(String, Duration),
}

impl Relay {
    /// Relay until `stopping` is cancelled; a step that has begun is ended first. There must be one at a time for an
    /// outbox: two would do no harm but work twice.
    pub async fn run(self, stopping: CancellationToken) {
        let (mut batch, mut failures, mut told) = (self.batch as usize, 0_u32, None);
        while !stopping.is_cancelled() {
            let pause = match self.step(batch).await {
                Step::Moved => {
                    (batch, failures, told) = (batch.saturating_mul(2).min(self.batch as usize), 0, None);
                    continue;
                }
                Step::Smaller(fitting) => {
                    batch = fitting;
                    continue;
                }
                Step::Empty => {
                    (batch, failures, told) = (self.batch as usize, 0, None);
                    let news = async {
                        tokio::select! {
                            () = self.outbox.published() => {}
                            () = sleep(self.interval) => {}
                        }
                    };
                    stopping.run_until_cancelled(news).await;
                    continue;
                }
                Step::Failed(hint) => {
                    failures = failures.saturating_add(1);
                    pause_after(failures, hint, self.interval)
                }
                Step::Full(queue, hint) => {
                    // Once, and not at each try, for as long as it lasts.
                    if told.as_ref() != Some(&queue) {
                        tracing::warn!(outbox = self.name, queue, "a queue is full, events for it wait in the outbox");
                        told = Some(queue);
                    }
                    failures = failures.saturating_add(1);
                    pause_after(failures, hint, self.interval)
                }
            };
            stopping.run_until_cancelled(sleep(pause)).await;
        }
    }

    async fn step(&self, batch: usize) -> Step {
        let limit = u32::try_from(batch).unwrap_or(u32::MAX);
        let events = match self.outbox.pending(limit, BATCH_BYTES).await {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(outbox = self.name, %error, "an outbox cannot be read, trying again");
                return Step::Failed(PAUSE_MIN);
            }
        };
        self.measure_lag(&events);
        let (moved, ids): (usize, Vec<String>) = (events.len(), events.iter().map(|event| event.id.clone()).collect());
        if moved == 0 {
            return Step::Empty;
        }
        match self.messaging.publish(events.into()).await {
            Ok(()) => {}
            Err(MessagingError::QueueFull { queue, wait }) => return Step::Full(queue, wait),
            Err(MessagingError::Busy(wait)) => {
                tracing::debug!(outbox = self.name, ?wait, "messaging is busy, events wait in the outbox");
                return Step::Failed(wait);
            }
            Err(MessagingError::TooLarge(_)) if moved > 1 => return Step::Smaller(moved / 2),
            Err(error) => {
                tracing::error!(outbox = self.name, %error, event_id = ids.first(), moved, "events cannot be moved on, trying again");
                return Step::Failed(PAUSE_MIN);
            }
        }
        failpoint::pass(Point::MovedToMessaging);
        // From here on they are in their queues. Failing to say so only means to publish them once more.
        if let Err(error) = self.outbox.confirm(&ids).await {
            tracing::warn!(outbox = self.name, %error, moved, "moved events are still in the outbox, moving them again");
            return Step::Failed(PAUSE_MIN);
        }
        measure::relayed(&self.name, moved);
        Step::Moved
    }

    fn measure_lag(&self, events: &[Envelope]) {
        let oldest = events.first().map(|event| self.clock.now().duration_since(event.time));
        measure::relay_lag(&self.name, oldest.map_or(0.0, |lag| lag.as_secs_f64().max(0.0)));
    }
}

/// A half to the whole of a pause that doubles with every failure, and no less than what the backend asked for.
fn pause_after(failures: u32, hint: Duration, longest: Duration) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let ceiling = PAUSE_MIN.saturating_mul(doubled).min(longest);
    let jittered = ceiling.mul_f64(rand::random_range(0.5..=1.0));
    jittered.max(hint.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn pauses_double_up_to_a_bound_and_heed_the_backend() {
        for (failures, ceiling) in [(1, 50), (2, 100), (5, 800), (8, 5_000), (40, 5_000), (u32::MAX, 5_000)] {
            let pause = pause_after(failures, Duration::ZERO, LONGEST);
            assert!((ceiling / 2..=ceiling).contains(&pause.as_millis()), "{failures}: {pause:?}");
        }
        assert_eq!(pause_after(1, Duration::from_secs(2), LONGEST), Duration::from_secs(2));
        assert_eq!(pause_after(1, Duration::from_secs(999), LONGEST), LONGEST);
    }
}
