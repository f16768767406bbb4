//! What operators can watch.

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::messaging::{MessagingBackend, QueueStatus};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Pause between two looks at the queues.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Tell the recorder what the worker's metrics mean.
pub(crate) fn describe_metrics() {
    describe_counter!(
        "event_deliveries_total",
        "Tries to deliver an event, by component and outcome: ack, retry, reject, host_failure; lease_lost: another \
         worker has taken it over; unsettled: the outcome could not be written down."
    );
    describe_histogram!("event_delivery_duration_seconds", Unit::Seconds, "Time of one try to deliver an event.");
    describe_gauge!(
        "event_queue_deliveries",
        "Deliveries by queue and state: ready, blocked (behind an earlier one of their subject), delayed, leased, dead."
    );
    describe_gauge!(
        "event_queue_oldest_ready_seconds",
        Unit::Seconds,
        "Age of the oldest delivery that could begin now, by queue."
    );
    describe_counter!("outbox_events_relayed_total", "Events moved from an outbox to the queues.");
    describe_gauge!(
        "outbox_lag_seconds",
        Unit::Seconds,
        "Age of the oldest event that is still in an outbox, when it was last looked into."
    );
}

pub(crate) fn delivered(component: &str, outcome: &'static str, duration: Duration) {
    counter!("event_deliveries_total", "component" => component.to_owned(), "outcome" => outcome).increment(1);
    histogram!("event_delivery_duration_seconds", "component" => component.to_owned()).record(duration.as_secs_f64());
}

pub(crate) fn relayed(outbox: &str, events: usize) {
    let events = u64::try_from(events).unwrap_or(u64::MAX);
    counter!("outbox_events_relayed_total", "outbox" => outbox.to_owned()).increment(events);
}

pub(crate) fn relay_lag(outbox: &str, seconds: f64) {
    gauge!("outbox_lag_seconds", "outbox" => outbox.to_owned()).set(seconds);
}

/// Look at the queues from time to time, until `stopping` is cancelled.
pub(crate) async fn watch_queues(messaging: Arc<dyn MessagingBackend>, stopping: CancellationToken) {
    let mut ticks = interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        match messaging.status().await {
            Ok(all) => all.into_iter().for_each(show),
            Err(error) => tracing::warn!(%error, "the queues cannot be counted, trying again"),
        }
    }
}

fn show(status: QueueStatus) {
    let QueueStatus { queue, ready, blocked, delayed, leased, dead, oldest_ready_seconds } = status;
    let states = [("ready", ready), ("blocked", blocked), ("delayed", delayed), ("leased", leased), ("dead", dead)];
    for (state, count) in states {
        gauge!("event_queue_deliveries", "queue" => queue.clone(), "state" => state).set(approximate(count));
    }
    gauge!("event_queue_oldest_ready_seconds", "queue" => queue).set(approximate(oldest_ready_seconds.unwrap_or(0)));
}

/// A count for a gauge: exact up to four thousand millions, and no more than that.
fn approximate(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
