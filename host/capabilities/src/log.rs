//! How much of the host's log one component may fill, by what it writes or by what it is refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chassis_config::name::ComponentName;
use tokio::time::Instant;

/// Target of the lines that guests write, and of those about them.
pub const GUEST: &str = "chassis::guest";

/// Time over which lines are counted together.
const WINDOW: Duration = Duration::from_secs(1);

/// Lets so many lines a second through, and counts the others: how many those were is told with the first line of a
/// later second, and at the end.
#[derive(Debug)]
pub struct LineBudget {
    component: ComponentName,
    lines_per_second: u32,
    spent: Mutex<Spent>,
}

#[derive(Debug)]
struct Spent {
    since: Instant,
    lines: u32,
    dropped: u64,
}

impl LineBudget {
    /// A budget for what this component brings into the log.
    #[must_use]
    pub fn new(component: ComponentName, lines_per_second: u32) -> Self {
        let spent = Spent { since: Instant::now(), lines: 0, dropped: 0 };
        Self { component, lines_per_second, spent: Mutex::new(spent) }
    }

    /// Whether one more line may be written now. If not, it is counted as dropped.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.admits_at(Instant::now())
    }

    fn admits_at(&self, now: Instant) -> bool {
        let mut spent = self.lock();
        if now.saturating_duration_since(spent.since) >= WINDOW {
            self.tell_dropped(&mut spent);
            spent.since = now;
            spent.lines = 0;
        }
        let admitted = spent.lines < self.lines_per_second;
        if admitted {
            spent.lines = spent.lines.saturating_add(1);
        } else {
            spent.dropped = spent.dropped.saturating_add(1);
        }
        admitted
    }

    fn tell_dropped(&self, spent: &mut Spent) {
        let dropped = std::mem::take(&mut spent.dropped);
        if dropped > 0 {
            tracing::warn!(target: GUEST, component = %self.component, dropped, "dropped log lines beyond the component's limit");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LineBudget {
    fn drop(&mut self) {
        let mut spent = self.lock();
        self.tell_dropped(&mut spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_a_budget_of_its_own() {
        let budget = LineBudget::new(ComponentName::parse("guest").unwrap(), 2);
        let begin = Instant::now() + WINDOW;
        for second in 0..3 {
            let now = begin + WINDOW * second;
            let admitted: Vec<bool> = (0..4).map(|_| budget.admits_at(now)).collect();
            assert_eq!(admitted, [true, true, false, false]);
            assert_eq!(budget.lock().dropped, 2);
        }
        // A clock that two threads read at the same time may seem to go back.
        assert!(!budget.admits_at(begin));
    }
}
