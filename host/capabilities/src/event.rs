//! Events as the host carries them: CloudEvents 1.0.

mod draft;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An event that is on its way. The host has set `id`, `source` and `time`; a guest cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// CloudEvents `id`: a UUIDv7, unique over all events.
    pub id: String,
    /// CloudEvents `source`: `/components/<name>`.
    pub source: String,
    /// CloudEvents `type`, such as `todo.created`.
    pub event_type: String,
    /// CloudEvents `subject`. Order is promised per subject.
    pub subject: Option<String>,
    /// CloudEvents `time`: when it was published.
    pub time: Timestamp,
    /// A JSON document.
    pub data: String,
    /// Not to be delivered before.
    pub not_before: Option<Timestamp>,
    /// 0 (lowest) to 9 (highest).
    pub priority: u8,
    /// A second event with the same key of the same source within the window is dropped.
    pub dedup_key: Option<String>,
    /// W3C `traceparent` of the request that published it.
    pub traceparent: Option<String>,
}

pub use self::draft::matches;
pub(crate) use self::draft::{Refusal, seal};

/// Priority where none is given.
pub const DEFAULT_PRIORITY: u8 = 4;
