//! Typed ids: a prefix that names the kind, and a UUIDv7 (RFC 9562) in 32 hexadecimal digits, such as
//! `usr_0197a5c0f2b47c3e8a1b2c3d4e5f6071`. They sort by the time of their making.

use jiff::Timestamp;
use uuid::Uuid;

/// Random bits that one id takes: the caller brings them, because domain code has no source of its own.
pub type Random = [u8; 10];

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that begins with `{prefix}_` and has 32 lower-case hexadecimal digits")]
pub struct InvalidId {
    /// The prefix of the expected kind, without its underscore.
    pub prefix: &'static str,
}

/// The text of a new id. Times before 1970 count as 1970.
pub fn new_text(prefix: &str, now: Timestamp, random: Random) -> String {
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid();
    format!("{prefix}_{}", uuid.simple())
}

/// Check that a text is an id with this prefix, in the one spelling that [`new_text`] makes.
///
/// # Errors
/// Another prefix, another length, upper-case digits, or a UUID that is not of version 7.
pub fn check_text(prefix: &'static str, text: &str) -> Result<(), InvalidId> {
    let invalid = InvalidId { prefix };
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(invalid)?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() != 32 || !digits.bytes().all(is_hex) {
        return Err(invalid);
    }
    match Uuid::try_parse(digits) {
        Ok(uuid) if uuid.get_version_num() == 7 => Ok(()),
        Ok(_) | Err(_) => Err(invalid),
    }
}

/// Define an id type: `typed_id! { /// A user. pub struct UserId = "usr"; }`.
///
/// The type has `new(now, random)`, `parse(text)`, `as_str()`, and is written and read by serde as its text.
#[macro_export]
macro_rules! typed_id {
    ($(#[$meta:meta])* $vis:vis struct $name:ident = $prefix:literal;) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(String);

        impl $name {
            /// What every id of this kind begins with, without the underscore.
            $vis const PREFIX: &'static str = $prefix;

            /// A new id, made of a time and of random bits.
            $vis fn new(now: $crate::jiff::Timestamp, random: $crate::id::Random) -> Self {
                Self($crate::id::new_text(Self::PREFIX, now, random))
            }

            /// Read an id.
            ///
            /// # Errors
            /// The text is not an id of this kind.
            $vis fn parse(text: &str) -> Result<Self, $crate::id::InvalidId> {
                $crate::id::check_text(Self::PREFIX, text).map(|()| Self(text.to_owned()))
            }

            /// Its text.
            $vis fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as $crate::serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err($crate::serde::de::Error::custom)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    typed_id! {
        /// A thing of this test.
        struct ThingId = "thing";
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    proptest! {
        #[test]
        fn an_id_reads_as_itself(ms in 0_i64..253_402_200_000_000, random: [u8; 10]) {
            let id = ThingId::new(at(ms), random);
            prop_assert_eq!(ThingId::parse(id.as_str()).unwrap(), id);
        }

        #[test]
        fn later_ids_sort_later(ms in 0_i64..253_402_100_000_000, gap in 1_i64..1_000_000, a: [u8; 10], b: [u8; 10]) {
            prop_assert!(ThingId::new(at(ms), a) < ThingId::new(at(ms + gap), b));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = ThingId::parse(&text);
        }
    }

    #[test]
    fn other_kinds_and_spellings_are_refused() {
        let id = ThingId::new(at(1_700_000_000_000), [7; 10]);
        let digits = id.as_str().trim_start_matches("thing_").to_owned();
        for text in [
            digits.clone(),
            format!("usr_{digits}"),
            format!("thing_{}", digits.to_uppercase()),
            format!("thing_{digits}0"),
            format!("thing-{digits}"),
            "thing_018cc8cc7c004000800000000000abcd".to_owned(),
            "thing_".to_owned(),
            String::new(),
        ] {
            assert!(ThingId::parse(&text).is_err(), "{text} was read as an id");
        }
    }

    #[test]
    fn serde_carries_the_text() {
        let id = ThingId::new(at(1_700_000_000_000), [7; 10]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<ThingId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<ThingId>("\"usr_1\"").is_err());
    }
}
