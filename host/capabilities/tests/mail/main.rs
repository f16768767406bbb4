//! Both ways out for mail: the mailbox, and SMTP against a server of the test's own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support/abandoned.rs"]
mod abandoned;
mod certificates;
mod faults;
mod letters;
mod mailbox;
mod server;
mod smtp;
#[path = "../support/victim.rs"]
mod victim;

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::{Clock, ManualClock};
use chassis_capabilities::mail::{MailBackend, Message, from_plan};
use chassis_config::plan::{MailPlan, MailTransport, SmtpCredentials, SmtpPlan, SmtpTls};

use crate::certificates::Certified;
use crate::server::{Encryption, Kind, Mechanism, PASSWORD, Server, USER};

/// The moment at which the clocks of all tests begin: a Sunday.
const NOON: &str = "2025-06-15T12:00:00Z";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOON.parse().unwrap()))
}

/// A message with an id of its own.
fn message(id: &str) -> Message {
    Message {
        message_id: format!("notifications.{id}@example.com"),
        from: "no-reply@example.com".to_owned(),
        to: vec!["ada@example.org".to_owned()],
        reply_to: None,
        subject: "Welcome".to_owned(),
        text: "Hello Ada!".to_owned(),
        html: None,
    }
}

fn plan(transport: MailTransport) -> MailPlan {
    MailPlan {
        message_id_domain: "example.com".to_owned(),
        default_from: "no-reply@example.com".to_owned(),
        recipients: 50,
        message_bytes: 10 << 20,
        queue_bytes: 64 << 20,
        transport,
    }
}

fn smtp_plan(port: u16, tls: SmtpTls) -> SmtpPlan {
    SmtpPlan {
        host: "localhost".to_owned(),
        port,
        tls,
        credentials: None,
        ca_file: None,
        timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(20),
        connections: 2,
    }
}

fn credentials(password: &str) -> Option<SmtpCredentials> {
    Some(SmtpCredentials { user: USER.to_owned(), password: password.to_owned() })
}

/// A server without encryption, and a way out to it.
async fn plain() -> (Server, SmtpPlan) {
    let server = Server::start(Kind { encryption: Encryption::None, mechanism: None }, None).await;
    let plan = smtp_plan(server.port, SmtpTls::None);
    (server, plan)
}

/// A server with encryption and authentication, and a way out to it that trusts it.
async fn secured(encryption: Encryption, mechanism: Mechanism) -> (Server, SmtpPlan, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let certified = Certified::new("localhost");
    let server = Server::start(Kind { encryption, mechanism: Some(mechanism) }, Some(&certified)).await;
    let ca_file = folder.path().join("roots.pem");
    std::fs::write(&ca_file, &certified.authority).unwrap();
    let tls = if encryption == Encryption::Implicit { SmtpTls::Implicit } else { SmtpTls::StartTls };
    let plan = SmtpPlan { credentials: credentials(PASSWORD), ca_file: Some(ca_file), ..smtp_plan(server.port, tls) };
    (server, plan, folder)
}

async fn open(smtp: SmtpPlan) -> Arc<dyn MailBackend> {
    let plan = plan(MailTransport::Smtp(smtp));
    let nowhere = std::path::Path::new("/nonexistent");
    let transports = from_plan(&plan, nowhere, clock() as Arc<dyn Clock>).await.unwrap();
    assert!(transports.mailbox.is_none());
    transports.backend
}
