//! `chassis:platform/sql` on `spin:sqlite`.
//!
//! Spin has neither transactions nor an authorizer. A batch is `begin immediate`, its steps and `commit` on a connection of
//! its own; a text is judged by its words.

pub mod batch;
pub mod connection;
pub mod error;
pub mod lexer;
pub mod limits;
pub mod outbox;
pub mod text;
