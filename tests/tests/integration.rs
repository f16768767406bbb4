//! Does the host do what it promises, with real components, over plain HTTP?

#[path = "integration/answers.rs"]
mod answers;
#[path = "integration/faults.rs"]
mod faults;
#[path = "integration/limits.rs"]
mod limits;
#[path = "integration/paths.rs"]
mod paths;
#[path = "integration/shutdown.rs"]
mod shutdown;
#[path = "integration/startup.rs"]
mod startup;
#[path = "integration/streaming.rs"]
mod streaming;
