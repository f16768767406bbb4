//! `chassis:platform/key-value` on `wasi:keyvalue`, which Spin offers for its stores.
//!
//! A value is stored with its version and the end of its time ([`entry`]). What decides and then writes does so by
//! compare-and-swap, and again where another was faster.

pub mod entry;
pub mod operations;
pub mod rules;
