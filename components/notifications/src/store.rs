//! The component's database: the only place where SQL is.

use chassis_kit::db::{FromRow, Row, RowError};
use chassis_kit::values::time;
use chassis_kit::{Batch, Db, DbError, sql};
use jiff::{SignedDuration, Timestamp};

use crate::domain::address::Address;
use crate::domain::mail::Kind;

/// How long it is remembered what became of a mail.
const DELIVERIES_RETENTION: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What became of a mail.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// The event that made it.
    pub(crate) event_id: &'a str,
    /// Which mail it is.
    pub(crate) kind: Kind,
    /// To whom.
    pub(crate) user_id: &'a str,
    /// Its Message-ID; none where it was refused for good.
    pub(crate) message_id: Option<&'a str>,
    /// What the next hop answered.
    pub(crate) detail: &'a str,
}

/// The address of a user, if it is known yet.
pub(crate) async fn find_address(db: &Db, user_id: &str) -> Result<Option<Address>, DbError> {
    db.first(sql(include_str!("sql/find_address.sql")).bind(user_id)).await
}

/// How many mails of a kind a user was sent since then.
pub(crate) async fn count_sent(db: &Db, kind: Kind, user_id: &str, since: Timestamp) -> Result<i64, DbError> {
    let statement = sql(include_str!("sql/count_sent.sql")).bind(user_id).bind(since).bind(kind.as_str());
    let Count(count) = db.first(statement).await?.unwrap_or(Count(0));
    Ok(count)
}

/// Keep an address that was true at this time.
pub(crate) fn put_address(address: &Address, at: Timestamp) -> Batch {
    let statement = sql(include_str!("sql/put_address.sql"))
        .bind(address.user_id.as_str())
        .bind(address.email.as_str())
        .bind(address.first_name.as_str())
        .bind(address.last_name.as_str())
        .bind(at);
    Batch::new().run(statement)
}

/// Keep what became of a mail.
pub(crate) fn put_delivery(delivery: &Delivery<'_>, now: Timestamp) -> Batch {
    let outcome = if delivery.message_id.is_some() { "sent" } else { "refused" };
    let statement = sql(include_str!("sql/put_delivery.sql"))
        .bind(delivery.event_id)
        .bind(delivery.kind.as_str())
        .bind(delivery.user_id)
        .bind(outcome)
        .bind(delivery.message_id)
        .bind(delivery.detail)
        .bind(now);
    let purge = sql(include_str!("sql/purge_deliveries.sql")).bind(time::after(now, -DELIVERIES_RETENTION));
    Batch::new().run_affecting(1, statement).run(purge)
}

struct Count(i64);

impl FromRow for Count {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self(row.get("sent")?))
    }
}

impl FromRow for Address {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self {
            user_id: row.get("user_id")?,
            email: row.get("email")?,
            first_name: row.get("first_name")?,
            last_name: row.get("last_name")?,
        })
    }
}
