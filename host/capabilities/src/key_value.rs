//! Keys and values with a time to live.

mod cache;
mod durable;
mod host;
mod purge;
mod rules;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::backlog::Weighed;

pub use self::cache::CacheStore;
pub use self::durable::DurableStore;

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Changes with every write of this key; never 0, and never the same again for this key, even after a delete.
    pub version: u64,
}

/// The outcome of a compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapOutcome {
    /// Written; the new version.
    Swapped(u64),
    /// The key has another version, or does not exist.
    Stale(Option<Entry>),
}

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The keys, in byte order.
    pub keys: Vec<String>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Whether a write overwrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetMode {
    /// Write in any case.
    Always,
    /// Write only where the key does not exist.
    IfAbsent,
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// A limit of the host was exceeded.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A key, a cursor or a limit breaks its rule.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The value is no decimal integer, or the sum does not fit 64 bits.
    #[error("the value is not a 64-bit integer written in decimal")]
    NotANumber,
    /// The store takes no more work now.
    #[error("busy, try again in {0:?}")]
    Busy(Duration),
    /// The backend failed; the text is for the log.
    #[error("internal: {0}")]
    Internal(String),
}

/// One store of one component.
///
/// Every operation is atomic. A key has 1 to `key_bytes` bytes and no NUL byte; an entry whose time to live has passed
/// does not exist in any answer.
#[async_trait]
pub trait KeyValueBackend: Debug + Send + Sync {
    /// Read.
    async fn get(&self, key: &str) -> Result<Option<Entry>, KeyValueError>;
    /// Write; false where `mode` forbade it.
    async fn set(
        &self,
        key: &str,
        value: Weighed<Vec<u8>>,
        ttl: Option<Duration>,
        mode: SetMode,
    ) -> Result<bool, KeyValueError>;
    /// Delete; whether the key existed.
    async fn delete(&self, key: &str) -> Result<bool, KeyValueError>;
    /// Add to an integer that starts at 0. `ttl` counts from the first increment and is not prolonged by later ones.
    async fn increment(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, KeyValueError>;
    /// Write where the version is still `version`; 0 stands for «does not exist».
    async fn swap(
        &self,
        key: &str,
        version: u64,
        value: Weighed<Vec<u8>>,
        ttl: Option<Duration>,
    ) -> Result<SwapOutcome, KeyValueError>;
    /// Keys with a prefix, in byte order. `limit` is 1 to 1000. A key that exists during the whole listing is in exactly
    /// one of its pages, whatever is written between them.
    async fn list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, KeyValueError>;
    /// End: what was accepted is finished, later calls are refused where anything is kept.
    async fn close(&self);
}
