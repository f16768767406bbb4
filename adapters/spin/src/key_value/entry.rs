//! How a value is stored: one byte for the format, eight for the version, eight for the end of its time, then the value.
//!
//! Numbers are big-endian. The end is in microseconds since 1970 (UTC); the largest number means never.

use crate::bindings::key_value::Entry;

const FORMAT: u8 = 1;
const NEVER: i64 = i64::MAX;

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The value and its version.
    pub entry: Entry,
    /// When it ceases to exist, in microseconds since 1970.
    pub expires_at: Option<i64>,
}

/// The bytes that a store keeps.
pub fn encode(stored: &Stored) -> Vec<u8> {
    let Stored { entry, expires_at } = stored;
    let mut bytes = vec![FORMAT];
    bytes.extend(entry.version.to_be_bytes());
    bytes.extend(expires_at.unwrap_or(NEVER).to_be_bytes());
    bytes.extend(&entry.value);
    bytes
}

/// What such bytes hold; none for what was not written by [`encode`].
pub fn decode(bytes: &[u8]) -> Option<Stored> {
    let (&FORMAT, rest) = bytes.split_first()? else { return None };
    let (version, rest) = rest.split_first_chunk()?;
    let (expires_at, value) = rest.split_first_chunk()?;
    let expires_at = Some(i64::from_be_bytes(*expires_at)).filter(|at| *at != NEVER);
    Some(Stored { entry: Entry { value: value.to_vec(), version: u64::from_be_bytes(*version) }, expires_at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_stored_is_read(value: Vec<u8>, version: u64, expires_at in proptest::option::of(i64::MIN..i64::MAX)) {
            let stored = Stored { entry: Entry { value, version }, expires_at };
            prop_assert_eq!(decode(&encode(&stored)), Some(stored));
        }

        #[test]
        fn other_bytes_are_known_as_such(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            prop_assert_eq!(decode(&bytes), None);
        }
    }
}
