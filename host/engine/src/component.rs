//! One component: who may enter, which lane it takes, and the version that is live.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use chassis_capabilities::conduct::Conduct;
use chassis_config::name::ComponentName;
use chassis_config::plan::{ComponentLimits, ComponentPlan, EngineLimits};
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::api::{ComponentStatus, Health, Lane};
use crate::pool::Full;
use crate::version::Version;

/// What a component may do and keep its good standing. Losing instances counts, since starting and losing them costs far
/// more than a request, and each is over too soon to be noticed as a burst.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forbearance {
    probation: Duration,
    losses: u32,
    loss_window: Duration,
}

impl From<&EngineLimits> for Forbearance {
    fn from(limits: &EngineLimits) -> Self {
        Self { probation: limits.probation, losses: limits.losses, loss_window: limits.loss_window }
    }
}

/// How a component has behaved.
#[derive(Debug)]
pub(crate) struct Standing {
    component: ComponentName,
    forbearance: Forbearance,
    slow_until: Mutex<Option<Instant>>,
    losses: Mutex<Losses>,
    traps: AtomicU64,
}

/// Instances lost since a moment not long ago.
#[derive(Debug, Default)]
struct Losses {
    since: Option<Instant>,
    number: u32,
}

impl Losses {
    /// One more, at `now`; whether these are too many.
    fn add(&mut self, now: Instant, forbearance: Forbearance) -> bool {
        let over = |since| now.saturating_duration_since(since) > forbearance.loss_window;
        if self.since.is_none_or(over) {
            *self = Self { since: Some(now), number: 0 };
        }
        self.number = self.number.saturating_add(1);
        self.number > forbearance.losses
    }
}

impl Standing {
    pub(crate) fn new(component: ComponentName, forbearance: Forbearance) -> Self {
        Self {
            component,
            forbearance,
            slow_until: Mutex::default(),
            losses: Mutex::default(),
            traps: AtomicU64::new(0),
        }
    }

    pub(crate) fn lane(&self) -> Lane {
        let slow_until = *self.slow_until.lock().unwrap_or_else(PoisonError::into_inner);
        if slow_until.is_some_and(|until| Instant::now() < until) { Lane::Slow } else { Lane::Fast }
    }

    /// It burned CPU in the fast lane.
    pub(crate) fn demote(&self) {
        self.slow_down("it computes for long without waiting");
    }

    /// An instance was lost.
    pub(crate) fn count_trap(&self) {
        counter!("component_instances_lost_total", "component" => self.component.to_string()).increment(1);
        self.traps.fetch_add(1, Ordering::Relaxed);
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let too_many = losses.add(Instant::now(), self.forbearance);
        drop(losses);
        if too_many {
            self.slow_down("it loses one instance after the other");
        }
    }

    fn slow_down(&self, reason: &str) {
        let (now, probation) = (Instant::now(), self.forbearance.probation);
        let before = self.slow_until.lock().unwrap_or_else(PoisonError::into_inner).replace(now + probation);
        // What is in the slow lane already only stays there for longer.
        if before.is_none_or(|until| until <= now) {
            tracing::info!(component = %self.component, ?probation, "moved to the slow lane: {reason}");
            counter!("component_demotions_total", "component" => self.component.to_string()).increment(1);
        }
    }
}

/// Lets the SQL of a component count for its standing.
#[derive(Debug)]
pub(crate) struct SqlConduct {
    pub(crate) standing: Arc<Standing>,
    /// `limits.burst_cpu`.
    pub(crate) burst: Duration,
}

impl Conduct for SqlConduct {
    fn burst(&self) -> Duration {
        self.burst
    }

    fn burned(&self) {
        self.standing.demote();
    }

    fn is_slow(&self) -> bool {
        self.standing.lane() == Lane::Slow
    }
}

/// Lets so many in at a time, lets so many wait, and turns the others away.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    most: u32,
    waiting: AtomicU32,
    queue: u32,
}

impl Admission {
    fn new(running: u32, queue: u32) -> Self {
        let permits = Arc::new(Semaphore::new(running as usize));
        Self { running: permits, most: running, waiting: AtomicU32::new(0), queue }
    }

    pub(crate) async fn enter(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Full> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.queue).ok_or(Full)?;
        let entered = timeout_at(deadline, Arc::clone(&self.running).acquire_owned()).await;
        entered.map_err(|_elapsed| Full)?.map_err(|_closed| Full)
    }

    fn running(&self) -> u32 {
        self.most.saturating_sub(u32::try_from(self.running.available_permits()).unwrap_or(u32::MAX))
    }

    fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the line; given up by dropping it.
struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicU32, most: u32) -> Option<Self> {
        let took = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1));
        took.is_ok().then(|| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One component of the application.
#[derive(Debug)]
pub(crate) struct Slot {
    plan: Arc<ComponentPlan>,
    standing: Arc<Standing>,
    fast: Admission,
    slow: Admission,
    calls: Admission,
    version: ArcSwap<Version>,
    health: ArcSwapOption<Health>,
}

impl Slot {
    pub(crate) fn new(plan: Arc<ComponentPlan>, standing: Arc<Standing>, version: Arc<Version>) -> Self {
        let limits = &plan.limits;
        Self {
            fast: Admission::new(limits.concurrency, limits.queue),
            slow: Admission::new(limits.slow_concurrency, limits.queue),
            calls: Admission::new(limits.concurrency, limits.queue),
            plan,
            standing,
            version: ArcSwap::new(version),
            health: ArcSwapOption::empty(),
        }
    }

    pub(crate) fn name(&self) -> &ComponentName {
        &self.plan.name
    }

    pub(crate) fn limits(&self) -> &ComponentLimits {
        &self.plan.limits
    }

    pub(crate) fn version(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// The lane of a request: by its route, else by the component's standing.
    pub(crate) fn lane(&self, method: &http::Method, path: &str) -> Lane {
        let slow =
            self.plan.slow_routes.iter().any(|route| {
                route.method.as_ref().is_none_or(|wanted| wanted == method) && route.pattern.matches(path)
            });
        if slow { Lane::Slow } else { self.standing.lane() }
    }

    pub(crate) fn admission(&self, lane: Lane) -> &Admission {
        match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
        }
    }

    pub(crate) fn calls(&self) -> &Admission {
        &self.calls
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(Some(Arc::new(health)));
    }

    pub(crate) fn status(&self) -> ComponentStatus {
        let version = self.version.load();
        let admissions = [&self.fast, &self.slow, &self.calls];
        ComponentStatus {
            name: self.plan.name.clone(),
            digest: version.digest().to_owned(),
            provides: self.plan.provides.clone(),
            instances: version.instances(),
            running: admissions.iter().map(|admission| admission.running()).sum(),
            waiting: admissions.iter().map(|admission| admission.waiting()).sum(),
            traps: self.standing.traps.load(Ordering::Relaxed),
            lane: self.standing.lane(),
            health: self.health.load_full().map(|health| (*health).clone()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const FORBEARANCE: Forbearance =
        Forbearance { probation: Duration::from_secs(60), losses: 5, loss_window: Duration::from_secs(10) };

    #[test]
    fn a_component_that_loses_an_instance_now_and_then_keeps_its_standing() {
        let mut losses = Losses::default();
        let begin = Instant::now();
        for number in 0..100 {
            assert!(!losses.add(begin + FORBEARANCE.loss_window / 2 * number, FORBEARANCE), "the {number}th");
        }
    }

    #[test]
    fn a_component_that_loses_one_after_the_other_moves_to_the_slow_lane() {
        let standing = Standing::new(ComponentName::parse("guest").unwrap(), FORBEARANCE);
        for _ in 0..FORBEARANCE.losses {
            standing.count_trap();
            assert_eq!(standing.lane(), Lane::Fast);
        }
        standing.count_trap();
        assert_eq!(standing.lane(), Lane::Slow);
    }
}
