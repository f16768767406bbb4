//! The guest SDK that all components share. It knows none of them.
//!
//! A component is an axum router behind `wasi:http/handler` and a value that implements [`Component`]; [`serve!`]
//! binds the two to the host. Beside that: [`db`] (queries and guarded batches), [`problem`] (RFC 9457),
//! [`json`], [`paging`], [`preconditions`], [`idempotency`], [`events`] (publishing and consuming), [`user`]
//! (who is calling), [`alias`] (older spellings of paths), [`health`], [`log`].
//!
//! What is pure lives in `chassis-values`, which a component's domain room uses without this crate, and is
//! re-exported here as [`values`].

pub mod alias;
pub mod bindings;
pub mod db;
pub mod environment;
pub mod events;
pub mod health;
pub mod idempotency;
pub mod json;
pub mod log;
pub mod openapi;
pub mod paging;
pub mod preconditions;
pub mod problem;
pub mod routes;
pub mod serve;
pub mod service;
pub mod trace;
pub mod user;

pub use axum;
pub use chassis_values as values;
#[doc(hidden)]
pub use pastey;
#[doc(hidden)]
pub use spin_sdk;
pub use utoipa;
pub use wit_bindgen;

pub use crate::db::{Batch, Db, DbError, sql};
pub use crate::environment::Environment;
pub use crate::json::Json;
pub use crate::problem::{Problem, ProblemType};
pub use crate::service::{Component, Service};
pub use crate::user::{CurrentUser, Identity, Verifier, VerifyError};
