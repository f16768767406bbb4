//! Moves events from outboxes to the messaging backend, and delivers them to the components that subscribe to them.
//!
//! - [`relay`]: one task for each outbox. What a component's batch has published is made durable in the queue of every
//!   subscriber, and only then forgotten by the outbox. Doing so twice changes nothing: ids are known.
//! - `queue`: one loop for each subscriber. It leases what is due, has it handled, and tells the backend the outcome;
//!   `attempt` is one try at one event, over the component's own HTTP door; `outcome` decides what an answer means.
//!
//! No component is known here by name, and no backend by kind.

pub mod relay;

mod attempt;
mod cloudevent;
mod measure;
mod outcome;
mod queue;
mod trace;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::Clock;
use chassis_capabilities::messaging::MessagingBackend;
use chassis_capabilities::sql::Outbox;
use chassis_config::name::ComponentName;
use chassis_config::plan::{MessagingPolicy, Plan};
use chassis_engine::api::Dispatch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::queue::{Phase, Queue};
use self::relay::Relay;

/// Time in which deliveries that are cut off at the drain deadline are handed back to their queues.
const HAND_BACK_TIME: Duration = Duration::from_secs(5);

/// Pause before a task that panicked is begun anew.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What a worker works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where events wait.
    pub messaging: Arc<dyn MessagingBackend>,
    /// Hands requests to components.
    pub dispatch: Arc<dyn Dispatch>,
    /// Where events come from.
    pub outboxes: Vec<NamedOutbox>,
    /// The clock of the host.
    pub clock: Arc<dyn Clock>,
}

/// An outbox, and how logs and metrics call it.
#[derive(Debug, Clone)]
pub struct NamedOutbox {
    /// The label of its database.
    pub name: String,
    /// The outbox.
    pub outbox: Arc<dyn Outbox>,
}

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who is delivered to.
    pub subscribers: Vec<Subscriber>,
    /// Bounds of the deliveries.
    pub policy: MessagingPolicy,
    /// Time that deliveries which run are given at shutdown.
    pub drain_timeout: Duration,
}

/// A component that events are delivered to; its queue has its name.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// The component.
    pub component: ComponentName,
    /// Time from handing it a request to the head of its response.
    pub deadline: Duration,
}

impl Settings {
    /// What a plan says.
    #[must_use]
    pub fn from_plan(plan: &Plan) -> Self {
        let subscribers = plan.components.values().filter(|component| !component.grants.subscribe.is_empty());
        Self {
            subscribers: subscribers
                .map(|plan| Subscriber { component: plan.name.clone(), deadline: plan.limits.deadline })
                .collect(),
            policy: plan.messaging.clone(),
            drain_timeout: plan.gateway.drain_timeout,
        }
    }
}

/// How the work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every delivery that had begun came to its end.
    Whole,
    /// So many deliveries were cut off at the drain deadline. They went back to their queues.
    Cut(usize),
}

/// Relay and deliver until `shutdown` resolves; then take no more, let what runs end within the drain time, hand the
/// rest back to the queues, and return.
///
/// Dropping the future ends everything at once. Nothing is lost by it: events stay in their outbox or their queue, and
/// leases run out.
pub async fn run(parts: Parts, settings: Settings, shutdown: impl Future<Output = ()>) -> Drained {
    measure::describe_metrics();
    let phase = Phase::default();
    let drain_timeout = settings.drain_timeout;
    let mut tasks = start(parts, settings, &phase);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = tasks.join_next() => report(ended),
        }
    }
    phase.stopping.cancel();
    if timeout(drain_timeout, join(&mut tasks)).await.is_ok() {
        return Drained::Whole;
    }
    let cut = phase.running();
    tracing::warn!(
        deliveries = cut,
        "the drain deadline has passed: deliveries that still run go back to their queues"
    );
    phase.cutting.cancel();
    if timeout(HAND_BACK_TIME, join(&mut tasks)).await.is_err() {
        tracing::warn!("not every delivery could be handed back: the others follow when their leases run out");
        tasks.shutdown().await;
    }
    Drained::Cut(cut)
}

fn start(parts: Parts, settings: Settings, phase: &Phase) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Parts { messaging, dispatch, outboxes, clock } = parts;
    for NamedOutbox { name, outbox } in outboxes {
        let relay = Relay {
            name,
            outbox,
            messaging: Arc::clone(&messaging),
            clock: Arc::clone(&clock),
            batch: settings.policy.relay_batch,
            interval: settings.policy.relay_interval,
        };
        let stopping = phase.stopping.clone();
        let life = move || relay.clone().run(stopping.clone());
        tasks.spawn(again_and_again("a relay", phase.stopping.clone(), life));
    }
    for subscriber in settings.subscribers {
        let queue = Arc::new(Queue {
            subscriber,
            policy: settings.policy.clone(),
            messaging: Arc::clone(&messaging),
            dispatch: Arc::clone(&dispatch),
            clock: Arc::clone(&clock),
            phase: phase.clone(),
        });
        let life = move || Arc::clone(&queue).run();
        tasks.spawn(again_and_again("a queue", phase.stopping.clone(), life));
    }
    tasks.spawn(measure::watch_queues(messaging, phase.stopping.clone()));
    tasks
}

/// Run a task to its end; where it panics, begin it anew. A fault that one event brings to light must not stop all that
/// come after it.
async fn again_and_again<F>(what: &'static str, stopping: CancellationToken, life: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = AbortOnDropHandle::new(tokio::spawn(life())).await {
        tracing::error!(%error, "{what} panicked, and is begun anew");
        if stopping.run_until_cancelled(sleep(RESTART_PAUSE)).await.is_none() {
            return;
        }
    }
}

async fn join(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task of the worker panicked");
    }
}

/// Milliseconds for a log line.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// At most so many bytes of a text, on one line.
fn one_line(text: &str, bytes_max: usize) -> impl fmt::Display {
    let cut = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
}
