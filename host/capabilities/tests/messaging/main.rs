//! What every messaging backend promises, and what the embedded one promises beyond that.
//!
//! A new backend implements [`bench::Factory`] and is named in [`contract`], [`races`] and [`history`].

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support/abandoned.rs"]
mod abandoned;
mod bench;
mod contract;
mod delivery;
mod embedded;
mod history;
mod kill;
mod letters;
mod races;
#[path = "../support/victim.rs"]
mod victim;
mod waiting;
