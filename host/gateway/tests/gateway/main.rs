//! The gateway through real sockets, with a component in the test's own process behind the engine's trait.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on ends here"
)]

mod client;
mod component;
mod harness;

mod edge;
mod health;
mod lifecycle;
mod limits;
mod observation;
mod outcomes;
mod paths;
mod smuggling;
mod streaming;
