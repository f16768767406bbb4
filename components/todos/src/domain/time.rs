//! Times as clients write them: RFC 3339, section 5.6.

use chassis_values::time::whole_millis;
use chassis_values::violation::Rule;
use jiff::Timestamp;

/// Bytes of a written time at most.
const BYTES_MAX: usize = 64;

/// Read a time, to the millisecond.
///
/// # Errors
/// It is no `date-time` of RFC 3339, or no day of the calendar.
pub fn parse(text: &str) -> Result<Timestamp, Rule> {
    let invalid = || Rule::new("invalid-time", "must be a time of RFC 3339 such as 2026-01-31T12:00:00Z");
    // The library reads more than RFC 3339 permits, such as times without seconds.
    if text.len() > BYTES_MAX || !has_the_form(text) {
        return Err(invalid());
    }
    text.parse().map(whole_millis).map_err(|_error| invalid())
}

/// `9999-99-99T99:99:99`, then a fraction, then `Z` or `+99:99`.
fn has_the_form(text: &str) -> bool {
    let Some((local, rest)) = text.split_at_checked("9999-99-99T99:99:99".len()) else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let behind = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if behind.len() == fraction.len() {
                return false;
            }
            behind
        }
        None => rest,
    };
    is_like(local, "9999-99-99T99:99:99")
        && (rest.eq_ignore_ascii_case("z") || is_like(rest, "+99:99") || is_like(rest, "-99:99"))
}

/// Whether the text has a digit at each `9` of the pattern, and the pattern's character, in whatever case, elsewhere.
fn is_like(text: &str, pattern: &str) -> bool {
    let fits = |(b, p): (u8, u8)| if p == b'9' { b.is_ascii_digit() } else { b.eq_ignore_ascii_case(&p) };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_rfc_3339_permits_is_read() {
        let read = |text: &str| parse(text).map(|time| time.to_string());
        assert_eq!(read("2026-01-31T12:00:00Z").unwrap(), "2026-01-31T12:00:00Z");
        assert_eq!(read("2026-01-31t12:00:00z").unwrap(), "2026-01-31T12:00:00Z");
        assert_eq!(read("2026-01-31T12:00:00+02:00").unwrap(), "2026-01-31T10:00:00Z");
        assert_eq!(read("2026-01-31T12:00:00.1234567-00:30").unwrap(), "2026-01-31T12:30:00.123Z");
    }

    #[test]
    fn anything_else_is_not() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+0200",
            "2026-01-31T12:00:00Z[Europe/Berlin]",
            "2026-02-30T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "+002026-01-31T12:00:00Z",
            "tomorrow",
            "1769860800",
            " 2026-01-31T12:00:00Z",
            "２０２６-01-31T12:00:00Z",
        ] {
            assert_eq!(parse(text).unwrap_err().code, "invalid-time", "{text}");
        }
        assert!(parse(&format!("2026-01-31T12:00:00.{}Z", "1".repeat(100))).is_err());
    }

    proptest! {
        #[test]
        fn a_written_time_reads_as_itself(milliseconds in -62_000_000_000_000_i64..253_000_000_000_000) {
            let time = Timestamp::from_millisecond(milliseconds).unwrap();
            prop_assert_eq!(parse(&time.to_string()).unwrap(), time);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
