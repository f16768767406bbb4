//! Time as it is stored and as it is written.

use jiff::{SignedDuration, Timestamp, Unit};

/// Milliseconds since 1970 (UTC), as databases hold a time.
pub fn to_millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// The time of so many milliseconds since 1970 (UTC).
///
/// # Errors
/// Beyond the years -9999 to 9999.
pub fn from_millis(milliseconds: i64) -> Result<Timestamp, OutOfRange> {
    Timestamp::from_millisecond(milliseconds).map_err(|source| OutOfRange { source })
}

/// The same time without what is finer than a millisecond: what a database gives back of it.
pub fn whole_millis(time: Timestamp) -> Timestamp {
    time.round(Unit::Millisecond).unwrap_or(time)
}

/// A time later by so much; the end of time where it would be beyond it.
pub fn after(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The milliseconds do not name a time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the stored number of milliseconds is not a time")]
pub struct OutOfRange {
    #[source]
    source: jiff::Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stored_time_comes_back(ms in -62_135_596_800_000_i64..253_402_200_000_000) {
            prop_assert_eq!(to_millis(from_millis(ms).unwrap()), ms);
        }
    }

    #[test]
    fn beyond_the_end_of_time() {
        assert!(from_millis(i64::MAX).is_err());
        assert_eq!(after(Timestamp::MAX, SignedDuration::from_hours(1)), Timestamp::MAX);
    }
}
