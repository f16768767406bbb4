//! Idempotency keys: the same request twice is done once, and answered twice with the same answer.
//!
//! A record of a request is a step of the batch that does its work, so it exists exactly if the work was done. Here is
//! what can be decided without a database; `chassis-kit` reads and writes the records.

use jiff::{SignedDuration, Timestamp};

use crate::time;

/// Characters of a key at most.
pub const KEY_CHARACTERS_MAX: usize = 255;
/// How long a record is kept; the same key means a new request afterwards.
pub const RETENTION: SignedDuration = SignedDuration::from_hours(24);

/// The header's value cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key must be 1 to {KEY_CHARACTERS_MAX} visible ASCII characters, bare or in double quotes")]
pub struct InvalidKey;

/// A key that a client chose. Bare and quoted spellings of one key are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Read the header's value: an sf-string (RFC 8941) or the bare text that many clients send.
    ///
    /// # Errors
    /// Empty, too long, or with characters that are not visible ASCII.
    pub fn parse(value: &str) -> Result<Self, InvalidKey> {
        let value = value.trim();
        let text = match value.strip_prefix('"') {
            Some(rest) => unquote(rest.strip_suffix('"').ok_or(InvalidKey)?)?,
            None => value.to_owned(),
        };
        let visible = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
        if text.is_empty() || text.len() > KEY_CHARACTERS_MAX || !visible { Err(InvalidKey) } else { Ok(Self(text)) }
    }

    /// The key without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn unquote(inner: &str) -> Result<String, InvalidKey> {
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | '"')) => text.push(escaped),
                Some(_) | None => return Err(InvalidKey),
            },
            '"' => return Err(InvalidKey),
            other => text.push(other),
        }
    }
    Ok(text)
}

/// Whose key it is: the same key of another subject, or for another route, is another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The user's id, or a word for those who are not logged in.
    pub subject: String,
    /// Method and route, such as `POST /api/v1/todos`.
    pub route: String,
}

/// An answer that can be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status, 200 to 499: an answer of 5xx is never kept.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// What was done under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Fingerprint of the request's body.
    pub fingerprint: String,
    /// What was answered.
    pub answer: Answer,
    /// Names the one request that did the work, so that a request can recognise its own record.
    pub nonce: String,
    /// When the record ceases to count.
    pub expires_at: Timestamp,
}

/// What to do with a request that has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextAction {
    /// Nothing was done under this key yet.
    Proceed,
    /// It was done: answer the same again.
    Replay(Record),
    /// The key was used for another body: refuse.
    Mismatch,
}

/// Decide by the record of a key, if there is one.
pub fn decide(record: Option<Record>, fingerprint: &str, now: Timestamp) -> NextAction {
    match record {
        Some(record) if record.expires_at <= now => NextAction::Proceed,
        Some(record) if record.fingerprint == fingerprint => NextAction::Replay(record),
        Some(_) => NextAction::Mismatch,
        None => NextAction::Proceed,
    }
}

/// When a record made now ceases to count.
pub fn expiry(now: Timestamp) -> Timestamp {
    time::after(now, RETENTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(fingerprint: &str, expires_at: Timestamp) -> Record {
        let answer = Answer { status: 201, headers: vec![], body: "{}".into() };
        Record { fingerprint: fingerprint.into(), answer, nonce: "n".into(), expires_at }
    }

    #[test]
    fn quoted_and_bare_are_one_key() {
        assert_eq!(Key::parse("\"abc\""), Key::parse("abc"));
        assert_eq!(Key::parse(r#""a\"b\\c""#).unwrap().as_str(), r#"a"b\c"#);
    }

    #[test]
    fn what_is_no_key() {
        let long = "k".repeat(256);
        for text in ["", "  ", "\"\"", "\"abc", "\"a\"b\"", "\"a\\x\"", "ä", "a\u{7}b", long.as_str()] {
            assert_eq!(Key::parse(text), Err(InvalidKey), "{text}");
        }
        assert!(Key::parse(&"k".repeat(255)).is_ok());
    }

    #[test]
    fn the_next_action() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let live = record("f", expiry(now));
        assert_eq!(decide(None, "f", now), NextAction::Proceed);
        assert_eq!(decide(Some(live.clone()), "f", now), NextAction::Replay(live.clone()));
        assert_eq!(decide(Some(live), "other", now), NextAction::Mismatch);
        assert_eq!(decide(Some(record("f", now)), "f", now), NextAction::Proceed);
    }

    proptest! {
        #[test]
        fn every_visible_text_survives_quoting(text in "[ -~]{1,255}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let key = Key::parse(&quoted).unwrap();
            prop_assert_eq!(key.as_str(), text.as_str());
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Key::parse(&text);
        }
    }
}
