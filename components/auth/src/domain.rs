//! What is decided about accounts, sessions and tokens. Time, randomness and what is stored are arguments.

pub mod account;
pub mod email;
pub mod ids;
pub mod password;
pub mod refresh;
pub mod session;
pub mod settings;
pub mod signing;
pub mod token;
