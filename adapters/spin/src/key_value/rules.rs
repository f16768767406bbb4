//! What holds for every store: keys, values, pages, times. The defaults of Chassis.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::bindings::key_value::Error;

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;

/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Keys of one page.
pub const PAGE_KEYS_MAX: u32 = 1_000;

/// # Errors
/// `too-large`; `invalid`.
pub fn check_key(key: &str) -> Result<(), Error> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::TooLarge(format!("a key is at most {KEY_BYTES_MAX} bytes")));
    }
    if key.is_empty() || key.contains('\0') {
        return Err(Error::Invalid("a key is not empty and holds no NUL byte".to_owned()));
    }
    Ok(())
}

/// # Errors
/// `too-large`.
pub fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::TooLarge(format!("a value is at most {VALUE_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// # Errors
/// `invalid`.
pub fn check_limit(limit: u32) -> Result<usize, Error> {
    let usable = usize::try_from(limit).ok().filter(|_| (1..=PAGE_KEYS_MAX).contains(&limit));
    usable.ok_or_else(|| Error::Invalid(format!("a page has 1 to {PAGE_KEYS_MAX} keys")))
}

/// The cursor for the page after the one that ends with `last`.
pub fn encode_cursor(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// The last key of the page before.
///
/// # Errors
/// `invalid`, as Chassis answers to a cursor that is not its own.
pub fn decode_cursor(cursor: &str) -> Result<String, Error> {
    let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|key| String::from_utf8(key).ok());
    key.filter(|key| !key.is_empty()).ok_or_else(|| Error::Invalid("the cursor was not given by this store".to_owned()))
}

/// The moment at which an entry written at `now` ceases to exist. None: never, also where it is beyond all calendars.
pub fn expiry(now: i64, ttl_ms: Option<u64>) -> Option<i64> {
    let ttl = i64::try_from(ttl_ms?).ok()?.checked_mul(1_000)?;
    now.checked_add(ttl)
}

/// Add to a value that is an integer in decimal; 0 where there is none.
///
/// # Errors
/// `not-a-number`, also where the sum does not fit.
pub fn add(value: Option<&[u8]>, delta: i64) -> Result<i64, Error> {
    let Some(value) = value else { return Ok(delta) };
    let number: Option<i64> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.and_then(|number| number.checked_add(delta)).ok_or(Error::NotANumber)
}
