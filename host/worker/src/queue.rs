//! The loop of one queue: lease what is due, have it handled, tell the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chassis_capabilities::clock::Clock;
use chassis_capabilities::failpoint::{self, Point};
use chassis_capabilities::messaging::{Delivery, MessagingBackend, MessagingError, Outcome};
use chassis_config::plan::MessagingPolicy;
use chassis_engine::api::Dispatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::{Subscriber, measure, milliseconds, report, trace};

/// Pause after a queue that had something due gave nothing: another worker was faster, or what was due had died.
const EMPTY_PAUSE: Duration = Duration::from_millis(10);

/// Pause after a failure of the backend.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);

/// First pause before an outcome that could not be written down is written again; the next ones are twice as long each.
const SETTLE_PAUSE: Duration = Duration::from_millis(20);

/// How far the shutdown has come, and what still runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phase {
    /// Nothing new is begun.
    pub(crate) stopping: CancellationToken,
    /// What runs is handed back.
    pub(crate) cutting: CancellationToken,
    running: Arc<AtomicUsize>,
}

impl Phase {
    /// Deliveries that run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    fn run(&self) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(&self.running))
    }
}

/// Counts a delivery as long as it lives.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The queue of one subscriber.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) subscriber: Subscriber,
    pub(crate) policy: MessagingPolicy,
    pub(crate) messaging: Arc<dyn MessagingBackend>,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) phase: Phase,
}

/// How a try ended.
enum End {
    /// With an outcome.
    Outcome(Outcome),
    /// The lease was lost meanwhile: whatever the handler does, it is another worker's delivery now.
    LeaseLost,
}

/// What became of an outcome.
enum Settled {
    /// It is written down.
    Yes,
    /// The lease was lost.
    LeaseLost,
    /// The backend did not take it; the delivery comes back when its lease runs out.
    No,
}

impl Queue {
    /// Lease and deliver until the worker stops; then wait for what runs.
    pub(crate) async fn run(self: Arc<Self>) {
        let places = usize::try_from(self.policy.concurrency).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        let mut deliveries = JoinSet::new();
        while let Some(leased) = self.take(&places).await {
            for (delivery, place) in leased {
                let (queue, running) = (Arc::clone(&self), self.phase.run());
                deliveries.spawn(async move {
                    let _held = (place, running);
                    queue.deliver(delivery).await;
                });
            }
            while let Some(ended) = deliveries.try_join_next() {
                report(ended);
            }
        }
        while let Some(ended) = deliveries.join_next().await {
            report(ended);
        }
    }

    fn name(&self) -> &str {
        self.subscriber.component.as_str()
    }

    /// Wait for a place and for something that is due, and lease as much as there are places. None when the worker stops;
    /// once it leases, it does so to the end, so that no lease is forgotten.
    async fn take(&self, places: &Arc<Semaphore>) -> Option<Vec<(Delivery, OwnedSemaphorePermit)>> {
        let stopping = &self.phase.stopping;
        let room = async {
            let place = Arc::clone(places).acquire_owned().await.ok()?;
            self.messaging.wait(self.name()).await;
            Some(place)
        };
        let mut held = stopping.run_until_cancelled(room).await??;
        // Nobody else takes places: those that are free now are free until they are taken here.
        let free = u32::try_from(places.available_permits()).unwrap_or(u32::MAX);
        if let Ok(more) = Arc::clone(places).try_acquire_many_owned(free) {
            held.merge(more);
        }
        let leased = match self.messaging.lease(self.name(), free.saturating_add(1)).await {
            Ok(leased) => leased,
            Err(error) => {
                tracing::warn!(component = self.name(), %error, "nothing can be leased from a queue, trying again");
                stopping.run_until_cancelled(sleep(pause_of(&error))).await;
                return Some(Vec::new());
            }
        };
        if leased.is_empty() {
            stopping.run_until_cancelled(sleep(EMPTY_PAUSE)).await;
        }
        Some(leased.into_iter().filter_map(|delivery| Some((delivery, held.split(1)?))).collect())
    }

    async fn deliver(&self, delivery: Delivery) {
        let started = Instant::now();
        let attempt = Attempt::new(&self.subscriber, &delivery);
        let end = tokio::select! {
            biased;
            outcome = attempt.run(&*self.dispatch, &*self.clock) => End::Outcome(outcome),
            () = self.keep_lease(&delivery, started) => End::LeaseLost,
            () = self.phase.cutting.cancelled() => {
                End::Outcome(Outcome::HostFailure { reason: "the host is shutting down".to_owned() })
            }
        };
        let outcome = match end {
            End::LeaseLost => "lease_lost",
            End::Outcome(outcome) => {
                let name = name_of(&outcome);
                log(&attempt, &outcome, started.elapsed());
                if outcome == Outcome::Ack {
                    failpoint::pass(Point::Delivered);
                }
                match self.settle(&delivery, outcome).await {
                    Settled::Yes => name,
                    Settled::LeaseLost => "lease_lost",
                    Settled::No => "unsettled",
                }
            }
        };
        if matches!(outcome, "lease_lost" | "unsettled") {
            let event_id = &delivery.event.id;
            let attempt = delivery.attempt;
            tracing::warn!(component = self.name(), event_id, attempt, outcome, "a delivery did not end as it should");
        }
        measure::delivered(self.name(), outcome, started.elapsed());
    }

    /// Renew a lease at a third of its time, for as long as this is polled. Resolves when the lease is lost, or may be,
    /// since the backend could not be asked for its whole time.
    async fn keep_lease(&self, delivery: &Delivery, leased_at: Instant) {
        let (third, mut held_since) = (self.policy.lease / 3, leased_at);
        loop {
            // A renewal counts from when it was asked for.
            sleep(third).await;
            let asked_at = Instant::now();
            let until = held_since + self.policy.lease;
            match timeout_at(until, self.messaging.renew(delivery)).await {
                Ok(Ok(())) => held_since = asked_at,
                Ok(Err(MessagingError::LeaseLost)) => return,
                Ok(Err(error)) => {
                    let event_id = &delivery.event.id;
                    tracing::warn!(component = self.name(), event_id, %error, "a lease was not renewed, trying again");
                    if asked_at + third >= until {
                        sleep_until(until).await;
                        return;
                    }
                }
                Err(_elapsed) => return,
            }
        }
    }

    /// Write an outcome down. It was renewed within the last third of its time, so that half of it is left for this.
    async fn settle(&self, delivery: &Delivery, outcome: Outcome) -> Settled {
        let (until, mut pause) = (Instant::now() + self.policy.lease / 2, SETTLE_PAUSE);
        loop {
            match timeout_at(until, self.messaging.complete(delivery, outcome.clone())).await {
                Ok(Ok(())) => return Settled::Yes,
                Ok(Err(MessagingError::LeaseLost)) => return Settled::LeaseLost,
                Ok(Err(error)) => {
                    let event_id = &delivery.event.id;
                    tracing::warn!(component = self.name(), event_id, %error, "an outcome was not written down, trying again");
                }
                Err(_elapsed) => return Settled::No,
            }
            if Instant::now() + pause >= until {
                return Settled::No;
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }
}

fn pause_of(error: &MessagingError) -> Duration {
    if let MessagingError::Busy(wait) = error { *wait } else { FAILURE_PAUSE }
}

const fn name_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ack => "ack",
        Outcome::Retry { .. } => "retry",
        Outcome::HostFailure { .. } => "host_failure",
        Outcome::Reject { .. } => "reject",
    }
}

fn log(attempt: &Attempt<'_>, outcome: &Outcome, duration: Duration) {
    let Delivery { event, attempt: number, .. } = attempt.delivery;
    let component = &attempt.subscriber.component;
    let (request_id, trace_id) = (&attempt.request_id, trace::trace_id(&attempt.traceparent));
    let (duration_ms, name) = (milliseconds(duration), name_of(outcome));
    match outcome {
        Outcome::Ack => tracing::info!(
            %component, event_id = event.id, event_type = event.event_type, attempt = number, outcome = name, duration_ms,
            request_id, trace_id, "an event was handled"
        ),
        Outcome::Retry { reason, .. } | Outcome::HostFailure { reason } | Outcome::Reject { reason } => tracing::warn!(
            %component, event_id = event.id, event_type = event.event_type, attempt = number, outcome = name, duration_ms,
            request_id, trace_id, reason, "an event was not handled"
        ),
    }
}
