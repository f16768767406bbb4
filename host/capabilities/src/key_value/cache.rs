//! A store in memory, for what may be forgotten. Nothing of it survives a restart.

mod shelf;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chassis_config::plan::KeyValuePlan;
use tokio_util::task::AbortOnDropHandle;

use self::shelf::{Shelf, Slot, cost};
use super::purge::{self, Purge, STEP_ENTRIES};
use super::rules::{Rules, add, encode_cursor, expiry, micros, page_range};
use super::{Entry, KeyValueBackend, KeyValueError, Page, SetMode, SwapOutcome};
use crate::backlog::Weighed;
use crate::clock::Clock;

/// Expired entries that each write takes along, so that a busy cache does not wait for its next round.
const PURGED_PER_WRITE: u32 = 4;

/// A store in memory, bounded by `total_bytes`: the least recently used entries go first.
///
/// Every entry counts with its key, its value and 256 bytes. All operations are atomic: they hold one lock, never
/// across a wait, for a time that grows with the logarithm of the number of entries.
pub struct CacheStore {
    memory: Arc<Memory>,
    _purge: AbortOnDropHandle<()>,
}

struct Memory {
    rules: Rules,
    clock: Arc<dyn Clock>,
    shelf: Mutex<Shelf>,
}

impl CacheStore {
    /// An empty cache.
    ///
    /// Its versions begin at the present moment in microseconds, so that a version which somebody still holds from
    /// before a restart does not come up again.
    #[expect(clippy::unused_async, reason = "starts a background task, so it must run within a runtime")]
    pub async fn open(plan: &KeyValuePlan, clock: Arc<dyn Clock>) -> Self {
        let rules = Rules::new(plan);
        let version = u64::try_from(micros(clock.now())).unwrap_or(0);
        let shelf = Mutex::new(Shelf::new(rules.total_bytes, version));
        let memory = Arc::new(Memory { rules, clock, shelf });
        let purge = purge::spawn(Arc::clone(&memory) as Arc<dyn Purge>);
        Self { memory, _purge: purge }
    }

    /// Forget what is expired; how many entries that were. A background task does the same every 30 s.
    ///
    /// # Errors
    /// None at present.
    pub async fn purge(&self) -> Result<u64, KeyValueError> {
        purge::round(&*self.memory).await
    }
}

impl fmt::Debug for CacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheStore").field("rules", &self.memory.rules).finish_non_exhaustive()
    }
}

impl Memory {
    fn now(&self) -> i64 {
        micros(self.clock.now())
    }

    /// The lock is never poisoned in a harmful way: a shelf is consistent between any two of its methods.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        self.rules.check_entry(key, value)?;
        if cost(key, value) > self.rules.total_bytes {
            return Err(KeyValueError::TooLarge(format!("the whole cache is {} bytes", self.rules.total_bytes)));
        }
        Ok(())
    }
}

#[async_trait]
impl Purge for Memory {
    async fn step(&self) -> Result<u64, KeyValueError> {
        let now = self.now();
        Ok(self.shelf().purge(now, STEP_ENTRIES))
    }
}

#[async_trait]
impl KeyValueBackend for CacheStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, KeyValueError> {
        self.memory.rules.check_key(key)?;
        let now = self.memory.now();
        let found = self.memory.shelf().get(key, now);
        Ok(found.map(entry))
    }

    async fn set(
        &self,
        key: &str,
        value: Weighed<Vec<u8>>,
        ttl: Option<Duration>,
        mode: SetMode,
    ) -> Result<bool, KeyValueError> {
        self.memory.check(key, &value)?;
        let value = Arc::<[u8]>::from(value.as_slice());
        let now = self.memory.now();
        let mut shelf = self.memory.shelf();
        if mode == SetMode::IfAbsent && shelf.get(key, now).is_some() {
            return Ok(false);
        }
        shelf.purge(now, PURGED_PER_WRITE);
        shelf.put(key, value, expiry(now, ttl));
        Ok(true)
    }

    async fn delete(&self, key: &str) -> Result<bool, KeyValueError> {
        self.memory.rules.check_key(key)?;
        let now = self.memory.now();
        let removed = self.memory.shelf().remove(key);
        Ok(removed.is_some_and(|slot| slot.expires_at.is_none_or(|at| at > now)))
    }

    async fn increment(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, KeyValueError> {
        self.memory.rules.check_key(key)?;
        let now = self.memory.now();
        let mut shelf = self.memory.shelf();
        let current = shelf.get(key, now);
        let sum = add(current.as_ref().map(|slot| slot.value.as_ref()), delta)?;
        let value = sum.to_string().into_bytes();
        self.memory.check(key, &value)?;
        let expires_at = match current {
            Some(slot) => slot.expires_at,
            None => expiry(now, ttl),
        };
        shelf.purge(now, PURGED_PER_WRITE);
        shelf.put(key, value.into(), expires_at);
        Ok(sum)
    }

    async fn swap(
        &self,
        key: &str,
        version: u64,
        value: Weighed<Vec<u8>>,
        ttl: Option<Duration>,
    ) -> Result<SwapOutcome, KeyValueError> {
        self.memory.check(key, &value)?;
        let value = Arc::<[u8]>::from(value.as_slice());
        let now = self.memory.now();
        let mut shelf = self.memory.shelf();
        let current = shelf.get(key, now);
        if current.as_ref().map_or(0, |slot| slot.version) != version {
            drop(shelf);
            return Ok(SwapOutcome::Stale(current.map(entry)));
        }
        shelf.purge(now, PURGED_PER_WRITE);
        Ok(SwapOutcome::Swapped(shelf.put(key, value, expiry(now, ttl))))
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, KeyValueError> {
        let range = page_range(prefix, cursor, limit)?;
        let from = String::from_utf8(range.from).map_err(|error| KeyValueError::Internal(error.to_string()))?;
        let now = self.memory.now();
        let shelf = self.memory.shelf();
        let mut keys = shelf.keys_from(&from, now).take_while(|key| key.as_bytes() < range.to.as_slice());
        let page: Vec<String> = keys.by_ref().take(limit as usize).map(str::to_owned).collect();
        let cursor = keys.next().and(page.last()).map(|last| encode_cursor(last));
        Ok(Page { keys: page, cursor })
    }

    async fn close(&self) {}
}

/// Copies the value, and is therefore called without the lock.
fn entry(slot: Slot) -> Entry {
    Entry { value: slot.value.to_vec(), version: slot.version }
}
