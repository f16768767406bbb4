//! What every key-value store promises, and what each of them promises beyond that.
//!
//! A new backend implements [`bench::Factory`] and is named in [`contract`], [`races`] and [`model`].

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
mod kill;
mod model;
mod races;
mod special;
#[path = "../support/victim.rs"]
mod victim;
