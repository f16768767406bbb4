//! What is decided about mail, and how it reads. Time and what is stored are arguments.

pub mod address;
pub mod mail;
pub mod plain;
pub mod render;
pub mod todo;
