//! What only one of the backends promises.

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::ManualClock;
use chassis_capabilities::key_value::{CacheStore, DurableStore, KeyValueBackend, KeyValueError, SetMode, SwapOutcome};
use chassis_config::plan::{Durability, KeyValuePlan};

use crate::abandoned::keeps_its_room;
use crate::bench::{clock, plan};

const SECOND: Duration = Duration::from_secs(1);

fn small(durability: Durability) -> KeyValuePlan {
    KeyValuePlan { total_bytes: 64 * 1_024, ..plan(durability) }
}

async fn fill(store: &dyn KeyValueBackend, ttl: Option<Duration>) -> Vec<Result<bool, KeyValueError>> {
    let mut answers = Vec::new();
    for n in 0..40 {
        answers.push(store.set(&format!("k{n:02}"), vec![0; 2_048].into(), ttl, SetMode::Always).await);
    }
    answers
}

#[tokio::test]
async fn a_full_cache_forgets_what_was_not_used_for_longest() {
    let store = CacheStore::open(&small(Durability::Cache), clock()).await;
    store.set("kept", b"v".to_vec().into(), None, SetMode::Always).await.expect("writes");
    for n in 0..200 {
        store
            .set(&format!("k{n:03}"), vec![0; 2_048].into(), None, SetMode::Always)
            .await
            .expect("a cache never refuses");
        assert!(store.get("kept").await.expect("reads").is_some(), "used all the time");
    }
    let keys = store.list("k", None, 1_000).await.expect("lists").keys;
    assert_eq!(keys.len(), 29, "28 entries of 2,308 bytes and a small one fill 64 KiB");
    assert_eq!(keys.last().map(String::as_str), Some("kept"));
    assert_eq!(keys.first().map(String::as_str), Some("k172"), "the last ones remain");
}

#[tokio::test]
async fn what_is_larger_than_the_whole_cache_is_refused() {
    let tiny = KeyValuePlan { total_bytes: 1_024, ..plan(Durability::Cache) };
    let store = CacheStore::open(&tiny, clock()).await;
    store.set("k", b"v".to_vec().into(), None, SetMode::Always).await.expect("fits");
    let refused = store.set("large", vec![0; 1_024].into(), None, SetMode::Always).await;
    assert!(matches!(refused, Err(KeyValueError::TooLarge(_))), "{refused:?}");
    assert!(store.get("k").await.expect("reads").is_some(), "and throws nothing out");
}

#[tokio::test]
async fn a_version_from_before_a_restart_never_fits_a_new_entry() {
    let clock = clock();
    let mut versions = std::collections::BTreeSet::new();
    for _restart in 0..5 {
        let store = CacheStore::open(&plan(Durability::Cache), Arc::clone(&clock) as _).await;
        for _write in 0..100 {
            store.set("k", b"v".to_vec().into(), None, SetMode::Always).await.expect("writes");
            assert!(versions.insert(store.get("k").await.expect("reads").expect("there").version));
        }
        clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn expired_entries_give_their_space_back() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    let cache = CacheStore::open(&plan(Durability::Cache), Arc::clone(&clock) as _).await;
    let path = folder.path().join("store.db");
    let durable = DurableStore::open(&path, &plan(Durability::Durable), Arc::clone(&clock) as _).await.expect("opens");
    fill(&cache, Some(SECOND)).await;
    fill(&durable, Some(SECOND)).await;
    assert_eq!((cache.purge().await, durable.purge().await), (Ok(0), Ok(0)));
    clock.advance(SECOND);
    assert_eq!((cache.purge().await, durable.purge().await), (Ok(40), Ok(40)));
    assert_eq!((cache.purge().await, durable.purge().await), (Ok(0), Ok(0)));
}

#[tokio::test]
async fn more_than_a_step_of_expired_entries_is_purged_in_steps() {
    let clock = clock();
    let cache = CacheStore::open(&plan(Durability::Cache), Arc::clone(&clock) as _).await;
    for n in 0..2_500 {
        cache.set(&format!("k{n}"), Vec::new().into(), Some(SECOND), SetMode::Always).await.expect("writes");
    }
    clock.advance(SECOND);
    assert_eq!(cache.purge().await, Ok(2_500));
}

async fn open(folder: &tempfile::TempDir, plan: &KeyValuePlan, clock: &Arc<ManualClock>) -> DurableStore {
    DurableStore::open(&folder.path().join("store.db"), plan, Arc::clone(clock) as _).await.expect("opens")
}

#[tokio::test]
async fn a_durable_store_survives_a_restart_with_its_versions_and_times() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    let store = open(&folder, &plan(Durability::Durable), &clock).await;
    store.set("kept", b"v".to_vec().into(), None, SetMode::Always).await.expect("writes");
    store.set("short", b"v".to_vec().into(), Some(SECOND), SetMode::Always).await.expect("writes");
    store.increment("n", 5, Some(5 * SECOND)).await.expect("adds");
    let before = store.get("kept").await.expect("reads").expect("there");
    store.set("gone", b"v".to_vec().into(), None, SetMode::Always).await.expect("writes");
    let gone = store.get("gone").await.expect("reads").expect("there").version;
    store.delete("gone").await.expect("deletes");
    store.close().await;
    assert!(matches!(store.get("kept").await, Err(KeyValueError::Internal(_))), "closed is closed");
    clock.advance(SECOND);
    let store = open(&folder, &plan(Durability::Durable), &clock).await;
    assert_eq!(store.get("kept").await, Ok(Some(before.clone())));
    assert_eq!(store.get("short").await, Ok(None));
    assert_eq!(store.increment("n", 1, None).await, Ok(6));
    let SwapOutcome::Swapped(new) = store.swap("gone", 0, b"v".to_vec().into(), None).await.expect("swaps") else {
        panic!("absent")
    };
    assert!(new > gone && new > before.version);
}

#[tokio::test]
async fn a_full_durable_store_refuses_and_keeps_what_it_has() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    let store = open(&folder, &small(Durability::Durable), &clock).await;
    let answers = fill(&store, None).await;
    let written = answers.iter().filter(|answer| **answer == Ok(true)).count();
    assert_eq!(written, 30, "30 entries of 2,115 bytes fit 64 KiB, 31 do not");
    let refused = answers.iter().filter(|answer| matches!(answer, Err(KeyValueError::TooLarge(_)))).count();
    assert_eq!(written + refused, 40);
    assert_eq!(store.list("", None, 100).await.expect("lists").keys.len(), written);
    assert_eq!(store.set("k00", vec![1; 2_048].into(), None, SetMode::Always).await, Ok(true), "in its own place");
    store.delete("k01").await.expect("deletes");
    assert_eq!(
        store.set("k99", vec![1; 2_048].into(), None, SetMode::Always).await,
        Ok(true),
        "in the place of another"
    );
}

#[tokio::test]
async fn a_full_durable_store_makes_room_from_what_is_expired() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    let store = open(&folder, &small(Durability::Durable), &clock).await;
    fill(&store, Some(SECOND)).await;
    clock.advance(SECOND);
    assert_eq!(store.set("new", vec![0; 2_048].into(), None, SetMode::Always).await, Ok(true));
    assert_eq!(store.purge().await, Ok(0), "nothing expired was left");
}

#[tokio::test]
async fn an_accepted_write_is_done_even_if_nobody_waits_for_it() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    let store = open(&folder, &plan(Durability::Durable), &clock).await;
    for n in 0..20 {
        let key = format!("k{n}");
        let write = store.set(&key, b"v".to_vec().into(), None, SetMode::Always);
        // Polled once, then dropped.
        let polled = tokio::time::timeout(Duration::ZERO, write).await;
        drop(polled);
    }
    store.close().await;
    let store = open(&folder, &plan(Durability::Durable), &clock).await;
    assert_eq!(store.list("", None, 100).await.expect("lists").keys.len(), 20);
}

#[tokio::test]
async fn a_write_that_was_left_keeps_its_room_until_it_is_done() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    let store = open(&folder, &plan(Durability::Durable), &clock).await;
    let file = folder.path().join("store.db");
    keeps_its_room(&file, b"set".to_vec(), |value| store.set("set", value, None, SetMode::Always)).await;
    keeps_its_room(&file, b"swapped".to_vec(), |value| store.swap("swapped", 0, value, None)).await;
    for key in ["set", "swapped"] {
        assert_eq!(store.get(key).await.expect("reads").expect("there").value, key.as_bytes());
    }
}
