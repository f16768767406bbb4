//! What a component can be lent: SQL, key-value stores, messaging, mail and configuration.
//!
//! One room per capability, each with the same parts: plain types and a backend trait (`sql.rs`), the WIT
//! implementation with its grant check (`sql/host.rs`), the backends (`sql/sqlite.rs`, ...) and one contract suite that
//! every backend passes (`tests/`). No room knows which component calls it: it sees a [`lent::Lent`].

pub mod backlog;
mod bindings;
pub mod clock;
pub mod conduct;
pub mod config;
pub mod event;
pub mod failpoint;
pub mod key_value;
pub mod lender;
pub mod lent;
pub mod log;
pub mod mail;
pub mod messaging;
pub mod sql;
pub mod sqlite_file;
pub mod trusted_folder;
