//! What is left when the host dies, the power fails, or the disk is full? The shipped application under load, over plain
//! HTTP: every answered registration has its user and its mail, and no other is there by half.
//!
//! Most hosts here are the shipped binary. Those that die at a named point, or on a disk that loses what was not synced,
//! are built with the feature `failpoints`.
#![expect(clippy::indexing_slicing, reason = "a member that a JSON document lacks reads as null, and fails the test")]

// The mail server of the capability's own suite.
#[path = "../../host/capabilities/tests/mail/certificates.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "a test that meets what it does not expect has failed")]
mod certificates;
#[path = "../../host/capabilities/tests/mail/server.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that meets what it does not expect has failed"
)]
mod smtp_server;

#[path = "product/harness.rs"]
#[expect(dead_code, reason = "the harness is that of the suite `product`, and each suite uses a part of it")]
mod harness;

#[path = "fault/place.rs"]
mod place;

#[path = "fault/load.rs"]
mod load;

#[path = "fault/findings.rs"]
mod findings;

#[path = "fault/disk.rs"]
mod disk;
#[path = "fault/kills.rs"]
mod kills;
#[path = "fault/points.rs"]
mod points;
#[path = "fault/power.rs"]
mod power;
#[path = "fault/release.rs"]
mod release;
#[path = "fault/smtp.rs"]
mod smtp;
