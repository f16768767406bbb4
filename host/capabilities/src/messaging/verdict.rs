//! What follows from the outcome of a try: pure decisions, with time and chance as arguments.

use std::time::Duration;

use chassis_config::plan::MessagingPolicy;
use rand::{Rng, RngExt};

use super::Outcome;

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 1_024;

/// What is known of a delivery when its try ends. Times are microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    /// Tries that failed before this one.
    pub(super) failed: u32,
    /// When it could be delivered for the first time: its age counts from here, not from its publication, so that a
    /// long delay does not use the age up.
    pub(super) born_at: i64,
}

/// What is to be done with a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done.
    Done,
    /// It waits, and is then tried again.
    Again { at: i64, failed: u32 },
    /// It goes to the dead letters.
    Dead { failed: u32, reason: String },
}

/// Judge the outcome of a try that ended at `now`.
///
/// A retry uses up an attempt, a failure of the host does not; the age of the event bounds both. A pause is exponential
/// with full jitter, or as long as the handler asked, but never longer than `backoff_max`. A pause after a failure of
/// the host is a half to one and a half of `backoff_base`: the host is expected back soon.
pub(super) fn judge(
    policy: &MessagingPolicy,
    tried: Tried,
    outcome: Outcome,
    now: i64,
    chance: &mut dyn Rng,
) -> Verdict {
    match outcome {
        Outcome::Ack => Verdict::Done,
        Outcome::Reject { reason } => {
            Verdict::Dead { failed: tried.failed.saturating_add(1), reason: shortened(reason) }
        }
        Outcome::Retry { after, reason } => {
            let failed = tried.failed.saturating_add(1);
            if failed >= policy.attempts || is_over_age(policy, tried.born_at, now) {
                return Verdict::Dead { failed, reason: shortened(reason) };
            }
            let pause = match after {
                Some(after) => after.min(policy.backoff_max),
                None => jittered(Duration::ZERO, ceiling(policy, failed), chance),
            };
            Verdict::Again { at: later(now, pause), failed }
        }
        Outcome::HostFailure { reason } => {
            if is_over_age(policy, tried.born_at, now) {
                return Verdict::Dead { failed: tried.failed, reason: shortened(reason) };
            }
            let base = policy.backoff_base;
            let pause = jittered(base / 2, base.saturating_add(base / 2), chance).min(policy.backoff_max);
            Verdict::Again { at: later(now, pause), failed: tried.failed }
        }
    }
}

/// Whether an event is too old to be tried once more. One that was never tried is not asked.
pub(super) fn is_over_age(policy: &MessagingPolicy, born_at: i64, now: i64) -> bool {
    later(born_at, policy.max_age) <= now
}

/// `at` plus `by`, at most the end of time.
pub(super) fn later(at: i64, by: Duration) -> i64 {
    at.saturating_add(micros_of(by))
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The longest pause after so many failed tries: `base`, twice that, four times, up to `max`.
fn ceiling(policy: &MessagingPolicy, failed: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    policy.backoff_base.saturating_mul(doubled).min(policy.backoff_max)
}

fn jittered(from: Duration, to: Duration, chance: &mut dyn Rng) -> Duration {
    let (from, to) = (micros_of(from).unsigned_abs(), micros_of(to).unsigned_abs());
    Duration::from_micros(chance.random_range(from..=to.max(from)))
}

fn shortened(mut reason: String) -> String {
    let end = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
    reason.truncate(end.unwrap_or(0));
    reason
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn policy() -> MessagingPolicy {
        MessagingPolicy {
            event_bytes: 1 << 18,
            events: 100,
            queue_length: 1_000,
            attempts: 5,
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            max_age: Duration::from_secs(3_600),
            lease: Duration::from_secs(30),
            concurrency: 8,
            max_delay: Duration::from_secs(86_400),
            dedup_window: Duration::from_secs(86_400),
            dead_letter_retention: Duration::from_secs(86_400),
            relay_batch: 100,
            relay_interval: Duration::from_secs(5),
            database_bytes: 1 << 30,
        }
    }

    fn retry(after: Option<Duration>) -> Outcome {
        Outcome::Retry { after, reason: "503".to_owned() }
    }

    proptest! {
        #[test]
        fn a_pause_is_within_its_doubling_ceiling(failed in 0_u32..4, seed: u64) {
            let tried = Tried { failed, born_at: 0 };
            let verdict = judge(&policy(), tried, retry(None), 1_000, &mut StdRng::seed_from_u64(seed));
            let Verdict::Again { at, failed: now_failed } = verdict else { return Err(TestCaseError::fail("given up")) };
            prop_assert_eq!(now_failed, failed + 1);
            prop_assert!((1_000..=1_000 + (1_000_000_i64 << failed)).contains(&at));
        }

        #[test]
        fn a_pause_is_never_above_the_maximum(failed in 0_u32..200, seed: u64) {
            let policy = MessagingPolicy { attempts: u32::MAX, ..policy() };
            let tried = Tried { failed, born_at: 0 };
            let verdict = judge(&policy, tried, retry(None), 0, &mut StdRng::seed_from_u64(seed));
            let Verdict::Again { at, .. } = verdict else { return Err(TestCaseError::fail("given up")) };
            prop_assert!(at <= 60_000_000);
        }
    }

    #[test]
    fn pauses_fill_the_whole_range() {
        let mut chance = StdRng::seed_from_u64(7);
        let mut pause = || match judge(&policy(), Tried { failed: 3, born_at: 0 }, retry(None), 0, &mut chance) {
            Verdict::Again { at, .. } => at,
            other => panic!("{other:?}"),
        };
        let pauses: Vec<i64> = (0..1_000).map(|_| pause()).collect();
        let mean = pauses.iter().sum::<i64>() / 1_000;
        assert!((3_600_000..4_400_000).contains(&mean), "uniform between 0 and 8 s, mean {mean}");
        assert!(pauses.iter().any(|pause| *pause < 400_000) && pauses.iter().any(|pause| *pause > 7_600_000));
    }

    #[test]
    fn the_handlers_wish_is_honoured_up_to_the_maximum() {
        let mut chance = StdRng::seed_from_u64(7);
        let mut pause = |seconds| {
            let asked = retry(Some(Duration::from_secs(seconds)));
            judge(&policy(), Tried { failed: 0, born_at: 0 }, asked, 0, &mut chance)
        };
        assert_eq!(pause(17), Verdict::Again { at: 17_000_000, failed: 1 });
        assert_eq!(pause(9_999), Verdict::Again { at: 60_000_000, failed: 1 });
    }

    #[test]
    fn a_failure_of_the_host_uses_up_no_attempt_but_age_bounds_it() {
        let mut chance = StdRng::seed_from_u64(7);
        let mut fail = |now| {
            let outcome = Outcome::HostFailure { reason: "overload".to_owned() };
            judge(&policy(), Tried { failed: 4, born_at: 0 }, outcome, now, &mut chance)
        };
        assert!(matches!(fail(0), Verdict::Again { at: 500_000..=1_500_000, failed: 4 }));
        assert_eq!(fail(3_600_000_000), Verdict::Dead { failed: 4, reason: "overload".to_owned() });
    }

    #[test]
    fn the_last_attempt_and_a_refusal_end_in_the_dead_letters() {
        let mut chance = StdRng::seed_from_u64(7);
        let last = judge(&policy(), Tried { failed: 4, born_at: 0 }, retry(None), 0, &mut chance);
        assert_eq!(last, Verdict::Dead { failed: 5, reason: "503".to_owned() });
        let reject = Outcome::Reject { reason: "ü".repeat(1_024) };
        let refused = judge(&policy(), Tried { failed: 0, born_at: 0 }, reject, 0, &mut chance);
        assert_eq!(refused, Verdict::Dead { failed: 1, reason: "ü".repeat(512) });
    }
}
