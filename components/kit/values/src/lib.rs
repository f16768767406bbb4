//! Plain values that the domain rooms of components share.
//!
//! Everything here is a type or a pure function: no clock, no randomness, no host. That is why it is a crate of its
//! own: a component's `domain` compiles natively with it, and cannot reach I/O through it even by mistake.
//! What talks to the host, or to HTTP, is in `chassis-kit`.

pub mod cursor;
pub mod etag;
pub mod fingerprint;
pub mod id;
pub mod idempotency;
pub mod page;
pub mod patch;
pub mod text;
pub mod time;
pub mod violation;

#[doc(hidden)]
pub use jiff;
#[doc(hidden)]
pub use serde;
