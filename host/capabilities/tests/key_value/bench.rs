//! A store on the bench, with a clock that tests can advance.

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::ManualClock;
use chassis_capabilities::key_value::{CacheStore, DurableStore, KeyValueBackend};
use chassis_config::plan::{Durability, KeyValuePlan};
use jiff::Timestamp;
use tempfile::TempDir;

/// A store and what drives it.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn KeyValueBackend>,
    clock: Arc<ManualClock>,
    _folder: Option<TempDir>,
}

impl Bench {
    /// Let time pass for the store.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// Makes stores of one backend.
pub(crate) trait Factory {
    async fn open() -> Bench;
}

pub(crate) struct Cache;

pub(crate) struct Durable;

impl Factory for Cache {
    async fn open() -> Bench {
        let clock = clock();
        let store = CacheStore::open(&plan(Durability::Cache), Arc::clone(&clock) as _).await;
        Bench { store: Arc::new(store), clock, _folder: None }
    }
}

impl Factory for Durable {
    async fn open() -> Bench {
        let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
        let path = folder.path().join("store.db");
        let store = DurableStore::open(&path, &plan(Durability::Durable), Arc::clone(&clock) as _).await;
        Bench { store: Arc::new(store.expect("opens")), clock, _folder: Some(folder) }
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_second(1_700_000_000).expect("a time")))
}

pub(crate) const KEY_BYTES: usize = 64;
pub(crate) const VALUE_BYTES: usize = 4_096;

pub(crate) fn plan(durability: Durability) -> KeyValuePlan {
    KeyValuePlan {
        durability,
        value_bytes: VALUE_BYTES as u64,
        key_bytes: u32::try_from(KEY_BYTES).expect("small"),
        total_bytes: 1 << 20,
    }
}
