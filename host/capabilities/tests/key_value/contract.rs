//! The promises, one by one.

use std::time::Duration;

use chassis_capabilities::key_value::{Entry, KeyValueError, SetMode, SwapOutcome};

use crate::bench::{Bench, Cache, Durable, Factory, KEY_BYTES, VALUE_BYTES};

const SECOND: Duration = Duration::from_secs(1);

macro_rules! promises {
    ($backend:ident: $($promise:ident)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                super::$promise($crate::contract::$backend::open().await).await;
            }
        )*
    };
}

macro_rules! contract {
    ($($promise:ident)*) => {
        mod cache {
            use super::*;
            promises!(Cache: $($promise)*);
        }
        mod durable {
            use super::*;
            promises!(Durable: $($promise)*);
        }
    };
}

contract! {
    a_value_is_read_as_it_was_written
    what_does_not_exist_is_absent_in_every_answer
    if_absent_writes_once
    a_version_changes_with_every_write_and_never_comes_back
    a_swap_writes_only_where_the_version_still_holds
    a_key_ceases_to_exist_at_its_time_for_every_operation
    a_write_replaces_the_time_to_live
    an_increment_starts_at_zero_and_adds
    the_time_of_a_counter_counts_from_its_first_increment
    what_is_no_number_is_not_incremented
    keys_and_values_have_bounds
    a_list_is_in_byte_order_and_within_its_prefix
    pages_join_without_gap_or_repetition
    a_listing_is_stable_under_writes_between_its_pages
    a_bad_page_is_refused
}

impl Bench {
    async fn put(&self, key: &str, value: &str) {
        assert_eq!(self.store.set(key, Vec::from(value).into(), None, SetMode::Always).await, Ok(true));
    }

    async fn put_for(&self, key: &str, value: &str, ttl: Duration) {
        assert_eq!(self.store.set(key, Vec::from(value).into(), Some(ttl), SetMode::Always).await, Ok(true));
    }

    async fn entry(&self, key: &str) -> Option<Entry> {
        self.store.get(key).await.expect("reads")
    }

    async fn text(&self, key: &str) -> Option<String> {
        self.entry(key).await.map(|entry| String::from_utf8(entry.value).expect("text"))
    }

    /// All pages of a listing.
    async fn pages(&self, prefix: &str, limit: u32) -> Vec<Vec<String>> {
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.store.list(prefix, cursor.as_deref(), limit).await.expect("lists");
            pages.push(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return pages;
            }
        }
    }
}

async fn a_value_is_read_as_it_was_written(bench: Bench) {
    let all: Vec<u8> = (0..=255).collect();
    for (key, value) in [("bytes", all), ("empty", Vec::new()), ("ключ/🔑 %_", b"text".to_vec())] {
        assert_eq!(bench.store.set(key, value.clone().into(), None, SetMode::Always).await, Ok(true));
        assert_eq!(bench.entry(key).await.map(|entry| entry.value), Some(value), "{key}");
    }
    bench.put("bytes", "other").await;
    assert_eq!(bench.text("bytes").await.as_deref(), Some("other"));
    assert_eq!(bench.entry("Bytes").await, None, "keys differ by letter case");
}

async fn what_does_not_exist_is_absent_in_every_answer(bench: Bench) {
    assert_eq!(bench.entry("k").await, None);
    assert_eq!(bench.store.delete("k").await, Ok(false));
    assert_eq!(bench.store.swap("k", 7, b"v".to_vec().into(), None).await, Ok(SwapOutcome::Stale(None)));
    bench.put("k", "v").await;
    assert_eq!(bench.store.delete("k").await, Ok(true));
    assert_eq!(bench.store.delete("k").await, Ok(false));
    assert_eq!(bench.entry("k").await, None);
}

async fn if_absent_writes_once(bench: Bench) {
    assert_eq!(bench.store.set("k", b"first".to_vec().into(), None, SetMode::IfAbsent).await, Ok(true));
    assert_eq!(bench.store.set("k", b"second".to_vec().into(), None, SetMode::IfAbsent).await, Ok(false));
    assert_eq!(bench.text("k").await.as_deref(), Some("first"));
}

async fn a_version_changes_with_every_write_and_never_comes_back(bench: Bench) {
    let mut seen = std::collections::BTreeSet::from([0]);
    for round in 0..4 {
        bench.put("k", "same").await;
        assert!(seen.insert(bench.entry("k").await.expect("there").version), "set, round {round}");
        let version = bench.entry("k").await.expect("there").version;
        let SwapOutcome::Swapped(version) =
            bench.store.swap("k", version, b"1".to_vec().into(), None).await.expect("swaps")
        else {
            panic!("nobody else writes")
        };
        assert!(seen.insert(version), "swap, round {round}");
        assert_eq!(bench.entry("k").await.expect("there").version, version, "the answer of a swap is the version");
        bench.store.increment("k", 1, None).await.expect("adds");
        assert!(seen.insert(bench.entry("k").await.expect("there").version), "increment, round {round}");
        bench.store.delete("k").await.expect("deletes");
    }
}

async fn a_swap_writes_only_where_the_version_still_holds(bench: Bench) {
    let created = bench.store.swap("k", 0, b"a".to_vec().into(), None).await.expect("swaps");
    let SwapOutcome::Swapped(first) = created else { panic!("0 stands for absence") };
    let stale = bench.store.swap("k", 0, b"b".to_vec().into(), None).await;
    assert_eq!(stale, Ok(SwapOutcome::Stale(Some(Entry { value: b"a".to_vec(), version: first }))));
    let SwapOutcome::Swapped(second) = bench.store.swap("k", first, b"b".to_vec().into(), None).await.expect("swaps")
    else {
        panic!("the version holds")
    };
    let stale = bench.store.swap("k", first, b"c".to_vec().into(), None).await;
    assert_eq!(stale, Ok(SwapOutcome::Stale(Some(Entry { value: b"b".to_vec(), version: second }))));
    bench.store.delete("k").await.expect("deletes");
    assert_eq!(bench.store.swap("k", second, b"d".to_vec().into(), None).await, Ok(SwapOutcome::Stale(None)));
}

async fn a_key_ceases_to_exist_at_its_time_for_every_operation(bench: Bench) {
    for key in ["get", "list", "absent", "delete", "increment", "swap"] {
        bench.put_for(key, "5", SECOND).await;
    }
    bench.pass(SECOND - Duration::from_millis(1));
    assert_eq!(bench.pages("", 100).await.concat().len(), 6);
    let version = bench.entry("swap").await.expect("still there").version;
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.pages("", 100).await.concat(), Vec::<String>::new());
    assert_eq!(bench.entry("get").await, None);
    assert_eq!(bench.store.set("absent", b"new".to_vec().into(), None, SetMode::IfAbsent).await, Ok(true));
    assert_eq!(bench.store.delete("delete").await, Ok(false));
    assert_eq!(bench.store.increment("increment", 1, None).await, Ok(1));
    assert_eq!(bench.store.swap("swap", version, b"v".to_vec().into(), None).await, Ok(SwapOutcome::Stale(None)));
    assert_eq!(bench.store.set("zero", b"v".to_vec().into(), Some(Duration::ZERO), SetMode::Always).await, Ok(true));
    assert_eq!(bench.entry("zero").await, None, "a time to live of nothing");
    bench.put_for("for ever", "v", Duration::MAX).await;
    bench.pass(Duration::from_secs(1 << 33));
    assert_eq!(bench.text("for ever").await.as_deref(), Some("v"));
}

async fn a_write_replaces_the_time_to_live(bench: Bench) {
    bench.put_for("longer", "v", SECOND).await;
    bench.put_for("longer", "v", 3 * SECOND).await;
    bench.put_for("none", "v", SECOND).await;
    bench.put("none", "v").await;
    bench.put_for("swapped", "v", SECOND).await;
    let version = bench.entry("swapped").await.expect("there").version;
    bench.store.swap("swapped", version, b"v".to_vec().into(), Some(3 * SECOND)).await.expect("swaps");
    bench.put_for("untouched", "v", SECOND).await;
    bench.store.set("untouched", b"w".to_vec().into(), Some(9 * SECOND), SetMode::IfAbsent).await.expect("refused");
    bench.pass(2 * SECOND);
    assert_eq!(bench.pages("", 100).await.concat(), ["longer", "none", "swapped"]);
    bench.pass(SECOND);
    assert_eq!(bench.pages("", 100).await.concat(), ["none"]);
}

async fn an_increment_starts_at_zero_and_adds(bench: Bench) {
    assert_eq!(bench.store.increment("n", 5, None).await, Ok(5));
    assert_eq!(bench.store.increment("n", -7, None).await, Ok(-2));
    assert_eq!(bench.store.increment("n", 0, None).await, Ok(-2));
    assert_eq!(bench.text("n").await.as_deref(), Some("-2"), "a counter is read as decimal text");
    bench.put("n", "40").await;
    assert_eq!(bench.store.increment("n", 2, None).await, Ok(42));
}

async fn the_time_of_a_counter_counts_from_its_first_increment(bench: Bench) {
    for _ in 0..4 {
        bench.store.increment("n", 1, Some(4 * SECOND)).await.expect("adds");
        bench.pass(SECOND);
    }
    assert_eq!(
        bench.store.increment("n", 1, Some(4 * SECOND)).await,
        Ok(1),
        "the window has ended, and a new one begins"
    );
    bench.put("no end", "1").await;
    bench.store.increment("no end", 1, Some(SECOND)).await.expect("adds");
    bench.pass(2 * SECOND);
    assert_eq!(bench.text("no end").await.as_deref(), Some("2"));
}

async fn what_is_no_number_is_not_incremented(bench: Bench) {
    for (value, delta) in [("", 1), ("1.5", 1), ("one", 1), ("9223372036854775807", 1), ("-9223372036854775808", -1)] {
        bench.put("k", value).await;
        let before = bench.entry("k").await;
        assert_eq!(bench.store.increment("k", delta, None).await, Err(KeyValueError::NotANumber), "{value}");
        assert_eq!(bench.entry("k").await, before, "{value}");
    }
    assert_eq!(bench.store.increment("max", i64::MAX, None).await, Ok(i64::MAX));
    assert_eq!(bench.store.increment("min", i64::MIN, None).await, Ok(i64::MIN));
}

async fn keys_and_values_have_bounds(bench: Bench) {
    let (longest, largest) = ("k".repeat(KEY_BYTES), vec![1; VALUE_BYTES]);
    assert_eq!(bench.store.set(&longest, largest.clone().into(), None, SetMode::Always).await, Ok(true));
    let too_long = "ü".repeat(KEY_BYTES / 2) + "x";
    let refused = bench.store.set("k", [largest, vec![1]].concat().into(), None, SetMode::Always).await;
    assert!(matches!(refused, Err(KeyValueError::TooLarge(_))), "{refused:?}");
    for (bad, is_long) in [("", false), ("a\0b", false), (too_long.as_str(), true)] {
        let refusals = [
            bench.store.get(bad).await.map(drop),
            bench.store.set(bad, Vec::new().into(), None, SetMode::Always).await.map(drop),
            bench.store.delete(bad).await.map(drop),
            bench.store.increment(bad, 1, None).await.map(drop),
            bench.store.swap(bad, 0, Vec::new().into(), None).await.map(drop),
        ];
        for refusal in refusals {
            let expected = match &refusal {
                Err(KeyValueError::TooLarge(_)) => is_long,
                Err(KeyValueError::Invalid(_)) => !is_long,
                _ => false,
            };
            assert!(expected, "{bad:?}: {refusal:?}");
        }
    }
    assert_eq!(bench.pages("", 10).await.concat(), [longest]);
}

async fn a_list_is_in_byte_order_and_within_its_prefix(bench: Bench) {
    for key in ["b", "a/2", "a/10", "a", "A", "a/", "é", "a0", "\u{10ffff}", "%", "_"] {
        bench.put(key, "v").await;
    }
    assert_eq!(
        bench.pages("", 100).await.concat(),
        ["%", "A", "_", "a", "a/", "a/10", "a/2", "a0", "b", "é", "\u{10ffff}"]
    );
    assert_eq!(bench.pages("a/", 100).await.concat(), ["a/", "a/10", "a/2"]);
    assert_eq!(bench.pages("%", 100).await.concat(), ["%"], "no pattern, only text");
    assert_eq!(bench.pages("\u{10ffff}", 100).await.concat(), ["\u{10ffff}"]);
    assert_eq!(bench.pages("zz", 100).await, [Vec::<String>::new()]);
}

async fn pages_join_without_gap_or_repetition(bench: Bench) {
    let keys: Vec<String> = (0..7).map(|n| format!("k{n}")).collect();
    for key in &keys {
        bench.put(key, "v").await;
    }
    for limit in [1, 2, 3, 6, 7, 8, 1_000] {
        let pages = bench.pages("k", limit).await;
        assert!(pages.iter().all(|page| page.len() <= limit as usize && !page.is_empty()), "limit {limit}: {pages:?}");
        assert_eq!(pages.concat(), keys, "limit {limit}");
    }
}

async fn a_listing_is_stable_under_writes_between_its_pages(bench: Bench) {
    for key in ["b", "d", "f", "h"] {
        bench.put(key, "v").await;
    }
    let first = bench.store.list("", None, 2).await.expect("lists");
    assert_eq!(first.keys, ["b", "d"]);
    // Before the cursor, the cursor itself, and after it.
    for key in ["a", "c", "e", "g"] {
        bench.put(key, "v").await;
    }
    for key in ["b", "d", "f"] {
        bench.store.delete(key).await.expect("deletes");
    }
    let second = bench.store.list("", first.cursor.as_deref(), 10).await.expect("lists");
    assert_eq!(second.keys, ["e", "g", "h"]);
    assert_eq!(second.cursor, None);
}

async fn a_bad_page_is_refused(bench: Bench) {
    for (cursor, limit) in [(None, 0), (None, 1_001), (Some("no cursor!"), 1), (Some(""), 1), (Some("_w"), 1)] {
        let refused = bench.store.list("", cursor, limit).await;
        assert!(matches!(refused, Err(KeyValueError::Invalid(_))), "{cursor:?}, {limit}: {refused:?}");
    }
}
