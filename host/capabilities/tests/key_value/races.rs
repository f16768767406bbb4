//! Many at once: every operation is atomic.

use std::sync::Arc;

use chassis_capabilities::key_value::{KeyValueBackend, SetMode, SwapOutcome};
use tokio::task::JoinSet;

use crate::bench::{Bench, Cache, Durable, Factory};

const TASKS: usize = 64;
const ROUNDS: usize = 20;

macro_rules! races {
    ($($race:ident)*) => {
        $(
            mod $race {
                use super::*;

                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn cache() {
                    super::$race(Cache::open().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn durable() {
                    super::$race(Durable::open().await).await;
                }
            }
        )*
    };
}

races! {
    no_increment_is_lost
    no_swap_overwrites_another
    exactly_one_writes_where_nothing_was
    a_deleted_key_is_deleted_once
}

/// Run `work` in many tasks at a time; their answers.
async fn all_at_once<T, F>(bench: &Bench, work: impl Fn(Arc<dyn KeyValueBackend>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(work(Arc::clone(&bench.store), task));
    }
    tasks.join_all().await
}

async fn number(bench: &Bench, key: &str) -> usize {
    let entry = bench.store.get(key).await.expect("reads").expect("there");
    String::from_utf8(entry.value).expect("text").parse().expect("a number")
}

async fn no_increment_is_lost(bench: Bench) {
    let answers = all_at_once(&bench, |store, _| async move {
        let mut answers = Vec::new();
        for _ in 0..ROUNDS {
            answers.push(store.increment("n", 1, None).await.expect("adds"));
        }
        answers
    });
    let mut answers = answers.await.concat();
    answers.sort_unstable();
    let expected: Vec<i64> = (1..=(TASKS * ROUNDS) as i64).collect();
    assert_eq!(answers, expected, "each answer once");
    assert_eq!(number(&bench, "n").await, TASKS * ROUNDS);
}

async fn no_swap_overwrites_another(bench: Bench) {
    let wins = all_at_once(&bench, |store, _| async move {
        let (mut wins, mut version, mut value) = (0_usize, 0, 0_usize);
        while wins < 4 {
            let next = (value + 1).to_string().into_bytes();
            match store.swap("n", version, next.into(), None).await.expect("swaps") {
                SwapOutcome::Swapped(now) => {
                    wins += 1;
                    (version, value) = (now, value + 1);
                }
                SwapOutcome::Stale(entry) => {
                    let entry = entry.expect("nobody deletes");
                    value = String::from_utf8(entry.value).expect("text").parse().expect("a number");
                    version = entry.version;
                }
            }
        }
        wins
    });
    assert_eq!(wins.await.into_iter().sum::<usize>(), TASKS * 4);
    assert_eq!(number(&bench, "n").await, TASKS * 4);
}

async fn exactly_one_writes_where_nothing_was(bench: Bench) {
    for round in 0..ROUNDS {
        let written = all_at_once(&bench, move |store, task| async move {
            let value = task.to_string().into_bytes();
            let key = format!("k{round}");
            store.set(&key, value.into(), None, SetMode::IfAbsent).await.expect("answers").then_some(task)
        });
        let winners: Vec<usize> = written.await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(number(&bench, &format!("k{round}")).await, winners[0], "round {round}");
    }
}

async fn a_deleted_key_is_deleted_once(bench: Bench) {
    for round in 0..ROUNDS {
        bench.store.set("k", b"v".to_vec().into(), None, SetMode::Always).await.expect("writes");
        let deleted = all_at_once(&bench, |store, _| async move { store.delete("k").await.expect("answers") });
        assert_eq!(deleted.await.into_iter().filter(|deleted| *deleted).count(), 1, "round {round}");
    }
}
