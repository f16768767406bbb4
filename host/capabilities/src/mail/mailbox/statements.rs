//! The SQL of the mailbox.

use jiff::{SignedDuration, Timestamp};
use sqlx::SqliteConnection;

use super::{MailboxBounds, MailboxError, MailboxSummary, StoredMail};
use crate::mail::Message;

/// Mails that one step of forgetting removes; other work goes between two steps.
const STEP_MAILS: u32 = 1_000;

const KEEP: &str = "
insert into mail (message_id, copies, received_at, sender, recipients, reply_to, subject, text, html, head)
values (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
on conflict (message_id) do update set copies = copies + 1
returning seq";

const ADDRESS: &str = "
insert into recipient (address, mail) select value, ?2 from json_each(?1) where true on conflict do nothing";

const DROP_SURPLUS: &str = "
delete from mail where seq in (
    select seq from mail order by seq limit max(0, min(?2, (select mails from tally) - ?1))
)";

const DROP_OLD: &str = "
delete from mail where seq in (select seq from mail where received_at <= ?1 order by received_at limit ?2)";

const LIST: &str = "
select seq, recipients, sender, subject, message_id, received_at, copies from mail
where seq < ?1 order by seq desc limit ?2";

const LIST_OF_RECIPIENT: &str = "
select mail.seq, mail.recipients, mail.sender, mail.subject, mail.message_id, mail.received_at, mail.copies
from recipient join mail on mail.seq = recipient.mail
where recipient.address = ?3 and recipient.mail < ?1 order by recipient.mail desc limit ?2";

const GET: &str = "
select seq, recipients, sender, subject, message_id, received_at, copies, reply_to, text, html, head
from mail where seq = ?1";

/// A mail that has come.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) message: Message,
    pub(super) head: String,
    pub(super) at: Timestamp,
}

/// What a step of forgetting left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgotten {
    All,
    Some,
}

/// The columns of [`LIST`].
type SummaryRow = (i64, String, String, String, String, i64, u32);

/// The columns of [`GET`].
type MailRow = (i64, String, String, String, String, i64, u32, Option<String>, String, Option<String>, String);

/// Keep a mail, or count it once more; and let others go for it. Its number.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    arrival: &Arrival,
    bounds: MailboxBounds,
) -> Result<i64, MailboxError> {
    let Arrival { message, head, at } = arrival;
    let seq: i64 = sqlx::query_scalar(KEEP)
        .bind(&message.message_id)
        .bind(at.as_microsecond())
        .bind(&message.from)
        .bind(json(&message.to)?)
        .bind(&message.reply_to)
        .bind(&message.subject)
        .bind(&message.text)
        .bind(&message.html)
        .bind(head)
        .fetch_one(&mut *connection)
        .await?;
    let addresses: Vec<String> = message.to.iter().map(|to| to.to_lowercase()).collect();
    sqlx::query(ADDRESS).bind(json(&addresses)?).bind(seq).execute(&mut *connection).await?;
    forget(connection, bounds, *at).await?;
    Ok(seq)
}

/// One step: remove what is too much and what is too old.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    bounds: MailboxBounds,
    now: Timestamp,
) -> Result<Forgotten, MailboxError> {
    let surplus = sqlx::query(DROP_SURPLUS).bind(bounds.messages).bind(STEP_MAILS).execute(&mut *connection).await?;
    let retention = SignedDuration::try_from(bounds.retention).unwrap_or(SignedDuration::MAX);
    let until = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
    let old = sqlx::query(DROP_OLD).bind(until.as_microsecond()).bind(STEP_MAILS).execute(connection).await?;
    let most = surplus.rows_affected().max(old.rows_affected());
    Ok(if most < u64::from(STEP_MAILS) { Forgotten::All } else { Forgotten::Some })
}

/// Up to `limit` mails with a number below `before`, newest first; those for `to`, in lower case, if it is given.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    before: i64,
    limit: u32,
    to: Option<&str>,
) -> Result<Vec<MailboxSummary>, MailboxError> {
    let query = match to {
        None => sqlx::query_as(LIST).bind(before).bind(limit),
        Some(to) => sqlx::query_as(LIST_OF_RECIPIENT).bind(before).bind(limit).bind(to),
    };
    let rows: Vec<SummaryRow> = query.fetch_all(connection).await?;
    rows.into_iter().map(summary).collect()
}

/// A mail by its number.
pub(super) async fn get(connection: &mut SqliteConnection, seq: i64) -> Result<Option<StoredMail>, MailboxError> {
    let row: Option<MailRow> = sqlx::query_as(GET).bind(seq).fetch_optional(connection).await?;
    let stored = |(seq, to, from, subject, id, at, copies, reply_to, text, html, headers): MailRow| {
        let summary = summary((seq, to, from, subject, id, at, copies))?;
        Ok(StoredMail { summary, reply_to, text, html, headers })
    };
    row.map(stored).transpose()
}

fn summary(
    (seq, recipients, from, subject, message_id, received_at, copies): SummaryRow,
) -> Result<MailboxSummary, MailboxError> {
    let to = serde_json::from_str(&recipients).map_err(unreadable)?;
    let received_at = Timestamp::from_microsecond(received_at).unwrap_or(Timestamp::MAX);
    Ok(MailboxSummary { id: seq.to_string(), to, from, subject, message_id, received_at, copies })
}

fn json(texts: &[String]) -> Result<String, MailboxError> {
    serde_json::to_string(texts).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> MailboxError {
    sqlx::Error::Decode(error.into()).into()
}
