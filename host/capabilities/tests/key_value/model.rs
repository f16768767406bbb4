//! Any history of operations answers as a sorted map with a clock would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chassis_capabilities::key_value::{Entry, KeyValueError, SetMode, SwapOutcome};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::bench::{Bench, Cache, Durable, Factory};

#[derive(Debug, Clone)]
enum Operation {
    Get(String),
    Set(String, Vec<u8>, Option<u64>, bool),
    Delete(String),
    Increment(String, i64, Option<u64>),
    Swap(String, Guess, Vec<u8>, Option<u64>),
    List(String, u32),
    Pass(u64),
}

/// Which version a swap names.
#[derive(Debug, Clone)]
enum Guess {
    Current,
    Absent,
    Wrong,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    entries: BTreeMap<String, Held>,
    versions: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
struct Held {
    value: Vec<u8>,
    version: u64,
    until: Option<u64>,
}

fn operation() -> impl Strategy<Value = Operation> {
    let key = || "[ab/é]{1,2}";
    let value =
        || prop_oneof!["[0-9]{1,3}", "[a-z]{0,3}", Just("9223372036854775807".to_owned())].prop_map(String::into_bytes);
    let ttl = || proptest::option::of(0_u64..40);
    let guess = prop_oneof![3 => Just(Guess::Current), 1 => Just(Guess::Absent), 1 => Just(Guess::Wrong)];
    prop_oneof![
        key().prop_map(Operation::Get),
        (key(), value(), ttl(), any::<bool>())
            .prop_map(|(key, value, ttl, always)| Operation::Set(key, value, ttl, always)),
        key().prop_map(Operation::Delete),
        (key(), -3_i64..4, ttl()).prop_map(|(key, delta, ttl)| Operation::Increment(key, delta, ttl)),
        (key(), guess, value(), ttl()).prop_map(|(key, guess, value, ttl)| Operation::Swap(key, guess, value, ttl)),
        ("[ab/]{0,1}", 1_u32..4).prop_map(|(prefix, limit)| Operation::List(prefix, limit)),
        (0_u64..20).prop_map(Operation::Pass),
    ]
}

impl Model {
    fn live(&self, key: &str) -> Option<&Held> {
        self.entries.get(key).filter(|held| held.until.is_none_or(|until| until > self.now))
    }

    fn write(&mut self, key: &str, value: Vec<u8>, until: Option<u64>) {
        self.entries.insert(key.to_owned(), Held { value, version: 0, until });
    }

    fn end(&self, ttl: Option<u64>) -> Option<u64> {
        ttl.map(|ttl| self.now + ttl)
    }

    /// Learn the version of a key that was just written: it must be new.
    async fn learn(&mut self, key: &str, bench: &Bench) {
        if self.live(key).is_some() {
            let entry = bench.store.get(key).await.expect("reads").expect("just written");
            assert!(entry.version != 0 && self.versions.insert(entry.version), "version {} came back", entry.version);
            self.entries.get_mut(key).expect("live").version = entry.version;
        }
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        self.live(key).map(|held| Entry { value: held.value.clone(), version: held.version })
    }

    async fn apply(&mut self, operation: Operation, bench: &Bench) {
        let millis = |ttl: Option<u64>| ttl.map(Duration::from_millis);
        match operation {
            Operation::Get(key) => assert_eq!(bench.store.get(&key).await, Ok(self.entry(&key))),
            Operation::Set(key, value, ttl, always) => {
                let mode = if always { SetMode::Always } else { SetMode::IfAbsent };
                let written = always || self.live(&key).is_none();
                assert_eq!(bench.store.set(&key, value.clone().into(), millis(ttl), mode).await, Ok(written));
                if written {
                    self.write(&key, value, self.end(ttl));
                    self.learn(&key, bench).await;
                }
            }
            Operation::Delete(key) => {
                assert_eq!(bench.store.delete(&key).await, Ok(self.live(&key).is_some()));
                self.entries.remove(&key);
            }
            Operation::Increment(key, delta, ttl) => {
                let answer = bench.store.increment(&key, delta, millis(ttl)).await;
                self.increment(&key, delta, ttl, answer);
                self.learn_changed(&key, bench).await;
            }
            Operation::Swap(key, guess, value, ttl) => {
                let current = self.live(&key).map_or(0, |held| held.version);
                let named = match guess {
                    Guess::Current => current,
                    Guess::Absent => 0,
                    Guess::Wrong => u64::MAX >> 1,
                };
                match bench.store.swap(&key, named, value.clone().into(), millis(ttl)).await.expect("answers") {
                    SwapOutcome::Swapped(_) => {
                        assert_eq!(named, current);
                        self.write(&key, value, self.end(ttl));
                        self.learn(&key, bench).await;
                    }
                    SwapOutcome::Stale(entry) => {
                        assert_ne!(named, current);
                        assert_eq!(entry, self.entry(&key));
                    }
                }
            }
            Operation::List(prefix, limit) => self.list(&prefix, limit, bench).await,
            Operation::Pass(time) => {
                bench.pass(Duration::from_millis(time));
                self.now += time;
            }
        }
    }

    fn increment(&mut self, key: &str, delta: i64, ttl: Option<u64>, answer: Result<i64, KeyValueError>) {
        let held = self.live(key).cloned();
        let number = match &held {
            Some(held) => std::str::from_utf8(&held.value).ok().and_then(|text| text.parse::<i64>().ok()),
            None => Some(0),
        };
        match number.and_then(|number| number.checked_add(delta)) {
            Some(sum) => {
                assert_eq!(answer, Ok(sum));
                let until = held.map_or_else(|| self.end(ttl), |held| held.until);
                self.write(key, sum.to_string().into_bytes(), until);
            }
            None => assert_eq!(answer, Err(KeyValueError::NotANumber)),
        }
    }

    async fn learn_changed(&mut self, key: &str, bench: &Bench) {
        if self.live(key).is_some_and(|held| held.version == 0) {
            self.learn(key, bench).await;
        }
    }

    async fn list(&self, prefix: &str, limit: u32, bench: &Bench) {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let page = bench.store.list(prefix, cursor.as_deref(), limit).await.expect("lists");
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<&String> =
            self.entries.keys().filter(|key| key.starts_with(prefix) && self.live(key).is_some()).collect();
        assert_eq!(keys.iter().collect::<Vec<_>>(), expected);
    }
}

fn answers_as_the_model<F: Factory>(cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("starts");
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(operation(), 1..60), |operations| {
        runtime.block_on(async {
            let (bench, mut model) = (F::open().await, Model::default());
            for operation in operations {
                model.apply(operation, &bench).await;
            }
        });
        Ok(())
    });
    outcome.expect("the store answers as the model");
}

#[test]
fn the_cache_answers_as_the_model() {
    answers_as_the_model::<Cache>(400);
}

#[test]
fn the_durable_store_answers_as_the_model() {
    answers_as_the_model::<Durable>(60);
}
