//! How long an instance has burned CPU without waiting for anything: in the guest, which ticks interrupt, and in host
//! functions, which nothing interrupts.

use std::cell::Cell;
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

    /// So many ticks more; how many there are in this second.
    fn interrupted(&self, ticks: u32) -> u32 {
        let second = self.base.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.interrupted.store(0, Ordering::Relaxed);
            self.asked.store(self.unanswered.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.interrupted.fetch_add(ticks, Ordering::Relaxed).saturating_add(ticks)
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
        self.work_steadily(1);
    }

    fn work_steadily(&self, ticks: u32) {
        if self.tick.saturating_mul(self.steady.interrupted(ticks)) > self.burst.saturating_mul(self.steady.asked()) {
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

    /// After a poll that is pending.
    pub(crate) fn after(&self, before: &Before) -> Pause {
        let pause = if self.interrupted.swap(false, Ordering::Relaxed) { Pause::Busy } else { Pause::Waiting };
        // Nothing interrupts a host function: how long the poll took tells of those.
        let long = pause == Pause::Busy || before.at.elapsed() > self.tick;
        self.count(pause, long.then(|| thread_cpu().saturating_sub(before.cpu)));
        pause
    }

    fn count(&self, pause: Pause, burned: Option<Duration>) {
        if let Some(burned) = burned {
            self.burn(burned);
        }
        let ticks = burned.and_then(|burned| burned.as_nanos().checked_div(self.tick.as_nanos())).unwrap_or(0);
        // An interruption has counted as one.
        let uncounted = ticks.saturating_sub(u128::from(pause == Pause::Busy));
        if uncounted > 0 {
            self.work_steadily(u32::try_from(uncounted).unwrap_or(u32::MAX));
        }
        if pause == Pause::Busy {
            return;
        }
        if self.burned_ns.swap(0, Ordering::Relaxed) != 0 {
            self.leave_place();
        }
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

/// How old the reading of a thread's CPU time may be that a poll begins with. Reading it is a system call; so much may be
/// counted too much for a poll that turns out to be long.
const READING_AGE: Duration = Duration::from_millis(1);

/// The moment at which a poll begins, on the thread that polls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    at: Instant,
    /// CPU time of the thread, read a moment ago.
    cpu: Duration,
}

impl Before {
    pub(crate) fn now() -> Self {
        thread_local! {
            static LAST: Cell<Option<Before>> = const { Cell::new(None) };
        }
        let at = Instant::now();
        let last = LAST.get().filter(|last| at.saturating_duration_since(last.at) < READING_AGE);
        let cpu = match last {
            Some(last) => last.cpu,
            None => {
                let cpu = thread_cpu();
                LAST.set(Some(Self { at, cpu }));
                cpu
            }
        };
        Self { at, cpu }
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

    /// A poll that a tick has ended, after as long.
    fn slice(meter: &Meter) {
        meter.count(Pause::Busy, Some(meter.tick));
    }

    #[test]
    fn waiting_ends_a_burst() {
        let meter = Meter::new(Duration::from_millis(25), Duration::from_millis(10), None);
        for _ in 0..10 {
            meter.begin();
            meter.interrupt();
            slice(&meter);
            meter.count(Pause::Waiting, None);
        }
        assert!(!meter.is_over_burst());
    }

    #[test]
    fn slices_without_waiting_add_up() {
        let meter = Meter::new(Duration::from_millis(25), Duration::from_millis(10), None);
        for _ in 0..3 {
            assert!(!meter.is_over_burst());
            meter.interrupt();
            slice(&meter);
        }
        assert!(meter.is_over_burst());
    }

    #[test]
    fn host_functions_that_compute_count_though_nothing_interrupts_them() {
        let meter = || Meter::new(Duration::from_millis(50), Duration::from_millis(10), None);
        let call = |meter: &Meter, milliseconds| meter.count(Pause::Waiting, Some(Duration::from_millis(milliseconds)));
        let once = meter();
        call(&once, 51);
        assert!(once.is_over_burst(), "one long call");
        let again = meter();
        again.begin();
        call(&again, 40);
        assert!(!again.is_over_burst());
        call(&again, 40);
        assert!(again.is_over_burst(), "for one request in one second");
        let interrupted_late = meter();
        interrupted_late.begin();
        for _ in 0..2 {
            assert!(!interrupted_late.is_over_burst());
            interrupted_late.interrupt();
            interrupted_late.count(Pause::Busy, Some(Duration::from_millis(40)));
            interrupted_late.count(Pause::Waiting, None);
        }
        assert!(interrupted_late.is_over_burst(), "an interruption after long calls counts for all of them");
    }

    #[test]
    fn cpu_time_is_measured_where_it_matters() {
        let meter = Meter::new(Duration::from_millis(25), Duration::from_millis(10), None);
        let before = Before::now();
        while thread_cpu().saturating_sub(before.cpu) < Duration::from_millis(40) {
            std::hint::spin_loop();
        }
        assert_eq!(meter.after(&before), Pause::Waiting);
        assert!(meter.is_over_burst());
        assert_eq!(meter.after(&Before::now()), Pause::Waiting);
    }

    #[test]
    fn computing_all_the_time_for_few_requests_adds_up() {
        let ticks_until_over = |requests: u32| {
            let meter = Meter::new(Duration::from_millis(50), Duration::from_millis(10), None);
            (0..requests).for_each(|_| meter.begin());
            let ticks = (1..=40).find(|_| {
                meter.interrupt();
                slice(&meter);
                meter.count(Pause::Waiting, None);
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
        let more = |meter: &Meter| {
            meter.interrupt();
            meter.burn(Duration::from_millis(11));
        };
        let [first, second, third] = [meter(), meter(), meter()];
        for meter in [&first, &second, &third] {
            meter.interrupt();
            slice(meter);
            assert!(!meter.is_over_burst(), "a tick interrupts whoever runs");
        }
        more(&first);
        more(&second);
        more(&first);
        assert!(!first.is_over_burst() && second.is_over_burst(), "there is one place");
        first.count(Pause::Waiting, None);
        more(&third);
        assert!(!third.is_over_burst(), "the place is free again");
        drop(third);
        assert_eq!(places.available_permits(), 1, "no instance takes a place with it");
    }
}
