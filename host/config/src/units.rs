//! Sizes and durations as people write them: `64MiB`, `500ms`.

use std::time::Duration;

/// A size or duration that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("a size is a whole number with a unit: B, KiB, MiB or GiB, such as \"64MiB\"")]
    Size,
    /// Not a duration.
    #[error("a duration is a whole number with a unit: ms, s, m, h or d, such as \"30s\"")]
    Duration,
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// In milliseconds.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Read a size, in bytes. `1KiB` is 1024 bytes; there are no decimal units, so that no two readings are possible.
///
/// # Errors
/// Where it is not a whole number with one of the units, or does not fit into 64 bits.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES).ok_or(UnitError::Size)
}

/// Read a duration, to the millisecond.
///
/// # Errors
/// Where it is not a whole number with one of the units, or its milliseconds do not fit into 64 bits.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATIONS).map(Duration::from_millis).ok_or(UnitError::Duration)
}

/// Write a size in the largest unit that loses nothing.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    format(bytes, &SIZES)
}

/// Write a duration in the largest unit that loses nothing. What is finer than a millisecond is left out.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    format(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn format(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| amount != 0 && amount.is_multiple_of(*factor);
    match units.iter().find(fits).or(units.last()) {
        Some((unit, factor)) => format!("{}{unit}", amount / factor),
        None => amount.to_string(),
    }
}
