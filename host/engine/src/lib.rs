//! Loads components, lends them what they were granted, and runs them: the only doors into wasm.
//!
//! A request takes this way: [`host`] finds the component and its lane, `component` admits it, `pool` finds an instance
//! or starts one, `worker` drives the instance, `serve` runs the request in it, `exchange` carries the answer back.

pub mod api;
pub mod artifact;
pub mod compiler;
pub mod host;
pub mod link;
pub mod migrations;

mod call;
mod component;
mod exchange;
mod files;
mod guest_log;
mod lanes;
mod memory_limit;
mod meter;
mod outbound;
mod pool;
mod probe;
mod runtime;
mod serve;
mod state;
mod version;
mod worker;
