//! Outgoing mail.

mod compose;
mod host;
mod mailbox;
mod smtp;
mod transport;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backlog::{Backlog, Weighed};

pub use self::mailbox::{Mailbox, MailboxBounds, MailboxError, MailboxPage, MailboxSummary, StoredMail};
pub use self::smtp::{Smtp, SmtpSetupError};
pub use self::transport::{MailTransports, TransportError, from_plan};

/// A message whose grant has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The whole Message-ID without its angle brackets, equal over all tries of one mail.
    pub message_id: String,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// Subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
}

impl Message {
    /// Bytes of subject, text and HTML together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.subject.len() + self.text.len() + self.html.as_ref().map_or(0, String::len)) as u64
    }
}

/// What the next hop answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The Message-ID.
    pub message_id: String,
    /// Its words.
    pub response: String,
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The component may not send, or not from this address.
    #[error("not permitted: {0}")]
    Denied(String),
    /// The message is not well-formed.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Try again later.
    #[error("temporary: {0}")]
    Temporary(String),
    /// Do not try again.
    #[error("permanent: {0}")]
    Permanent(String),
    /// Too many; wait.
    #[error("rate limited, try again in {0:?}")]
    RateLimited(Duration),
}

/// A way out for mail.
#[async_trait]
pub trait MailBackend: Debug + Send + Sync {
    /// Send one message. Success means that the next hop, or the mailbox, has it durably.
    async fn send(&self, message: Weighed<Message>) -> Result<Receipt, MailError>;
}

/// What a component may send, and the bounds of it.
#[derive(Debug, Clone)]
pub struct MailGrant {
    /// The way out.
    pub backend: Arc<dyn MailBackend>,
    /// Sender addresses that it may use.
    pub from: Vec<String>,
    /// Sender where it gives none.
    pub default_from: String,
    /// Domain of every Message-ID.
    pub message_id_domain: String,
    /// Recipients of one message.
    pub recipients: u32,
    /// Bytes of subject, text and HTML together.
    pub message_bytes: u64,
    /// Bounds the messages of all components that are on their way.
    pub(crate) backlog: Backlog,
}
