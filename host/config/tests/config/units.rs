//! Sizes and durations.

use std::time::Duration;

use chassis_config::units::{format_duration, format_size, parse_duration, parse_size};
use proptest::prelude::*;

#[test]
fn sizes_are_read() {
    let cases = [("0B", 0), ("1B", 1), ("1KiB", 1024), ("64MiB", 64 << 20), ("4GiB", 4 << 30), (" 2 KiB ", 2048)];
    for (text, bytes) in cases {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for text in
        ["", "1", "MiB", "1MB", "1kib", "-1B", "1.5MiB", "1 M", "99999999999999999999B", "18446744073709551615KiB"]
    {
        assert!(parse_size(text).is_err(), "{text}");
    }
}

#[test]
fn durations_are_read() {
    let cases = [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000), ("0s", 0)];
    for (text, milliseconds) in cases {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "5", "s", "1.5s", "-1s", "1min", "1 S", "99999999999999999999s", "18446744073709551615d"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_size_survives_being_written(bytes: u64, unit in 0u32..4) {
        let bytes = (bytes >> 34) << (unit * 10);
        prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
    }

    #[test]
    fn any_size_survives_being_written(bytes: u64) {
        prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
    }

    #[test]
    fn a_duration_survives_being_written(milliseconds: u64, unit in prop::sample::select(vec![1, 1000, 60_000, 3_600_000, 86_400_000])) {
        let duration = Duration::from_millis((milliseconds >> 30) * unit);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in ".*") {
        let _size = parse_size(&text);
        let _duration = parse_duration(&text);
    }

    #[test]
    fn a_number_without_unit_is_neither(number: u64) {
        prop_assert!(parse_size(&number.to_string()).is_err());
        prop_assert!(parse_duration(&number.to_string()).is_err());
    }
}
