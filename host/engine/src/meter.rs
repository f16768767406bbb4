//! How long an instance has burned CPU without waiting for anything.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::component::Standing;

/// Written by the instance's own task alone; the atomics are there because that task changes threads.
#[derive(Debug)]
pub(crate) struct Meter {
    burst: Duration,
    tick: Duration,
    /// An epoch interrupted the guest since the last time it waited.
    bursting: AtomicBool,
    /// The poll that is running ended, or will end, by an epoch and not because the guest waits.
    interrupted: AtomicBool,
    burned_ns: AtomicU64,
    over: AtomicBool,
    steady: Steady,
    /// None where computing for long is expected.
    fast: Option<FastLane>,
}

/// Work that never lasts for a tick, and never ends either, such as a body without end that is made piece by piece. Ticks
/// come at a steady pace, so they find the guest at work as often as it is: those that do within a second, against what
/// was asked of it in that time, tell how much it computes for each.
#[derive(Debug)]
struct Steady {
    base: Instant,
    /// Seconds after `base` that are counted now.
    second: AtomicU64,
    interrupted: AtomicU32,
    asked: AtomicU32,
    unanswered: AtomicU32,
}

impl Steady {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            second: AtomicU64::new(0),
            interrupted: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
        }
    }

    /// One tick more; how many there are in this second.
    fn interrupted(&self) -> u32 {
        let second = self.base.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.interrupted.store(0, Ordering::Relaxed);
            self.asked.store(self.unanswered.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.interrupted.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed).max(1)
    }
}

/// What an instance has to go by in the fast lane.
#[derive(Debug)]
pub(crate) struct FastLane {
    standing: Arc<Standing>,
    places: Arc<Semaphore>,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl FastLane {
    /// `standing` is told when a burst is too long. `places` bounds the instances that compute beyond a tick at a time:
    /// each burst is short, but as many as there are instances would be in everybody's way one after the other.
    pub(crate) fn new(standing: Arc<Standing>, places: Arc<Semaphore>) -> Self {
        Self { standing, places, place: Mutex::default() }
    }

    /// Whether the burst has a place, now or since before.
    fn hold_place(&self) -> bool {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Arc::clone(&self.places).try_acquire_owned().ok();
        }
        place.is_some()
    }

    fn leave_place(&self) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What a poll of an instance ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// All its tasks wait.
    Waiting,
    /// A guest was interrupted and has more to compute.
    Busy,
}

impl Meter {
    pub(crate) fn new(burst: Duration, tick: Duration, fast: Option<FastLane>) -> Self {
        Self {
            burst,
            tick,
            bursting: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            burned_ns: AtomicU64::new(0),
            over: AtomicBool::new(false),
            steady: Steady::new(),
            fast,
        }
    }

    /// An epoch has interrupted the guest.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        self.bursting.store(true, Ordering::Relaxed);
        if self.tick.saturating_mul(self.steady.interrupted()) > self.burst.saturating_mul(self.steady.asked()) {
            self.over.store(true, Ordering::Relaxed);
        }
    }

    /// The instance takes a request or a call.
    pub(crate) fn begin(&self) {
        self.steady.asked.fetch_add(1, Ordering::Relaxed);
        self.steady.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// It has answered one, or has given it up.
    pub(crate) fn answer(&self) {
        self.steady.unanswered.fetch_sub(1, Ordering::Relaxed);
    }

    /// Before a poll: the CPU time of this thread, where it is worth asking for.
    pub(crate) fn before(&self) -> Option<Duration> {
        self.bursting.load(Ordering::Relaxed).then(thread_cpu)
    }

    /// After a poll that is pending.
    pub(crate) fn after(&self, before: Option<Duration>) -> Pause {
        if !self.interrupted.swap(false, Ordering::Relaxed) {
            if self.bursting.swap(false, Ordering::Relaxed) {
                self.burned_ns.store(0, Ordering::Relaxed);
                self.leave_place();
            }
            return Pause::Waiting;
        }
        // The first slice of a burst is not measured, but it lasted about a tick: that is what interrupted it.
        self.burn(before.map_or(self.tick, |before| thread_cpu().saturating_sub(before)));
        Pause::Busy
    }

    fn burn(&self, burned: Duration) {
        let burned_ns = u64::try_from(burned.as_nanos()).unwrap_or(u64::MAX);
        let earlier = self.burned_ns.fetch_add(burned_ns, Ordering::Relaxed);
        let total = Duration::from_nanos(earlier.saturating_add(burned_ns));
        if total > self.burst && Duration::from_nanos(earlier) <= self.burst {
            self.demote();
        }
        // A tick interrupts whoever runs, however shortly, and whoever waits for a CPU; one that was measured to compute for
        // a whole tick goes on.
        let crowded = total > self.tick.saturating_mul(2) && !self.hold_place();
        if total > self.burst || crowded {
            self.over.store(true, Ordering::Relaxed);
            self.leave_place();
        }
    }

    fn demote(&self) {
        if let Some(fast) = &self.fast {
            fast.standing.demote();
        }
    }

    fn hold_place(&self) -> bool {
        self.is_over_burst() || self.fast.as_ref().is_none_or(FastLane::hold_place)
    }

    fn leave_place(&self) {
        if let Some(fast) = &self.fast {
            fast.leave_place();
        }
    }

    /// Whether one burst was longer than a guest in good standing needs, or had no place in the fast lane. Stays so.
    pub(crate) fn is_over_burst(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use chassis_config::name::ComponentName;

    use super::*;
    use crate::component::tests::FORBEARANCE;

    #[test]
    fn waiting_ends_a_burst() {
        let meter = Meter::new(Duration::from_millis(25), Duration::from_millis(10), None);
        for _ in 0..10 {
            meter.begin();
            meter.interrupt();
            assert_eq!(meter.after(None), Pause::Busy);
            assert_eq!(meter.after(meter.before()), Pause::Waiting);
        }
        assert!(!meter.is_over_burst());
    }

    #[test]
    fn slices_without_waiting_add_up() {
        let meter = Meter::new(Duration::from_millis(25), Duration::from_millis(10), None);
        for _ in 0..3 {
            assert!(!meter.is_over_burst());
            meter.interrupt();
            assert_eq!(meter.after(None), Pause::Busy);
        }
        assert!(meter.is_over_burst());
    }

    #[test]
    fn computing_all_the_time_for_few_requests_adds_up() {
        let ticks_until_over = |requests: u32| {
            let meter = Meter::new(Duration::from_millis(50), Duration::from_millis(10), None);
            (0..requests).for_each(|_| meter.begin());
            let ticks = (1..=40).find(|_| {
                meter.interrupt();
                meter.after(None);
                meter.after(meter.before());
                meter.is_over_burst()
            });
            ticks.unwrap_or(u32::MAX)
        };
        assert_eq!(ticks_until_over(1), 6);
        assert_eq!(ticks_until_over(4), 21);
        assert_eq!(ticks_until_over(100), u32::MAX);
    }

    #[test]
    fn a_burst_that_goes_on_needs_a_place() {
        let places = Arc::new(Semaphore::new(1));
        let meter = || {
            let standing = Arc::new(Standing::new(ComponentName::parse("guest").unwrap(), FORBEARANCE));
            let fast = FastLane::new(standing, Arc::clone(&places));
            Meter::new(Duration::from_secs(60), Duration::from_millis(10), Some(fast))
        };
        let slice = |meter: &Meter| {
            meter.interrupt();
            meter.burn(Duration::from_millis(11));
        };
        let [first, second, third] = [meter(), meter(), meter()];
        for meter in [&first, &second, &third] {
            meter.interrupt();
            assert_eq!(meter.after(None), Pause::Busy);
            assert!(!meter.is_over_burst(), "a tick interrupts whoever runs");
        }
        slice(&first);
        slice(&second);
        slice(&first);
        assert!(!first.is_over_burst() && second.is_over_burst(), "there is one place");
        first.interrupted.store(false, Ordering::Relaxed);
        assert_eq!(first.after(None), Pause::Waiting);
        slice(&third);
        assert!(!third.is_over_burst(), "the place is free again");
        drop(third);
        assert_eq!(places.available_permits(), 1, "no instance takes a place with it");
    }
}
