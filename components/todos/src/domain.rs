//! What is decided about todos. Time, randomness and what is stored are arguments.

pub mod conditions;
pub mod ids;
pub mod listing;
pub mod patch;
pub mod time;
pub mod todo;
pub mod words;
