//! Does the shipped application keep its promises? The real binary serves the real components by the shipped
//! `spin.toml`; tests speak plain HTTP to it, look at it through its admin side, and kill it.
#![expect(clippy::indexing_slicing, reason = "a member that a JSON document lacks reads as null, and fails the test")]

// The mail server of the capability's own suite.
#[path = "../../host/capabilities/tests/mail/certificates.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "a test that meets what it does not expect has failed")]
mod certificates;
#[path = "product/harness.rs"]
mod harness;
#[path = "../../host/capabilities/tests/mail/server.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that meets what it does not expect has failed"
)]
mod smtp_server;

#[path = "product/accounts.rs"]
mod accounts;
#[path = "product/aliases.rs"]
mod aliases;
#[path = "product/bad_input.rs"]
mod bad_input;
#[path = "product/ending.rs"]
mod ending;
#[path = "product/events.rs"]
mod events;
#[path = "product/journey.rs"]
mod journey;
#[path = "product/limits.rs"]
mod limits;
#[path = "product/listing.rs"]
mod listing;
#[path = "product/mail_outage.rs"]
mod mail_outage;
#[path = "product/private.rs"]
mod private;
#[path = "product/sessions.rs"]
mod sessions;
#[path = "product/todos.rs"]
mod todos;
#[path = "product/tokens.rs"]
mod tokens;
