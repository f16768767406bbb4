//! A process that dies at any moment has kept all that it answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::key_value::{DurableStore, KeyValueBackend};
use chassis_config::plan::Durability;

use crate::{bench, victim};

const TASKS: usize = 16;
const KILLS: u64 = 8;

async fn open(folder: &Path) -> DurableStore {
    let plan = bench::plan(Durability::Durable);
    DurableStore::open(&folder.join("store.db"), &plan, Arc::new(SystemClock)).await.expect("opens")
}

/// Increment counters for ever, and tell each answer.
async fn count_until_killed(folder: &Path) {
    let store = Arc::new(open(folder).await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            loop {
                let value = store.increment(&format!("n{task}"), 1, None).await.expect("adds");
                victim::say(&format!("n{task} {value}"));
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    if let Some(folder) = victim::folder() {
        return count_until_killed(&folder).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut answered: BTreeMap<String, i64> = BTreeMap::new();
    for kill in 0..KILLS {
        let life = Duration::from_millis(20 + 23 * kill);
        let said = victim::live_and_die("kill::what_was_answered_survives_a_kill", folder.path(), life);
        assert!(!said.is_empty());
        for line in said {
            let (key, value) = line.split_once(' ').expect("key and value");
            answered.insert(key.to_owned(), value.parse().expect("a number"));
        }
        let store = open(folder.path()).await;
        for (key, answered) in &mut answered {
            let found = store.increment(key, 0, None).await.expect("reads");
            assert!((*answered..=*answered + 1).contains(&found), "{key}: answered {answered}, found {found}");
            *answered = found;
        }
        store.close().await;
    }
    assert!(answered.values().sum::<i64>() > i64::try_from(TASKS).expect("few"), "there was work");
}
