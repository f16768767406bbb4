//! Dead letters, and what is forgotten with time.

use chassis_config::plan::MessagingPolicy;
use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::lease::sweep;
use super::numbers::{BLOCKED, READY, rank, release, reserve};
use super::publish::parse;
use crate::messaging::verdict::later;
use crate::messaging::{DeadLetter, DeadLetterPage, MessagingError};

/// Dead letters of one page.
const PAGE_MAX: u32 = 1_000;

/// Rows that one step of the maintenance removes.
const STEP_ROWS: u32 = 1_000;

const COPY: &str = "
insert into dead_letter (queue, envelope, attempts, reason, died_at)
select delivery.queue, event.envelope, ?2, ?3, ?4
from delivery join event on event.seq = delivery.event where delivery.seq = ?1";

const REMOVE: &str = "delete from delivery where seq = ?1";

pub(super) const PAGE_OF_ALL: &str = "
select letter.seq, queue.name, letter.envelope, letter.attempts, letter.reason, letter.died_at
from dead_letter letter join queue on queue.id = letter.queue
where letter.seq < ?1 order by letter.seq desc limit ?2";

pub(super) const PAGE_OF_QUEUE: &str = "
select letter.seq, queue.name, letter.envelope, letter.attempts, letter.reason, letter.died_at
from dead_letter letter join queue on queue.id = letter.queue
where letter.seq < ?1 and letter.queue = ?3 order by letter.seq desc limit ?2";

const EXHUME: &str = "delete from dead_letter where seq = ?1 returning queue, envelope";

/// The event is still there where another queue has not done with it.
const RESTORE_EVENT: &str = "
insert into event (seq, id, envelope) values (?1, ?2, ?3)
on conflict (id) do update set envelope = excluded.envelope returning seq";

const RESTORE_DELIVERY: &str = "
insert into delivery (
    seq, event, queue, subject, priority, state, position, due_at, ready_at, rank, born_at, failed, lease
)
values (?1, ?2, ?3, ?4, ?5, ?6, ?1, null, ?7, ?8, ?7, 0, 0)
on conflict (event, queue) do nothing";

pub(super) const FORGET_LETTERS: &str = "
delete from dead_letter where seq in (select seq from dead_letter where died_at <= ?1 limit ?2)";

/// Ids are remembered in the order of their numbers, so that the oldest are at the beginning.
pub(super) const FORGET_IDS: &str = "
delete from known where seq in (
    select seq from (select seq, at from known order by seq limit ?2) where at <= ?1
)";

pub(super) const FORGET_KEYS: &str = "
delete from dedup where (source, key) in (select source, key from dedup where at <= ?1 limit ?2)";

/// Move a delivery to the dead letters. Whoever calls this releases its subject.
pub(super) async fn bury(
    connection: &mut SqliteConnection,
    seq: i64,
    (attempts, reason): (u32, &str),
    now: i64,
) -> Result<(), MessagingError> {
    sqlx::query(COPY).bind(seq).bind(attempts).bind(reason).bind(now).execute(&mut *connection).await?;
    sqlx::query(REMOVE).bind(seq).execute(connection).await?;
    Ok(())
}

/// Number, queue, event, attempts, reason, time.
type Letter = (i64, String, String, u32, String, i64);

/// Which dead letters are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Letters {
    OfAll,
    OfQueue(i64),
}

/// A page of dead letters, the newest first. The cursor is the number of the last one of the page before.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    letters: Letters,
    before: i64,
    limit: u32,
) -> Result<DeadLetterPage, MessagingError> {
    let query = match letters {
        Letters::OfAll => sqlx::query_as(PAGE_OF_ALL).bind(before).bind(limit + 1),
        Letters::OfQueue(queue) => sqlx::query_as(PAGE_OF_QUEUE).bind(before).bind(limit + 1).bind(queue),
    };
    let mut rows: Vec<Letter> = query.fetch_all(connection).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|(seq, ..)| seq.to_string());
    let letter = |(seq, queue, envelope, attempts, reason, died_at): Letter| {
        let died_at = Timestamp::from_microsecond(died_at).unwrap_or(Timestamp::MAX);
        Ok(DeadLetter { id: seq.to_string(), queue, event: parse(&envelope)?, attempts, reason, died_at })
    };
    let items = rows.into_iter().map(letter).collect::<Result<_, MessagingError>>()?;
    Ok(DeadLetterPage { items, next_cursor })
}

/// The number before which a page begins.
pub(super) fn before(cursor: Option<&str>, limit: u32) -> Result<i64, MessagingError> {
    if limit == 0 || limit > PAGE_MAX {
        return Err(MessagingError::Invalid(format!("a page has 1 to {PAGE_MAX} dead letters")));
    }
    let Some(cursor) = cursor else { return Ok(i64::MAX) };
    cursor.parse().map_err(|_no_number| MessagingError::Invalid("the cursor was not given by this host".to_owned()))
}

/// Put a dead letter back, as if it had been published now; its queue.
pub(super) async fn replay(
    connection: &mut SqliteConnection,
    policy: &MessagingPolicy,
    seq: i64,
    now: i64,
) -> Result<Option<i64>, MessagingError> {
    let found = sqlx::query_as(EXHUME).bind(seq).fetch_optional(&mut *connection).await?;
    let Some((queue, envelope)) = found else { return Ok(None) };
    let (queue, envelope): (i64, String) = (queue, envelope);
    let event = parse(&envelope)?;
    // What was delayed and is due by now comes before it.
    while sweep(connection, policy, queue, now).await? {}
    let number = reserve(connection, 2).await?;
    let restored = sqlx::query_scalar(RESTORE_EVENT).bind(number).bind(&event.id).bind(&envelope);
    let event_seq: i64 = restored.fetch_one(&mut *connection).await?;
    let state = if event.subject.is_some() { BLOCKED } else { READY };
    let delivery = sqlx::query(RESTORE_DELIVERY)
        .bind(number + 1)
        .bind(event_seq)
        .bind(queue)
        .bind(&event.subject)
        .bind(event.priority)
        .bind(state)
        .bind(now)
        .bind(rank(now, event.priority));
    delivery.execute(&mut *connection).await?;
    if let Some(subject) = &event.subject {
        release(connection, &[(queue, subject)]).await?;
    }
    Ok(Some(queue))
}

/// Forget up to a step of what has passed its time; whether there may be more.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    policy: &MessagingPolicy,
    now: i64,
) -> Result<bool, MessagingError> {
    let window = policy.dedup_window;
    // A relay that is late by up to a window still finds the key that it competes with.
    let ages =
        [(FORGET_LETTERS, policy.dead_letter_retention), (FORGET_IDS, window), (FORGET_KEYS, window.saturating_mul(2))];
    let mut more = false;
    for (statement, age) in ages {
        let until = now.saturating_sub(later(0, age));
        let forgotten = sqlx::query(statement).bind(until).bind(STEP_ROWS).execute(&mut *connection).await?;
        more |= forgotten.rows_affected() >= u64::from(STEP_ROWS);
    }
    Ok(more)
}
