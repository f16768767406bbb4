//! The worker on the embedded backends, with handlers of the test's own at the door of the engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

mod delivery;
mod exactly_once;
mod flaky;
mod form;
mod relay;
mod shutdown;
mod support;
