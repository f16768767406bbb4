//! Accounts, sessions and tokens.
//!
//! Natively only [`domain`] exists: what is decided, without any I/O. The other rooms exist in wasm: `component` binds
//! the crate to its world (HTTP, and the typed interface that other components call), `routes` and `handlers` are the
//! HTTP surface, `store` holds the only SQL and the keys read from it, `events` what is published, `error` what
//! clients see. Nothing here sends mail: whoever wants to greet a user consumes `user.registered`.

pub mod domain;

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(target_arch = "wasm32")]
mod error;
#[cfg(target_arch = "wasm32")]
mod events;
#[cfg(target_arch = "wasm32")]
mod handlers;
#[cfg(target_arch = "wasm32")]
mod routes;
#[cfg(target_arch = "wasm32")]
mod store;
