//! The inbox: which events were handled, recorded in the batch of their effect.

use jiff::{SignedDuration, Timestamp};

use super::Event;
use crate::db::{Batch, Db, DbError, Statement, sql};
use crate::values::time;

/// How long the inbox remembers an event: longer than the host may redeliver it.
const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The table `inbox` of a component's database (see the README of this crate for its schema).
#[derive(Debug, Clone, Copy)]
pub struct Inbox {
    db: Db,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Its effect was kept now.
    Now,
    /// Its effect was kept before; nothing was done.
    Before,
}

impl Inbox {
    /// The inbox in this database.
    pub const fn new(db: Db) -> Self {
        Self { db }
    }

    /// Keep the effect of an event, once: a redelivery changes nothing.
    ///
    /// # Errors
    /// See [`DbError`]; the step of [`DbError::Guard`] counts from the first of `effect`.
    pub async fn apply(&self, event: &Event, effect: Batch, now: Timestamp) -> Result<Applied, DbError> {
        let first = Batch::new().run_affecting(1, record(event, now));
        match self.db.apply(first.then(effect).run(purge(now))).await {
            Ok(_answers) => Ok(Applied::Now),
            Err(DbError::Guard(0)) => Ok(Applied::Before),
            Err(DbError::Guard(step)) => Err(DbError::Guard(step.saturating_sub(1))),
            Err(error) => Err(error),
        }
    }

    /// Whether an event was handled before. For effects outside the database, which cannot be part of a batch: look,
    /// cause the effect under a name that the other side recognises, then [`Inbox::apply`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn has(&self, event: &Event) -> Result<bool, DbError> {
        let found = self.db.query(sql(include_str!("../sql/find_inbox_event.sql")).bind(event.id())).await?;
        Ok(!found.is_empty())
    }
}

fn record(event: &Event, now: Timestamp) -> Statement {
    sql(include_str!("../sql/put_inbox_event.sql")).bind(event.id()).bind(now)
}

fn purge(now: Timestamp) -> Statement {
    sql(include_str!("../sql/purge_inbox.sql")).bind(time::after(now, -RETENTION))
}
