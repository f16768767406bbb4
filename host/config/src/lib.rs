//! Reads the manifest, the runtime configuration, `chassis.toml` and the environment, and answers with a checked
//! [`plan::Plan`], or with every error at once.
//!
//! A file is read in two steps: *raw* (what it says, with the place of each word; unknown keys and wrong types are
//! found here), then *resolved* (what it means). Nothing here opens a socket, loads a component or writes a file.
//! `docs/configuration.md` says what can be written.

mod diagnostics;
mod environment;
mod load;
pub mod name;
pub mod plan;
mod raw;
mod resolve;
pub mod route;
mod settings;
mod source;
mod table;
pub mod units;

pub use diagnostics::{ConfigError, ConfigErrors, Level, Place, Warning};
pub use load::{Options, load, load_from_process};
pub use settings::{Setting, settings};
