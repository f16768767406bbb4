//! Does the shipped thing work for somebody who has only just come?

#[path = "e2e/newcomer.rs"]
mod newcomer;
#[path = "e2e/readme.rs"]
mod readme;
