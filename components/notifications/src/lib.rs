//! Mail that follows events.
//!
//! Natively only [`domain`] exists: what is decided and how a mail reads, without any I/O. The other rooms exist in
//! wasm: `component` binds the crate to its world, `events` says what is consumed, `handlers` turn an event into a mail,
//! `store` holds the only SQL, `error` is what the host sees of a failure, `routes` is empty for now.
//! Nothing here asks another component: addresses are kept from events.

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
