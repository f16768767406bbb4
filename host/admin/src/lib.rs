//! The operator's side of the host: a listener of its own, where whoever holds a token can look into what runs and act on
//! it. Clients of the application never reach it.
//!
//! - `server`: the listener, and where it may be
//! - `api`: the routes and what each role may do; `inspect`, `queues`, `mail` and `access` answer them
//! - `token` and `store`: who may call, and the file that says so
//! - `problem`: what is answered to everybody else
//!
//! It reads no SQL and knows no backend: everything comes through the traits of the other rooms.

mod access;
mod api;
mod inspect;
mod mail;
mod problem;
mod queues;
mod server;
mod store;
mod token;

pub use api::{MetricsSource, Sources};
pub use server::{ServeError, serve};
pub use store::{StoreError, TokenStore};
pub use token::{Role, TokenSummary};
