//! What a server said, and what follows from it.

use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::response::Response;

use crate::mail::MailError;

/// Bytes of a server's words that are kept.
const WORDS_BYTES_MAX: usize = 512;

/// Refusals of the conversation, not of what was said in it: 421 may come at any time and is the last word, 503 says that
/// the two sides disagree where they are, 530 that the server wants a user and a password first.
const ENDING: [u16; 3] = [421, 503, 530];

/// Why a step of a transaction was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said no to the message, or to somebody that it is for or from.
    Refused {
        /// 4xx or 5xx.
        code: u16,
        /// All that it said.
        words: String,
    },
    /// The connection is of no further use.
    Broken(String),
}

impl Failure {
    /// No answer came in time.
    pub(super) fn silence(what: &str, time: Duration) -> Self {
        Self::Broken(format!("{what}: no answer within {time:?}"))
    }

    /// A step failed.
    pub(super) fn of(what: &str, error: &Error) -> Self {
        let words = plain(&format!("{what}: {error}"));
        match error.status().map(u16::from) {
            Some(code) if !ENDING.contains(&code) => Self::Refused { code, words },
            _ => Self::Broken(words),
        }
    }

    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    pub(super) const fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused { code: 500..=599, .. })
    }
}

impl From<Failure> for MailError {
    fn from(failure: Failure) -> Self {
        let permanent = failure.is_permanent();
        match failure {
            Failure::Refused { words, .. } if permanent => Self::Permanent(words),
            Failure::Refused { words, .. } | Failure::Broken(words) => Self::Temporary(words),
        }
    }
}

/// The words of a server that agreed.
pub(super) fn words_of(response: &Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    plain(&format!("{} {}", response.code(), lines.join(" ")))
}

/// A text for a log line: without control characters, and not too long.
pub(super) fn plain(text: &str) -> String {
    let end = text.floor_char_boundary(WORDS_BYTES_MAX);
    text.get(..end).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
