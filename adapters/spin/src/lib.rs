//! `chassis:platform` on the interfaces of Spin 4.1, as a component that Spin composes with those that import it.
//!
//! `bindings` says what is offered and what it is made of; `component` binds the two. All that decides is plain code over
//! small traits, so that it runs natively, in tests, on SQLite itself. What is weaker than under Chassis is listed in
//! `docs/spin.md`.

pub mod bindings;
pub mod config;
pub mod key_value;
pub mod mail;
pub mod messaging;
pub mod sql;

#[cfg(target_arch = "wasm32")]
mod component;
