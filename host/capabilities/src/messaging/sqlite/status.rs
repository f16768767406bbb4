//! Counts per queue.

use sqlx::SqliteConnection;

use crate::messaging::{MessagingError, QueueStatus};

/// The triggers have counted. What has become due since nobody leased from a queue is counted here: an index tells it,
/// and where workers are at work there is next to nothing of it.
pub(super) const STATUS: &str = "
with due as (
    select queue.id as queue, delivery.state, count(*) as n, min(delivery.due_at) as since
    from queue cross join delivery on delivery.queue = queue.id and delivery.due_at <= ?1
    group by queue.id, delivery.state
),
counted as (
    select queue, state, n from queue_count
    union all select queue, state, -n from due
    union all select queue, 0, n from due
)
select
    queue.name,
    sum(n) filter (where state = 0) as ready,
    sum(n) filter (where state = 1) as blocked,
    sum(n) filter (where state in (2, 3)) as delayed,
    sum(n) filter (where state = 4) as leased,
    sum(n) filter (where state = 9) as dead,
    (select min(ready_at) from delivery where delivery.queue = queue.id and state = 0) as ready_since,
    (select min(since) from due where due.queue = queue.id) as due_since
from counted join queue on queue.id = counted.queue
group by queue.id
order by queue.name";

/// The columns of [`STATUS`].
type Row = (String, i64, i64, i64, i64, i64, Option<i64>, Option<i64>);

/// All queues, by name.
pub(super) async fn status(connection: &mut SqliteConnection, now: i64) -> Result<Vec<QueueStatus>, MessagingError> {
    let rows: Vec<Row> = sqlx::query_as(STATUS).bind(now).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| counts(row, now)).collect())
}

fn counts((queue, ready, blocked, delayed, leased, dead, ready_since, due_since): Row, now: i64) -> QueueStatus {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let since = [ready_since, due_since].into_iter().flatten().min();
    QueueStatus {
        queue,
        ready: count(ready),
        blocked: count(blocked),
        delayed: count(delayed),
        leased: count(leased),
        dead: count(dead),
        oldest_ready_seconds: since.map(|since| count(now.saturating_sub(since)) / 1_000_000),
    }
}
