//! The end of a lease.

use std::sync::Arc;

use chassis_config::plan::MessagingPolicy;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::SqliteConnection;

use super::dead::bury;
use super::numbers::release;
use crate::messaging::verdict::{Tried, Verdict, judge};
use crate::messaging::{MessagingError, Outcome};

pub(super) const FIND: &str = "
select seq, subject, failed, born_at from delivery
where event = (select seq from event where id = ?1) and queue = ?2 and state = 4 and lease = ?3";

/// The fence is in the statement: whoever lost the lease deletes nothing.
pub(super) const ACK: &str = "
delete from delivery
where event = (select seq from event where id = ?1) and queue = ?2 and state = 4 and lease = ?3
returning subject";

const AGAIN: &str = "
update delivery set state = 3, due_at = ?2, ready_at = ?2, failed = ?3, lease = 0 where seq = ?1";

/// Which lease is to end, and how.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) queue: i64,
    pub(super) event: Arc<str>,
    pub(super) lease: i64,
    pub(super) outcome: Outcome,
    pub(super) now: i64,
    /// Decides the jitter.
    pub(super) seed: u64,
}

/// End a lease.
pub(super) async fn complete(
    connection: &mut SqliteConnection,
    policy: &MessagingPolicy,
    ending: Ending,
) -> Result<(), MessagingError> {
    let queue = ending.queue;
    let subject = if ending.outcome == Outcome::Ack {
        ack(connection, &ending).await?
    } else {
        fail(connection, policy, ending).await?
    };
    match subject {
        Some(subject) => release(connection, &[(queue, &subject)]).await,
        None => Ok(()),
    }
}

/// Remove a delivery; the subject that is free now.
async fn ack(connection: &mut SqliteConnection, ending: &Ending) -> Result<Option<String>, MessagingError> {
    let held = sqlx::query_scalar(ACK).bind(&*ending.event).bind(ending.queue).bind(ending.lease);
    held.fetch_optional(connection).await?.ok_or(MessagingError::LeaseLost)
}

/// Put a delivery off, or among the dead letters; the subject that is free now.
async fn fail(
    connection: &mut SqliteConnection,
    policy: &MessagingPolicy,
    ending: Ending,
) -> Result<Option<String>, MessagingError> {
    let held = sqlx::query_as(FIND).bind(&*ending.event).bind(ending.queue).bind(ending.lease);
    let held: Option<(i64, Option<String>, u32, i64)> = held.fetch_optional(&mut *connection).await?;
    let (seq, subject, failed, born_at) = held.ok_or(MessagingError::LeaseLost)?;
    let tried = Tried { failed, born_at };
    let mut chance = StdRng::seed_from_u64(ending.seed);
    match judge(policy, tried, ending.outcome, ending.now, &mut chance) {
        Verdict::Done => Ok(subject),
        Verdict::Again { at, failed } => {
            sqlx::query(AGAIN).bind(seq).bind(at).bind(failed).execute(connection).await?;
            Ok(None)
        }
        Verdict::Dead { failed, reason } => {
            bury(connection, seq, (failed, &reason), ending.now).await?;
            Ok(subject)
        }
    }
}
