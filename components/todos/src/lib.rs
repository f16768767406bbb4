//! Things to do, each of one user.
//!
//! Natively only [`domain`] exists: what is decided, without any I/O. The other rooms exist in wasm: `component` binds
//! the crate to its world and asks who calls, `routes` and `handlers` are the HTTP surface, `store` holds the only SQL,
//! `events` what is published, `error` what clients see.
//! Nothing here knows accounts: a user is an id that `chassis:auth/identity` vouches for.

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
