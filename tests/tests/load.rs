//! Do components keep their promises under load? Alone in its suite, so that nobody else takes the machine meanwhile.

#[path = "load/beside.rs"]
mod beside;
