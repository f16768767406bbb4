//! Events as rows of the outbox, in the transaction of the batch that publishes them.
//!
//! The table and what is in it are those of a Chassis host, so that whoever relays them reads one format.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::connection::Connection;
use super::error::translate;
use super::limits::Budget;
use crate::bindings::sql::{Error, Value};
use crate::bindings::types::Event;

/// Events that may wait in one outbox; beyond them, batches that publish are answered `busy`.
pub const EVENTS_WAITING_MAX: i64 = 100_000;

/// Milliseconds to wait where the outbox is full.
const WAIT_FULL_MS: u32 = 1_000;

const TYPE_BYTES_MAX: usize = 128;
const SUBJECT_BYTES_MAX: usize = 256;
const DEDUP_KEY_BYTES_MAX: usize = 128;
const DATA_BYTES_MAX: usize = 256 << 10;
const PRIORITY_MAX: u8 = 9;
const PRIORITY_DEFAULT: u8 = 4;
const DELAY_MAX: Duration = Duration::from_secs(30 * 86_400);

const TABLE: &str = "create table if not exists chassis_outbox (
    sequence integer primary key autoincrement,
    id text not null unique,
    envelope text not null
) strict";

/// The sequence has gaps only where events were taken out of order, so that this is the count or more, without counting.
const WAITING: &str = "select coalesce(max(sequence) - min(sequence) + 1, 0) from chassis_outbox";

const PUT: &str = "insert into chassis_outbox (id, envelope) values (?1, ?2)";

const TAKE_BACK: &str = "delete from chassis_outbox
where id = ?1 and julianday(json_extract(envelope, '$.not_before')) > julianday(?2) returning id";

/// When an event is published, and the chance that makes its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The present time.
    pub now: Timestamp,
    /// Random bits.
    pub random: [u8; 10],
}

/// An event as a host carries it (CloudEvents 1.0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// A UUIDv7.
    pub id: String,
    /// `/components/<database>`: by default a component owns the database of its name. Spin does not say who asks.
    pub source: String,
    /// CloudEvents `type`.
    pub event_type: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// When it was published.
    pub time: Timestamp,
    /// A JSON document.
    pub data: String,
    /// Not to be delivered before.
    pub not_before: Option<Timestamp>,
    /// 0 (lowest) to 9 (highest).
    pub priority: u8,
    /// A second event with the same key of the same source is to be dropped.
    pub dedup_key: Option<String>,
    /// W3C `traceparent`: the adapter does not see the request.
    pub traceparent: Option<String>,
}

/// Check an event and give it what only a host may set.
///
/// # Errors
/// `syntax` or `too-large`, as Chassis answers in a batch.
pub fn seal(event: Event, database: &str, stamp: Stamp) -> Result<Envelope, Error> {
    check(&event)?;
    let Stamp { now, random } = stamp;
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let delay = event.delay_ms.map(Duration::from_millis).filter(|delay| !delay.is_zero());
    Ok(Envelope {
        id: uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid().to_string(),
        source: format!("/components/{database}"),
        event_type: event.event_type,
        subject: event.subject,
        time: now,
        data: event.data,
        not_before: delay.map(|delay| now.saturating_add(delay).unwrap_or(Timestamp::MAX)),
        priority: event.priority.unwrap_or(PRIORITY_DEFAULT),
        dedup_key: event.dedup_key,
        traceparent: None,
    })
}

fn check(event: &Event) -> Result<(), Error> {
    let kind = &event.event_type;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if kind.is_empty() || kind.len() > TYPE_BYTES_MAX || !kind.bytes().all(plain) {
        return Err(Error::Syntax(format!("an event type is 1 to {TYPE_BYTES_MAX} of A-Z a-z 0-9 . _ -")));
    }
    if event.data.len() > DATA_BYTES_MAX {
        return Err(Error::TooLarge(format!("an event's data is at most {DATA_BYTES_MAX} bytes")));
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(&event.data).is_err() {
        return Err(Error::Syntax("an event's data is one JSON document".to_owned()));
    }
    let long = |text: &Option<String>, max: usize| text.as_ref().is_some_and(|text| text.len() > max);
    if long(&event.subject, SUBJECT_BYTES_MAX) || long(&event.dedup_key, DEDUP_KEY_BYTES_MAX) {
        return Err(Error::TooLarge(format!(
            "a subject is at most {SUBJECT_BYTES_MAX} bytes, a dedup-key {DEDUP_KEY_BYTES_MAX}"
        )));
    }
    if event.priority.is_some_and(|priority| priority > PRIORITY_MAX) {
        return Err(Error::Syntax(format!("a priority is 0 to {PRIORITY_MAX}")));
    }
    if event.delay_ms.is_some_and(|delay| Duration::from_millis(delay) > DELAY_MAX) {
        return Err(Error::TooLarge(format!("a delay is at most {DELAY_MAX:?}")));
    }
    Ok(())
}

/// Make the table where it is missing, and see that so many more events fit.
pub(super) async fn make_room(connection: &impl Connection, events: usize) -> Result<(), Error> {
    execute(connection, TABLE, &[]).await?;
    let rows = execute(connection, WAITING, &[]).await?;
    let waiting = match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(waiting)) => *waiting,
        _ => return Err(Error::Internal("the events of the outbox were not counted".to_owned())),
    };
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    if waiting.saturating_add(events) > EVENTS_WAITING_MAX { Err(Error::Busy(WAIT_FULL_MS)) } else { Ok(()) }
}

/// Put an event into the outbox.
pub(super) async fn put(connection: &impl Connection, envelope: &Envelope) -> Result<(), Error> {
    let text = serde_json::to_string(envelope)
        .map_err(|error| Error::Internal(format!("an event cannot be written: {error}")))?;
    execute(connection, PUT, &[Value::Text(envelope.id.clone()), Value::Text(text)]).await.map(|_no_rows| ())
}

/// Take back an event that is delayed beyond `now`.
///
/// # Errors
/// What SQLite says.
pub async fn take_back(connection: &impl Connection, id: String, now: Timestamp) -> Result<bool, Error> {
    execute(connection, TABLE, &[]).await?;
    let rows = execute(connection, TAKE_BACK, &[Value::Text(id), Value::Text(now.to_string())]).await?;
    Ok(!rows.is_empty())
}

/// A component is not to hear of the adapter's own table.
async fn execute(connection: &impl Connection, text: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, Error> {
    let done = connection.execute(text, params, &mut Budget::full()).await;
    done.map(|answer| answer.rows).map_err(|failure| match translate(failure) {
        Error::Busy(wait) => Error::Busy(wait),
        other => Error::Internal(format!("an event was not put into the outbox: {other:?}")),
    })
}
