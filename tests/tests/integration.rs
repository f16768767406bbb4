//! Does the host do what it promises, with real components, over plain HTTP?

#[path = "integration/answers.rs"]
mod answers;
#[path = "integration/command_line.rs"]
mod command_line;
#[path = "integration/faults.rs"]
mod faults;
#[path = "integration/late.rs"]
mod late;
#[path = "integration/limits.rs"]
mod limits;
#[path = "integration/migrations.rs"]
mod migrations;
#[path = "integration/outbound.rs"]
mod outbound;
#[path = "integration/paths.rs"]
mod paths;
#[path = "integration/shutdown.rs"]
mod shutdown;
#[path = "integration/starting.rs"]
mod starting;
#[path = "integration/startup.rs"]
mod startup;
#[path = "integration/streaming.rs"]
mod streaming;
