//! Names that were checked once.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A component's name: kebab-case, as Spin's manifest asks. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ComponentName(Arc<str>);

/// The label of a database or a key-value store: `[a-z0-9][a-z0-9_-]*`, at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Label(Arc<str>);

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("«{name}» is not {rule}")]
pub struct NameError {
    name: String,
    rule: &'static str,
}

const NAME_BYTES_MAX: usize = 64;

impl ComponentName {
    /// Check a name.
    ///
    /// # Errors
    /// Where it is not kebab-case (`[a-z][a-z0-9]*(-[a-z0-9]+)*`) of at most 64 bytes.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let starts = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if starts && name.len() <= NAME_BYTES_MAX && name.split('-').all(word) {
            Ok(Self(name.into()))
        } else {
            Err(NameError { name: name.to_owned(), rule: "a component name: kebab-case, at most 64 bytes" })
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Label {
    /// Check a label.
    ///
    /// # Errors
    /// Where it is not `[a-z0-9][a-z0-9_-]*` of at most 64 bytes.
    pub fn parse(label: &str) -> Result<Self, NameError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts = label.bytes().next().is_some_and(plain);
        if starts && label.len() <= NAME_BYTES_MAX && label.bytes().all(|b| plain(b) || b == b'-' || b == b'_') {
            Ok(Self(label.into()))
        } else {
            Err(NameError { name: label.to_owned(), rule: "a label: [a-z0-9][a-z0-9_-]*, at most 64 bytes" })
        }
    }

    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
