//! A store in a SQLite file of its own, for what must survive.
//!
//! One file per label, not one for all: a component that writes without pause fills the queue of its own writer only, a
//! full or damaged file is one store's, and a store can be copied or removed alone. The price is a thread or two per
//! durable label.

mod statements;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chassis_config::plan::KeyValuePlan;
use tokio_util::task::AbortOnDropHandle;

use self::statements::New;
use super::purge::{self, Purge};
use super::rules::{Rules, add, encode_cursor, expiry, micros, page_range};
use super::{Entry, KeyValueBackend, KeyValueError, Page, SetMode, SwapOutcome};
use crate::backlog::Weighed;
use crate::clock::Clock;
use crate::sqlite_file::{FileBounds, FileError, SqliteFile};

/// The schema, by version.
const SCHEMA: &[&str] = &[include_str!("durable/schema.sql")];

/// A store on disk: what was answered was synced before.
///
/// Bounded by `total_bytes`, where every entry counts with its key, its value and 64 bytes. A full store refuses with
/// `TooLarge` once nothing in it is expired. Must be used within a tokio runtime.
pub struct DurableStore {
    disk: Arc<Disk>,
    _purge: AbortOnDropHandle<()>,
}

struct Disk {
    file: SqliteFile,
    rules: Rules,
    clock: Arc<dyn Clock>,
}

impl DurableStore {
    /// Open or make the file of one store.
    ///
    /// # Errors
    /// Where the file cannot be opened, or was written by a newer host.
    pub async fn open(path: &Path, plan: &KeyValuePlan, clock: Arc<dyn Clock>) -> Result<Self, KeyValueError> {
        let file = SqliteFile::open(path, SCHEMA, FileBounds::default()).await?;
        let disk = Arc::new(Disk { file, rules: Rules::new(plan), clock });
        let purge = purge::spawn(Arc::clone(&disk) as Arc<dyn Purge>);
        Ok(Self { disk, _purge: purge })
    }

    /// Forget what is expired; how many entries that were. A background task does the same every 30 s.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub async fn purge(&self) -> Result<u64, KeyValueError> {
        purge::round(&*self.disk).await
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableStore").field("file", &self.disk.file).finish_non_exhaustive()
    }
}

impl Disk {
    fn now(&self) -> i64 {
        micros(self.clock.now())
    }
}

#[async_trait]
impl Purge for Disk {
    async fn step(&self) -> Result<u64, KeyValueError> {
        let now = self.now();
        self.file.write(move |connection| Box::pin(statements::purge(connection, now))).await
    }
}

#[async_trait]
impl KeyValueBackend for DurableStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, KeyValueError> {
        self.disk.rules.check_key(key)?;
        let (key, now) = (key.to_owned(), self.disk.now());
        let found =
            self.disk.file.read(|connection| Box::pin(async move { statements::get(connection, &key, now).await }));
        Ok(found.await?.map(|found| found.entry))
    }

    async fn set(
        &self,
        key: &str,
        value: Weighed<Vec<u8>>,
        ttl: Option<Duration>,
        mode: SetMode,
    ) -> Result<bool, KeyValueError> {
        self.disk.rules.check_entry(key, &value)?;
        let (now, total) = (self.disk.now(), self.disk.rules.total_bytes);
        let (key, value) = (Arc::<str>::from(key), Arc::new(value));
        let written = self.disk.file.write(move |connection| {
            let (key, value) = (Arc::clone(&key), Arc::clone(&value));
            Box::pin(async move {
                if mode == SetMode::IfAbsent && statements::get(connection, &key, now).await?.is_some() {
                    return Ok(false);
                }
                let new = New { key: &key, value: &value, expires_at: expiry(now, ttl) };
                statements::put(connection, new, now, total).await.map(|_version| true)
            })
        });
        written.await
    }

    async fn delete(&self, key: &str) -> Result<bool, KeyValueError> {
        self.disk.rules.check_key(key)?;
        let (key, now) = (Arc::<str>::from(key), self.disk.now());
        let deleted = self.disk.file.write(move |connection| {
            let key = Arc::clone(&key);
            Box::pin(async move { statements::delete(connection, &key, now).await })
        });
        deleted.await
    }

    async fn increment(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, KeyValueError> {
        self.disk.rules.check_key(key)?;
        let (key, now, rules) = (Arc::<str>::from(key), self.disk.now(), self.disk.rules);
        let incremented = self.disk.file.write(move |connection| {
            let key = Arc::clone(&key);
            Box::pin(async move {
                let current = statements::get(connection, &key, now).await?;
                let sum = add(current.as_ref().map(|found| found.entry.value.as_slice()), delta)?;
                let value = sum.to_string();
                rules.check_entry(&key, value.as_bytes())?;
                let expires_at = current.map_or_else(|| expiry(now, ttl), |found| found.expires_at);
                let new = New { key: &key, value: value.as_bytes(), expires_at };
                statements::put(connection, new, now, rules.total_bytes).await.map(|_version| sum)
            })
        });
        incremented.await
    }

    async fn swap(
        &self,
        key: &str,
        version: u64,
        value: Weighed<Vec<u8>>,
        ttl: Option<Duration>,
    ) -> Result<SwapOutcome, KeyValueError> {
        self.disk.rules.check_entry(key, &value)?;
        let (now, total) = (self.disk.now(), self.disk.rules.total_bytes);
        let (key, value) = (Arc::<str>::from(key), Arc::new(value));
        let swapped = self.disk.file.write(move |connection| {
            let (key, value) = (Arc::clone(&key), Arc::clone(&value));
            Box::pin(async move {
                let current = statements::get(connection, &key, now).await?.map(|found| found.entry);
                if current.as_ref().map_or(0, |entry| entry.version) != version {
                    return Ok(SwapOutcome::Stale(current));
                }
                let new = New { key: &key, value: &value, expires_at: expiry(now, ttl) };
                statements::put(connection, new, now, total).await.map(SwapOutcome::Swapped)
            })
        });
        swapped.await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, KeyValueError> {
        let (range, now) = (page_range(prefix, cursor, limit)?, self.disk.now());
        // One more than the page tells whether there is another.
        let listed = self.disk.file.read(|connection| Box::pin(statements::list(connection, range, now, limit + 1)));
        let mut keys = listed.await?;
        let more = keys.len() > limit as usize;
        keys.truncate(limit as usize);
        let cursor = keys.last().filter(|_| more).map(|last| encode_cursor(last));
        Ok(Page { keys, cursor })
    }

    async fn close(&self) {
        self.disk.file.close().await;
    }
}

impl From<FileError> for KeyValueError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Busy(wait) => Self::Busy(wait),
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for KeyValueError {
    fn from(error: sqlx::Error) -> Self {
        FileError::from(error).into()
    }
}
