//! Small statements that several steps need, and the states of a delivery.

use sqlx::SqliteConnection;

use crate::messaging::MessagingError;

/// May be leased.
pub(super) const READY: u8 = 0;
/// An earlier delivery of its subject and queue is not done.
pub(super) const BLOCKED: u8 = 1;
/// Was never due.
pub(super) const DELAYED: u8 = 2;
/// Leased to a worker.
pub(super) const LEASED: u8 = 4;

/// Microseconds of waiting that one level of priority is worth: a delivery goes before those of the next higher
/// priority that became ready more than a minute after it. Nothing starves: after nine minutes the lowest priority is
/// before anything new.
const AGEING: i64 = 60_000_000;

const RESERVE: &str = "update counter set value = value + ?1 returning value";

/// Only the first of a subject that is not done may be ready, and only where it is not leased or waiting for its retry.
pub(super) const RELEASE: &str = "
update delivery set state = 0
where state = 1 and seq in (
    select (
        select head.seq from delivery head
        where head.queue = pair.value ->> 0 and head.subject = pair.value ->> 1 and head.position is not null
        order by head.position limit 1
    )
    from json_each(?1) pair
)";

/// Where a delivery stands in the order of leasing: the lowest first.
pub(super) fn rank(ready_at: i64, priority: u8) -> i64 {
    ready_at.saturating_sub(i64::from(priority).saturating_mul(AGEING))
}

/// [`AGEING`], for statements that compute the rank.
pub(super) const fn ageing() -> i64 {
    AGEING
}

/// Take `count` numbers that never came up before; the first of them.
pub(super) async fn reserve(connection: &mut SqliteConnection, count: usize) -> Result<i64, MessagingError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last: i64 = sqlx::query_scalar(RESERVE).bind(count).fetch_one(connection).await?;
    Ok(last - count + 1)
}

/// Make the first delivery of each of these queues and subjects ready, where nothing holds it.
pub(super) async fn release(connection: &mut SqliteConnection, subjects: &[(i64, &str)]) -> Result<(), MessagingError> {
    if !subjects.is_empty() {
        sqlx::query(RELEASE).bind(json(&subjects)?).execute(connection).await?;
    }
    Ok(())
}

/// A list as a parameter of `json_each`: one statement for any number of rows.
pub(super) fn json<T: serde::Serialize + ?Sized>(list: &T) -> Result<String, MessagingError> {
    serde_json::to_string(list).map_err(|error| MessagingError::Internal(format!("cannot write a list: {error}")))
}
