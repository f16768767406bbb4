//! Publishing, and taking back.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use chassis_config::plan::{EventPattern, MessagingPolicy};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::lease::sweep;
use super::numbers::{BLOCKED, DELAYED, READY, json, rank, release, reserve};
use crate::event::{Envelope, matches};
use crate::messaging::MessagingError;

/// Wait hint where a queue is full.
const WAIT_QUEUE_FULL: Duration = Duration::from_secs(1);

/// Above what the WIT allows; an index of the order of leasing relies on it.
const PRIORITY_MAX: u8 = 9;

/// An event that still waits is known for longer than its id is remembered.
pub(super) const REMEMBER: &str = "
insert into known (id, at)
select given.value, ?2 from json_each(?1) given where not exists (select 1 from event where event.id = given.value)
on conflict (id) do nothing returning id";

/// The window is measured between the times of the events, not between their arrivals: a relay may be late.
const CLAIM_KEYS: &str = "
insert into dedup (source, key, id, at)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each(?1) where true
on conflict (source, key) do update set id = excluded.id, at = excluded.at where excluded.at - dedup.at >= ?2
returning id";

pub(super) const FULL_QUEUE: &str = "
select queue.name from queue_count join queue on queue.id = queue_count.queue
where queue_count.queue in (select value from json_each(?1)) and queue_count.state < 9
group by queue_count.queue having sum(queue_count.n) >= ?2 limit 1";

const ADD_EVENTS: &str = "
insert into event (seq, id, envelope) select ?2 + key, value ->> '$.id', value from json_each(?1)";

const ADD_DELIVERIES: &str = "
insert into delivery (
    seq, event, queue, subject, priority, state, position, due_at, ready_at, rank, born_at, failed, lease
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 8, 0, 0
from json_each(?1)";

const FIND_EVENT: &str = "select seq, envelope from event where id = ?1";

pub(super) const TOO_LATE: &str =
    "select exists (select 1 from delivery where event = ?1 and not (state = 2 and due_at > ?2))";

const TAKE_BACK: &str = "delete from delivery where event = ?1";

const FREE_KEY: &str = "delete from dedup where source = ?1 and key = ?2 and id = ?3";

/// Who gets what, and how much of it.
#[derive(Debug)]
pub(super) struct Fanout {
    pub(super) policy: MessagingPolicy,
    pub(super) queues: Vec<(i64, Vec<EventPattern>)>,
}

/// The columns of a delivery as a JSON array, in the order of [`ADD_DELIVERIES`].
#[derive(Debug, Serialize)]
struct Row<'a>(i64, i64, i64, Option<&'a str>, u8, u8, Option<i64>, Option<i64>, i64, i64);

/// An event, and the queues that get it.
type Routed<'a> = (&'a Envelope, Vec<i64>);

impl Fanout {
    fn queues_of(&self, event_type: &str) -> Vec<i64> {
        let wants = |patterns: &[EventPattern]| patterns.iter().any(|pattern| matches(pattern, event_type));
        self.queues.iter().filter(|(_, patterns)| wants(patterns)).map(|(queue, _)| *queue).collect()
    }
}

/// Make events durable for all that subscribe; the queues that got something.
pub(super) async fn publish(
    connection: &mut SqliteConnection,
    fanout: &Fanout,
    events: &[Envelope],
    now: i64,
) -> Result<BTreeSet<i64>, MessagingError> {
    // What nobody wants leaves no trace: nothing else bounds how much of it there is.
    let routed: Vec<Routed<'_>> = events
        .iter()
        .map(|event| (event, fanout.queues_of(&event.event_type)))
        .filter(|(_, queues)| !queues.is_empty())
        .collect();
    if routed.is_empty() {
        return Ok(BTreeSet::new());
    }
    let routed = unknown(connection, routed, now).await?;
    let routed = unclaimed(connection, routed, fanout.policy.dedup_window).await?;
    let touched: BTreeSet<i64> = routed.iter().flat_map(|(_, queues)| queues).copied().collect();
    if touched.is_empty() {
        return Ok(touched);
    }
    refuse_full(connection, &touched, fanout.policy.queue_length).await?;
    give_places(connection, fanout, &routed, now).await?;
    let deliveries: usize = routed.iter().map(|(_, queues)| queues.len()).sum();
    let first_event = reserve(connection, routed.len() + deliveries).await?;
    let bodies: Vec<&Envelope> = routed.iter().map(|(event, _)| *event).collect();
    sqlx::query(ADD_EVENTS).bind(json(&bodies)?).bind(first_event).execute(&mut *connection).await?;
    let rows = rows(&routed, first_event, now);
    sqlx::query(ADD_DELIVERIES).bind(json(&rows)?).execute(&mut *connection).await?;
    let subjects: BTreeSet<(i64, &str)> =
        rows.iter().filter(|row| row.5 == BLOCKED).filter_map(|row| Some((row.2, row.3?))).collect();
    release(connection, &Vec::from_iter(subjects)).await?;
    Ok(touched)
}

/// The events whose ids were never seen, each once.
async fn unknown<'a>(
    connection: &mut SqliteConnection,
    events: Vec<Routed<'a>>,
    now: i64,
) -> Result<Vec<Routed<'a>>, MessagingError> {
    let ids: Vec<&str> = events.iter().map(|(event, _)| event.id.as_str()).collect();
    let new: Vec<String> = sqlx::query_scalar(REMEMBER).bind(json(&ids)?).bind(now).fetch_all(connection).await?;
    let mut new: HashSet<String> = new.into_iter().collect();
    Ok(events.into_iter().filter(|(event, _)| new.remove(&event.id)).collect())
}

/// The events whose deduplication key is not taken.
async fn unclaimed<'a>(
    connection: &mut SqliteConnection,
    events: Vec<Routed<'a>>,
    window: Duration,
) -> Result<Vec<Routed<'a>>, MessagingError> {
    let claim = |(event, _): &Routed<'a>| {
        let key = event.dedup_key.as_deref()?;
        Some((event.source.as_str(), key, event.id.as_str(), event.time.as_microsecond()))
    };
    let claims: Vec<_> = events.iter().filter_map(claim).collect();
    if claims.is_empty() {
        return Ok(events);
    }
    let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    let won = sqlx::query_scalar(CLAIM_KEYS).bind(json(&claims)?).bind(window).fetch_all(connection).await?;
    let won: HashSet<String> = won.into_iter().collect();
    Ok(events.into_iter().filter(|(event, _)| event.dedup_key.is_none() || won.contains(&event.id)).collect())
}

/// A queue may be exceeded by the events of one call, so that a call is never larger than an empty queue.
async fn refuse_full(
    connection: &mut SqliteConnection,
    queues: &BTreeSet<i64>,
    length: u64,
) -> Result<(), MessagingError> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let full: Option<String> =
        sqlx::query_scalar(FULL_QUEUE).bind(json(queues)?).bind(length).fetch_optional(connection).await?;
    match full {
        Some(queue) => Err(MessagingError::QueueFull { queue, wait: WAIT_QUEUE_FULL }),
        None => Ok(()),
    }
}

/// What was delayed and is due by now comes before what is published now, also where nobody has leased since.
async fn give_places(
    connection: &mut SqliteConnection,
    fanout: &Fanout,
    routed: &[Routed<'_>],
    now: i64,
) -> Result<(), MessagingError> {
    let ordered = routed.iter().filter(|(event, _)| event.subject.is_some());
    let queues: BTreeSet<i64> = ordered.flat_map(|(_, queues)| queues).copied().collect();
    for queue in queues {
        while sweep(connection, &fanout.policy, queue, now).await? {}
    }
    Ok(())
}

fn rows<'a>(routed: &[Routed<'a>], first_event: i64, now: i64) -> Vec<Row<'a>> {
    let pairs =
        (first_event..).zip(routed).flat_map(|(seq, (event, queues))| queues.iter().map(move |q| (seq, *event, *q)));
    let first = first_event + i64::try_from(routed.len()).unwrap_or(i64::MAX);
    (first..).zip(pairs).map(|(seq, (event_seq, event, queue))| row(seq, event_seq, queue, (event, now))).collect()
}

fn row<'a>(seq: i64, event_seq: i64, queue: i64, (event, now): (&'a Envelope, i64)) -> Row<'a> {
    let subject = event.subject.as_deref();
    let priority = event.priority.min(PRIORITY_MAX);
    let due_at = event.not_before.map(jiff::Timestamp::as_microsecond).filter(|due_at| *due_at > now);
    let state = match (due_at, subject) {
        (Some(_), _) => DELAYED,
        (None, Some(_)) => BLOCKED,
        (None, None) => READY,
    };
    let position = due_at.is_none().then_some(seq);
    let ready_at = due_at.unwrap_or(now);
    Row(seq, event_seq, queue, subject, priority, state, position, due_at, ready_at, rank(ready_at, priority))
}

/// Take back an event of `source` that is not yet due in any queue, and free its deduplication key.
pub(super) async fn cancel(
    connection: &mut SqliteConnection,
    id: &str,
    source: &str,
    now: i64,
) -> Result<bool, MessagingError> {
    let found: Option<(i64, String)> = sqlx::query_as(FIND_EVENT).bind(id).fetch_optional(&mut *connection).await?;
    let Some((seq, envelope)) = found else { return Ok(false) };
    let event = parse(&envelope)?;
    let too_late: bool = sqlx::query_scalar(TOO_LATE).bind(seq).bind(now).fetch_one(&mut *connection).await?;
    if event.source != source || too_late {
        return Ok(false);
    }
    sqlx::query(TAKE_BACK).bind(seq).execute(&mut *connection).await?;
    if let Some(key) = &event.dedup_key {
        sqlx::query(FREE_KEY).bind(source).bind(key).bind(id).execute(connection).await?;
    }
    Ok(true)
}

/// An event as it was stored.
pub(super) fn parse(envelope: &str) -> Result<Envelope, MessagingError> {
    serde_json::from_str(envelope)
        .map_err(|error| MessagingError::Internal(format!("a stored event cannot be read: {error}")))
}
