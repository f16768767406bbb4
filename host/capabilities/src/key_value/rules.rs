//! What holds for every store, whatever is behind it: keys, pages, times.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis_config::plan::KeyValuePlan;
use jiff::Timestamp;

use super::KeyValueError;

/// Keys of one page.
pub(super) const PAGE_KEYS_MAX: u32 = 1_000;

/// Above the first byte of every UTF-8 text.
const BEYOND_TEXT: u8 = 0xff;

/// Bounds of one store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    key_bytes: usize,
    value_bytes: usize,
    /// Bytes of all entries together.
    pub(super) total_bytes: u64,
}

impl Rules {
    pub(super) fn new(plan: &KeyValuePlan) -> Self {
        Self {
            key_bytes: plan.key_bytes as usize,
            value_bytes: usize::try_from(plan.value_bytes).unwrap_or(usize::MAX),
            total_bytes: plan.total_bytes,
        }
    }

    pub(super) fn check_key(&self, key: &str) -> Result<(), KeyValueError> {
        if key.len() > self.key_bytes {
            return Err(KeyValueError::TooLarge(format!("a key is at most {} bytes", self.key_bytes)));
        }
        if key.is_empty() || key.contains('\0') {
            return Err(KeyValueError::Invalid("a key is not empty and holds no NUL byte".to_owned()));
        }
        Ok(())
    }

    pub(super) fn check_entry(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        self.check_key(key)?;
        if value.len() > self.value_bytes {
            return Err(KeyValueError::TooLarge(format!("a value is at most {} bytes", self.value_bytes)));
        }
        Ok(())
    }
}

/// The part of the key space that a page is taken from: `from` included, `to` excluded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

/// Where a page begins and ends. The cursor is the last key of the page before: what is inserted or deleted between
/// two pages moves nothing.
pub(super) fn page_range(prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Range, KeyValueError> {
    if limit == 0 || limit > PAGE_KEYS_MAX {
        return Err(KeyValueError::Invalid(format!("a page has 1 to {PAGE_KEYS_MAX} keys")));
    }
    let mut from = prefix.as_bytes().to_vec();
    if let Some(cursor) = cursor {
        let mut after = decode_cursor(cursor)?;
        // No key holds a NUL byte, so nothing lies between a key and the key with one more.
        after.push(0);
        from = from.max(after);
    }
    Ok(Range { from, to: end_of_prefix(prefix) })
}

/// The cursor for the page after the one that ends with `last`.
pub(super) fn encode_cursor(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

fn decode_cursor(cursor: &str) -> Result<Vec<u8>, KeyValueError> {
    let refused = || KeyValueError::Invalid("the cursor was not given by this store".to_owned());
    let key = URL_SAFE_NO_PAD.decode(cursor).map_err(|_not_base64| refused())?;
    if key.is_empty() || std::str::from_utf8(&key).is_err() {
        return Err(refused());
    }
    Ok(key)
}

/// The first bytes after every text that begins with `prefix`.
fn end_of_prefix(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        // No byte of UTF-8 text is above 0xf4, so this does not overflow.
        Some(last) => *last = last.saturating_add(1),
        None => end.push(BEYOND_TEXT),
    }
    end
}

/// A moment in microseconds since 1970.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The moment at which an entry written at `now` ceases to exist. None: never, also where it is beyond all calendars.
pub(super) fn expiry(now: i64, ttl: Option<Duration>) -> Option<i64> {
    let ttl = i64::try_from(ttl?.as_micros()).ok()?;
    now.checked_add(ttl)
}

/// Add to a value that is an integer in decimal; 0 where there is none.
pub(super) fn add(value: Option<&[u8]>, delta: i64) -> Result<i64, KeyValueError> {
    let Some(value) = value else { return Ok(delta) };
    let number: Option<i64> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.and_then(|number| number.checked_add(delta)).ok_or(KeyValueError::NotANumber)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_holds_exactly_the_keys_of_its_prefix_after_its_cursor(
            prefix in "[a-c\u{7f}\u{10ffff}]{0,3}", cursor in proptest::option::of("[a-c\u{7f}\u{10ffff}]{1,4}"), key in "[a-c\u{7f}\u{10ffff}]{1,5}",
        ) {
            let encoded = cursor.as_deref().map(encode_cursor);
            let range = page_range(&prefix, encoded.as_deref(), 1).expect("a cursor of ours");
            let within = range.from.as_slice() <= key.as_bytes() && key.as_bytes() < range.to.as_slice();
            let expected = key.starts_with(&prefix) && cursor.is_none_or(|cursor| key > cursor);
            prop_assert_eq!(within, expected);
        }

        #[test]
        fn a_foreign_cursor_never_panics(cursor in ".{0,20}") {
            let _range_or_refusal = page_range("p", Some(&cursor), 1);
        }
    }

    #[test]
    fn a_time_to_live_beyond_all_calendars_is_for_ever() {
        assert_eq!(expiry(5, Some(Duration::from_micros(7))), Some(12));
        assert_eq!(expiry(5, Some(Duration::MAX)), None);
        assert_eq!(expiry(5, None), None);
    }

    #[test]
    fn only_decimal_64_bit_integers_are_numbers() {
        assert_eq!(add(None, -3), Ok(-3));
        assert_eq!(add(Some(b"-9"), 10), Ok(1));
        for bad in [&b"1.5"[..], b"", b" 1", b"0x10", b"9223372036854775808", b"\xff"] {
            assert_eq!(add(Some(bad), 0), Err(KeyValueError::NotANumber), "{bad:?}");
        }
        assert_eq!(add(Some(b"9223372036854775807"), 1), Err(KeyValueError::NotANumber));
    }
}
