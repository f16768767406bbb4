//! The statements of a durable store. All that decide and then write run in one transaction of the only writer.

use sqlx::SqliteConnection;

use crate::key_value::purge::STEP_ENTRIES;
use crate::key_value::rules::Range;
use crate::key_value::{Entry, KeyValueError};

/// Steps of purging that a write to a full store waits for.
const PURGES_MAX: u32 = 8;

const GET: &str =
    "select version, expires_at, value from entry where key = ?1 and (expires_at is null or expires_at > ?2)";

/// Nothing is written where the store would be more than full: an entry takes its key, its value and 64 bytes, and
/// gives back what it took before.
const PUT: &str = "
insert into entry (key, version, expires_at, value)
select ?1, store.version + 1, ?2, ?3 from store
where store.bytes + length(?1) + length(?3) + 64 <= ?4
    + coalesce((select length(key) + length(value) + 64 from entry where key = ?1), 0)
on conflict (key) do update set
    version = excluded.version, expires_at = excluded.expires_at, value = excluded.value
returning version";

const DELETE: &str = "delete from entry where key = ?1 returning expires_at";

const PURGE: &str = "
delete from entry where seq in (
    select seq from entry where expires_at <= ?1 order by expires_at limit ?2
)";

const LIST: &str = "
select key from entry
where key >= ?1 and key < ?2 and (expires_at is null or expires_at > ?3) order by key limit ?4";

/// An entry that exists, with its end.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) expires_at: Option<i64>,
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct New<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
    pub(super) expires_at: Option<i64>,
}

pub(super) async fn get(
    connection: &mut SqliteConnection,
    key: &str,
    now: i64,
) -> Result<Option<Found>, KeyValueError> {
    let found = sqlx::query_as(GET).bind(key.as_bytes()).bind(now).fetch_optional(connection).await?;
    let found: Option<(i64, Option<i64>, Vec<u8>)> = found;
    Ok(found.map(|(version, expires_at, value)| Found {
        entry: Entry { value, version: version.unsigned_abs() },
        expires_at,
    }))
}

/// Write an entry; its version. A full store first forgets what is expired.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    new: New<'_>,
    now: i64,
    bytes_max: u64,
) -> Result<u64, KeyValueError> {
    let bytes = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    for _ in 0..PURGES_MAX {
        let put = sqlx::query_scalar(PUT).bind(new.key.as_bytes()).bind(new.expires_at).bind(new.value).bind(bytes);
        let version: Option<i64> = put.fetch_optional(&mut *connection).await?;
        if let Some(version) = version {
            return Ok(version.unsigned_abs());
        }
        if purge(connection, now).await? == 0 {
            break;
        }
    }
    Err(KeyValueError::TooLarge(format!("the store is full: it takes {bytes_max} bytes")))
}

/// Delete an entry; whether it existed.
pub(super) async fn delete(connection: &mut SqliteConnection, key: &str, now: i64) -> Result<bool, KeyValueError> {
    let deleted = sqlx::query_scalar(DELETE).bind(key.as_bytes()).fetch_optional(connection).await?;
    let deleted: Option<Option<i64>> = deleted;
    Ok(deleted.is_some_and(|expires_at| expires_at.is_none_or(|at| at > now)))
}

/// Delete a step of what is expired; how many entries that were.
pub(super) async fn purge(connection: &mut SqliteConnection, now: i64) -> Result<u64, KeyValueError> {
    let purged = sqlx::query(PURGE).bind(now).bind(STEP_ENTRIES).execute(connection).await?;
    Ok(purged.rows_affected())
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    range: Range,
    now: i64,
    limit: u32,
) -> Result<Vec<String>, KeyValueError> {
    let keys = sqlx::query_scalar(LIST).bind(range.from).bind(range.to).bind(now).bind(limit);
    let keys: Vec<Vec<u8>> = keys.fetch_all(connection).await?;
    let text = |key| String::from_utf8(key).map_err(|error| KeyValueError::Internal(format!("a stored key: {error}")));
    keys.into_iter().map(text).collect()
}
