//! How long an instance has burned CPU without waiting for anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

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
    /// Told when a burst is too long; none where that is expected.
    standing: Option<Arc<Standing>>,
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
    pub(crate) fn new(burst: Duration, tick: Duration, standing: Option<Arc<Standing>>) -> Self {
        Self {
            burst,
            tick,
            bursting: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            burned_ns: AtomicU64::new(0),
            over: AtomicBool::new(false),
            standing,
        }
    }

    /// An epoch has interrupted the guest.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        self.bursting.store(true, Ordering::Relaxed);
    }

    /// Before a poll: the CPU time of this thread, where it is worth asking for.
    pub(crate) fn before(&self) -> Option<Duration> {
        self.bursting.load(Ordering::Relaxed).then(thread_cpu)
    }

    /// After a poll that is pending.
    pub(crate) fn after(&self, before: Option<Duration>) -> Pause {
        if !self.interrupted.swap(false, Ordering::Relaxed) {
            self.bursting.store(false, Ordering::Relaxed);
            self.burned_ns.store(0, Ordering::Relaxed);
            return Pause::Waiting;
        }
        // The first slice of a burst is not measured, but it lasted about a tick: that is what interrupted it.
        let burned = before.map_or(self.tick, |before| thread_cpu().saturating_sub(before));
        let burned_ns = u64::try_from(burned.as_nanos()).unwrap_or(u64::MAX);
        let total = self.burned_ns.fetch_add(burned_ns, Ordering::Relaxed).saturating_add(burned_ns);
        let over = Duration::from_nanos(total) > self.burst && !self.over.swap(true, Ordering::Relaxed);
        if let Some(standing) = self.standing.as_ref().filter(|_| over) {
            standing.demote();
        }
        Pause::Busy
    }

    /// Whether one burst was longer than a guest in good standing needs. Stays so.
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
    use super::*;

    #[test]
    fn waiting_ends_a_burst() {
        let meter = Meter::new(Duration::from_millis(25), Duration::from_millis(10), None);
        for _ in 0..10 {
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
}
