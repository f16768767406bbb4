//! The public side of the host: accepts connections, checks and names requests, finds the component that a path belongs
//! to, and sends what it answers.
//!
//! It knows no component by name and nothing of wasm: requests go through [`chassis_engine::api::Dispatch`]. In the
//! order in which a request meets them:
//!
//! - `server`: the listener, connections, draining; `connection`: a stream that does not wait for ever
//! - `app`: the story of a request; `exchange`: its names, log line and metrics; `trace`: W3C trace context
//! - `head` and `path`: what is refused, taken away and added before anybody sees a request
//! - `edge`: cross-origin permissions, compression, security headers
//! - `health` and `problem`: the host's own resources
//! - `dispatch` and `body`: to the component and back, with limits on bytes and time

mod app;
mod body;
mod connection;
mod dispatch;
mod edge;
mod exchange;
mod head;
mod health;
mod path;
mod problem;
mod server;
mod trace;

pub use edge::OriginError;
pub use problem::{PROBLEMS, ProblemType};
pub use server::{Drained, ServeError, Settings, serve};
