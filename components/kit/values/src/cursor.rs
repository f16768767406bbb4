//! Opaque cursors: where the next page of a listing begins.
//!
//! A cursor carries the sort key of the last item, so a page stays right while items come and go. It is checked, not
//! secret: it names its listing, and a checksum refuses what was cut off, mistyped or taken from another listing.
//! It opens nothing that its bearer could not read anyway, because every query also asks for the owner.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Characters of a cursor at most.
pub const CURSOR_CHARACTERS_MAX: usize = 1024;

const CHECKSUM_BYTES: usize = 8;

/// The text is not a cursor of this listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that this listing gave out")]
pub struct InvalidCursor;

/// Write a cursor.
///
/// `listing` names what is listed and how it is sorted and filtered, such as `todos?status=open`: a cursor of one
/// listing is refused by another. `key` is the sort key of the last item.
///
/// # Errors
/// The key cannot be written as JSON, or is too long.
pub fn encode<K: Serialize>(listing: &str, key: &K) -> Result<String, InvalidCursor> {
    let body = serde_json::to_vec(key).map_err(|_error| InvalidCursor)?;
    let mut bytes = checksum(listing, &body).to_vec();
    bytes.extend_from_slice(&body);
    let text = URL_SAFE_NO_PAD.encode(bytes);
    if text.len() > CURSOR_CHARACTERS_MAX { Err(InvalidCursor) } else { Ok(text) }
}

/// Read a cursor of this listing.
///
/// # Errors
/// The text was not made by [`encode`] for this listing.
pub fn decode<K: DeserializeOwned>(listing: &str, text: &str) -> Result<K, InvalidCursor> {
    if text.len() > CURSOR_CHARACTERS_MAX {
        return Err(InvalidCursor);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_error| InvalidCursor)?;
    let (given, body) = bytes.split_at_checked(CHECKSUM_BYTES).ok_or(InvalidCursor)?;
    if given != checksum(listing, body) {
        return Err(InvalidCursor);
    }
    serde_json::from_slice(body).map_err(|_error| InvalidCursor)
}

fn checksum(listing: &str, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new().chain_update(listing.as_bytes()).chain_update([0]).chain_update(body).finalize();
    let mut short = [0; CHECKSUM_BYTES];
    for (to, from) in short.iter_mut().zip(digest) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_reads_as_itself(listing in "\\PC{0,40}", time: i64, id in "\\PC{0,60}") {
            let text = encode(&listing, &(time, id.clone())).unwrap();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(decode::<(i64, String)>(&listing, &text).unwrap(), (time, id));
        }

        #[test]
        fn another_listing_refuses_it(a in "[a-z]{1,10}", b in "[a-z]{1,10}", time: i64) {
            prop_assume!(a != b);
            let text = encode(&a, &time).unwrap();
            prop_assert_eq!(decode::<i64>(&b, &text), Err(InvalidCursor));
        }

        #[test]
        fn one_changed_character_is_refused(time: i64, at: prop::sample::Index, by in "[A-Za-z0-9_-]") {
            let text = encode("todos", &time).unwrap();
            let at = at.index(text.len());
            let mut changed = text.clone();
            changed.replace_range(at..=at, &by);
            prop_assume!(changed != text);
            prop_assert_eq!(decode::<i64>("todos", &changed), Err(InvalidCursor));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            prop_assert!(decode::<i64>("todos", &text).is_err());
        }
    }

    #[test]
    fn long_texts_are_refused_unread() {
        assert_eq!(decode::<i64>("todos", &"A".repeat(CURSOR_CHARACTERS_MAX + 1)), Err(InvalidCursor));
        assert_eq!(encode("todos", &"x".repeat(2000)), Err(InvalidCursor));
    }
}
