//! The default way out: mail is kept by the host, durably, to be looked into.
//!
//! A mail is answered for after the commit that holds it. The same Message-ID is the same mail: a second one adds to its
//! `copies` and changes nothing else, so that whoever looks sees what a real recipient would have got twice.
//!
//! The mailbox is bounded by count and by age; the oldest mails go first, with every write and once a minute.

mod statements;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use self::statements::Arrival;
use super::compose::compose;
use super::{MailBackend, MailError, Message, Receipt};
use crate::backlog::Weighed;
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::sqlite_file::{FileBounds, FileError, SqliteFile};

/// The schema, by version.
const SCHEMA: &[&str] = &[include_str!("mailbox/schema.sql")];

/// Mails of one page.
const PAGE_MAX: u32 = 1_000;

/// Pause between two rounds of forgetting.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// Bounds of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxBounds {
    /// Mails kept; the oldest go first.
    pub messages: u32,
    /// Age at which a mail goes.
    pub retention: Duration,
}

/// Why the mailbox did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MailboxError {
    /// A cursor or a limit breaks its rule.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The file takes no more work now.
    #[error("busy, try again in {0:?}")]
    Busy(Duration),
    /// The file cannot be opened, read or written.
    #[error("{0}")]
    File(FileError),
}

/// A mail as it appears in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxSummary {
    /// Names it in this mailbox.
    pub id: String,
    /// Recipients.
    pub to: Vec<String>,
    /// Sender.
    pub from: String,
    /// Subject.
    pub subject: String,
    /// Its Message-ID, without angle brackets.
    pub message_id: String,
    /// When it came for the first time.
    pub received_at: Timestamp,
    /// How often it was sent.
    pub copies: u32,
}

/// A whole mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredMail {
    /// What a list shows of it.
    #[serde(flatten)]
    pub summary: MailboxSummary,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The head as it would have been sent, lines ending in CR LF.
    pub headers: String,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxPage {
    /// Newest first.
    pub items: Vec<MailboxSummary>,
    /// Where the next page begins; none at the end.
    pub next_cursor: Option<String>,
}

/// Mail that is kept by the host, in a SQLite file. Must be used within a tokio runtime.
pub struct Mailbox {
    shelf: Arc<Shelf>,
    _forgetting: AbortOnDropHandle<()>,
}

struct Shelf {
    file: SqliteFile,
    bounds: MailboxBounds,
    clock: Arc<dyn Clock>,
}

impl Mailbox {
    /// Open or make the file.
    ///
    /// # Errors
    /// Where the file cannot be opened, or was written by a newer host.
    pub async fn open(path: &Path, bounds: MailboxBounds, clock: Arc<dyn Clock>) -> Result<Self, MailboxError> {
        let file = SqliteFile::open(path, SCHEMA, FileBounds::default()).await?;
        let shelf = Arc::new(Shelf { file, bounds, clock });
        shelf.forget().await?;
        let forgetting = AbortOnDropHandle::new(tokio::spawn(forget_for_ever(Arc::clone(&shelf))));
        Ok(Self { shelf, _forgetting: forgetting })
    }

    /// The newest mails; those that came before the mail that `cursor` names, if it is given; those for one recipient,
    /// if `to` is given (in any letter case).
    ///
    /// # Errors
    /// `Invalid` where `limit` is not 1 to 1000 or the cursor is none of ours.
    pub async fn list(&self, cursor: Option<&str>, limit: u32, to: Option<&str>) -> Result<MailboxPage, MailboxError> {
        if limit == 0 || limit > PAGE_MAX {
            return Err(MailboxError::Invalid(format!("a page has 1 to {PAGE_MAX} mails")));
        }
        let before = match cursor {
            Some(cursor) => {
                seq(cursor).ok_or_else(|| MailboxError::Invalid("the cursor was not given by this host".to_owned()))?
            }
            None => i64::MAX,
        };
        let to = to.map(str::to_lowercase);
        // One more than the page tells whether there is another.
        let listed = self.shelf.file.read(|connection| {
            Box::pin(async move { statements::list(connection, before, limit + 1, to.as_deref()).await })
        });
        let mut items = listed.await?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_cursor = items.last().filter(|_| more).map(|last| last.id.clone());
        Ok(MailboxPage { items, next_cursor })
    }

    /// One mail; none where it does not exist, or no more.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn get(&self, id: &str) -> Result<Option<StoredMail>, MailboxError> {
        let Some(seq) = seq(id) else { return Ok(None) };
        self.shelf.file.read(|connection| Box::pin(statements::get(connection, seq))).await
    }

    /// Remove what is too old. A background task does the same every minute.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub async fn forget(&self) -> Result<(), MailboxError> {
        self.shelf.forget().await
    }

    /// End: what was accepted is finished, later calls are refused.
    pub async fn close(&self) {
        self.shelf.file.close().await;
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("file", &self.shelf.file).finish_non_exhaustive()
    }
}

impl Shelf {
    async fn forget(&self) -> Result<(), MailboxError> {
        let (now, bounds) = (self.clock.now(), self.bounds);
        loop {
            let step = self.file.write(move |connection| Box::pin(statements::forget(connection, bounds, now)));
            if step.await? == statements::Forgotten::All {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl MailBackend for Mailbox {
    async fn send(&self, message: Weighed<Message>) -> Result<Receipt, MailError> {
        let now = self.shelf.clock.now();
        let composed = compose(message, now).await?;
        let arrival = composed.map(|(message, letter)| Arrival { message, head: letter.head(), at: now });
        let (message_id, arrival) = (arrival.message.message_id.clone(), Arc::new(arrival));
        let bounds = self.shelf.bounds;
        let kept = self.shelf.file.write(move |connection| {
            let arrival = Arc::clone(&arrival);
            Box::pin(async move { statements::keep(connection, &arrival, bounds).await })
        });
        let id = kept.await.map_err(|error: MailboxError| MailError::Temporary(format!("the mailbox: {error}")))?;
        failpoint::pass(Point::MailAccepted);
        Ok(Receipt { message_id, response: format!("kept in the mailbox as {id}") })
    }
}

async fn forget_for_ever(shelf: Arc<Shelf>) {
    loop {
        tokio::time::sleep(FORGET_INTERVAL).await;
        if let Err(error) = shelf.forget().await {
            tracing::warn!(%error, "old mails were not removed from the mailbox, trying again later");
        }
    }
}

/// The number behind an id or a cursor.
fn seq(text: &str) -> Option<i64> {
    text.parse().ok().filter(|seq| *seq > 0)
}

impl From<FileError> for MailboxError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Busy(wait) => Self::Busy(wait),
            error => Self::File(error),
        }
    }
}

impl From<sqlx::Error> for MailboxError {
    fn from(error: sqlx::Error) -> Self {
        FileError::from(error).into()
    }
}
