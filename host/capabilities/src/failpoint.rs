//! Points at which a host dies on purpose, so that a test can show what survives.
//!
//! They exist in a host that is built with the feature `failpoints`, and in no other: without it every function here does
//! nothing, and is compiled to nothing.

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use self::armed::{VARIABLE, arm, configure, pass};
#[cfg(feature = "failpoints")]
pub(crate) use self::armed::{disk_is_full, synchronous_is_off};

/// A moment after which something has happened that nobody has been told of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The steps of a component's batch are applied, and nothing is committed.
    BatchApplied,
    /// A component's batch is committed, and nobody has been answered.
    Committed,
    /// Events of an outbox are in their queues, and still in the outbox.
    MovedToMessaging,
    /// A component has handled an event, and its queue has not heard of it.
    Delivered,
    /// A mail is in the mailbox or with the SMTP server, and its sender has not been answered.
    MailAccepted,
    /// A write-ahead log has been copied into its database, and nothing of that is synced.
    Checkpoint,
}

/// The variable that tells which points are armed; none in a host that has none.
#[cfg(not(feature = "failpoints"))]
pub const VARIABLE: Option<&str> = None;

/// From here on passings are counted: the host is ready.
#[cfg(not(feature = "failpoints"))]
pub const fn arm() {}

/// Pass a point: the process dies here if the point is armed and it is its turn.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn pass(_point: Point) {}

/// Whether SQLite is told not to sync.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn synchronous_is_off() -> bool {
    false
}

/// Whether the disk takes no more bytes.
#[cfg(all(test, not(feature = "failpoints")))]
pub(crate) const fn disk_is_full() -> bool {
    false
}
