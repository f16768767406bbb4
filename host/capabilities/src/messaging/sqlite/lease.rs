//! Leasing: what became due, who gets it, and for how long.

use chassis_config::plan::MessagingPolicy;
use sqlx::SqliteConnection;

use super::dead::bury;
use super::numbers::{LEASED, ageing, json, release, reserve};
use super::publish::parse;
use crate::messaging::verdict::{is_over_age, later};
use crate::messaging::{Delivery, MessagingError};

/// Rows whose time has come that one call looks at; the next call goes on.
const SWEPT_MAX: u32 = 500;

/// Deliveries that one call leases at most.
const LEASED_MAX: u32 = 1_000;

pub(super) const DUE: &str = "
select seq, state, subject, position, born_at, failed from delivery
where queue = ?1 and due_at <= ?2 order by due_at, seq limit ?3";

/// A delivery that becomes due for the first time gets its place in the order of its subject now. One that was tried
/// has kept its place, and everything behind it has waited.
pub(super) const WAKE: &str = "
update delivery set
    state = case when delivery.position is null and subject is not null then 1 else 0 end,
    position = coalesce(delivery.position, due.value ->> 1),
    ready_at = due_at,
    rank = due_at - priority * ?2,
    due_at = null,
    lease = 0
from json_each(?1) due
where delivery.seq = due.value ->> 0";

pub(super) const FIRST_READY: &str = "
select delivery.seq, delivery.failed, event.envelope from delivery join event on event.seq = delivery.event
where delivery.queue = ?1 and delivery.state = 0 order by delivery.rank, delivery.seq limit ?2";

pub(super) const TAKE: &str = "
update delivery set state = 4, lease = ?2, due_at = ?3 where seq in (select value from json_each(?1))";

pub(super) const RENEW: &str = "
update delivery set due_at = ?4
where event = (select seq from event where id = ?1) and queue = ?2 and state = 4 and lease = ?3";

/// When a queue has something next: now, or at the first time that ends a state.
pub(super) const NEXT: &str = "
select case
    when exists (select 1 from delivery where queue = ?1 and state = 0) then ?2
    else (select min(due_at) from delivery where queue = ?1 and due_at is not null)
end";

pub(super) const EXPIRE_ALL: &str = "
update delivery set due_at = ?1 where queue in (select id from queue) and due_at is not null and state = 4";

/// A row whose time has come.
#[derive(Debug)]
struct Due {
    seq: i64,
    state: u8,
    subject: Option<String>,
    position: Option<i64>,
    born_at: i64,
    failed: u32,
}

/// The columns of [`DUE`].
type DueRow = (i64, u8, Option<String>, Option<i64>, i64, u32);

impl From<DueRow> for Due {
    fn from((seq, state, subject, position, born_at, failed): DueRow) -> Self {
        Self { seq, state, subject, position, born_at, failed }
    }
}

/// A queue, by its number and its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queue<'a> {
    pub(super) id: i64,
    pub(super) name: &'a str,
}

/// Lease up to `limit` deliveries of a queue until `now` plus the time of a lease.
pub(super) async fn lease(
    connection: &mut SqliteConnection,
    policy: &MessagingPolicy,
    queue: Queue<'_>,
    (limit, now): (u32, i64),
) -> Result<Vec<Delivery>, MessagingError> {
    sweep(connection, policy, queue.id, now).await?;
    let first = sqlx::query_as(FIRST_READY).bind(queue.id).bind(limit.min(LEASED_MAX));
    let first: Vec<(i64, u32, String)> = first.fetch_all(&mut *connection).await?;
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let token = reserve(connection, 1).await?;
    let seqs: Vec<i64> = first.iter().map(|(seq, ..)| *seq).collect();
    let until = later(now, policy.lease);
    sqlx::query(TAKE).bind(json(&seqs)?).bind(token).bind(until).execute(connection).await?;
    let delivery = |(_, failed, envelope): (i64, u32, String)| {
        Ok(Delivery {
            queue: queue.name.to_owned(),
            event: parse(&envelope)?,
            attempt: failed.saturating_add(1),
            lease: token.unsigned_abs(),
        })
    };
    first.into_iter().map(delivery).collect()
}

/// Move on what has waited long enough: delays, pauses, and leases that nobody renewed.
///
/// A lease that ran out means that the host failed, not the handler: it uses up no attempt, and the age bounds it.
///
/// Whether there may be more is the answer.
pub(super) async fn sweep(
    connection: &mut SqliteConnection,
    policy: &MessagingPolicy,
    queue: i64,
    now: i64,
) -> Result<bool, MessagingError> {
    let due = sqlx::query_as(DUE).bind(queue).bind(now).bind(SWEPT_MAX);
    let due: Vec<DueRow> = due.fetch_all(&mut *connection).await?;
    if due.is_empty() {
        return Ok(false);
    }
    let more = due.len() >= SWEPT_MAX as usize;
    let (dead, alive): (Vec<Due>, Vec<Due>) =
        due.into_iter().map(Due::from).partition(|due| due.state == LEASED && is_over_age(policy, due.born_at, now));
    for due in &dead {
        let reason = "the lease ran out, and the event is older than its greatest age";
        bury(connection, due.seq, (due.failed, reason), now).await?;
    }
    let first = reserve(connection, alive.len()).await?;
    let places: Vec<(i64, i64)> = alive.iter().zip(first..).map(|(due, place)| (due.seq, place)).collect();
    sqlx::query(WAKE).bind(json(&places)?).bind(ageing()).execute(&mut *connection).await?;
    let moved = alive.iter().filter(|due| due.position.is_none()).chain(&dead);
    let subjects: Vec<(i64, &str)> = moved.filter_map(|due| Some((queue, due.subject.as_deref()?))).collect();
    release(connection, &subjects).await?;
    Ok(more)
}

/// Prolong a lease to `until`; false where it is no longer held.
pub(super) async fn renew(
    connection: &mut SqliteConnection,
    queue: i64,
    (event, lease): (&str, i64),
    until: i64,
) -> Result<bool, MessagingError> {
    let renewed = sqlx::query(RENEW).bind(event).bind(queue).bind(lease).bind(until).execute(connection).await?;
    Ok(renewed.rows_affected() > 0)
}

/// Let all leases run out: their holders were tasks of a process that is gone.
pub(super) async fn expire_all(connection: &mut SqliteConnection, now: i64) -> Result<(), MessagingError> {
    sqlx::query(EXPIRE_ALL).bind(now).execute(connection).await?;
    Ok(())
}
