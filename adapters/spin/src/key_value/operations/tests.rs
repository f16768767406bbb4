use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A store of Spin's as its SQLite backend keeps it: compare-and-swap compares values, and writes in any case where there
/// was none.
#[derive(Debug, Default)]
struct Shelf {
    entries: RefCell<HashMap<String, Vec<u8>>>,
    /// What others do between a reading and the next writings.
    meanwhile: RefCell<Vec<(String, Vec<u8>)>>,
}

impl Bucket for &Shelf {
    type Watched = (String, Option<Vec<u8>>);

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.entries.borrow().get(key).cloned())
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let entries = self.entries.borrow();
        Ok(keys.iter().filter_map(|key| Some((key.clone(), entries.get(key)?.clone()))).collect())
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.entries.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn watch(&self, key: &str) -> Result<((String, Option<Vec<u8>>), Option<Vec<u8>>), Error> {
        let found = self.get(key)?;
        Ok(((key.to_owned(), found.clone()), found))
    }

    fn swap(&self, (key, seen): (String, Option<Vec<u8>>), value: &[u8]) -> Result<bool, Error> {
        if let Some((key, value)) = self.meanwhile.borrow_mut().pop() {
            self.put(&key, &value)?;
        }
        let may = seen.is_none() || self.get(&key)? == seen;
        if may {
            self.put(&key, value)?;
        }
        Ok(may)
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.entries.borrow_mut().remove(key);
        Ok(())
    }

    fn keys(&self) -> Result<Vec<String>, Error> {
        Ok(self.entries.borrow().keys().cloned().collect())
    }
}

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(1_000_000) };
    static VERSION: Cell<u64> = const { Cell::new(0) };
}

fn source() -> Source {
    Source {
        now: || NOW.get(),
        version: || {
            VERSION.set(VERSION.get() + 1);
            Ok(VERSION.get())
        },
    }
}

fn store(shelf: &Shelf) -> Store<&Shelf> {
    Store::new(shelf, source())
}

fn pass(milliseconds: i64) {
    NOW.set(NOW.get() + milliseconds * 1_000);
}

fn always(ttl_ms: Option<u64>) -> SetOptions {
    SetOptions { ttl_ms, if_absent: false }
}

fn value(store: &Store<&Shelf>, key: &str) -> Option<Vec<u8>> {
    store.get(key).unwrap().map(|entry| entry.value)
}

#[test]
fn an_entry_ends_with_its_time() {
    let shelf = Shelf::default();
    let store = store(&shelf);
    assert!(store.set("a", b"1".to_vec(), always(Some(10))).unwrap());
    pass(9);
    assert_eq!(value(&store, "a"), Some(b"1".to_vec()));
    pass(1);
    assert_eq!(value(&store, "a"), None);
    assert!(store.list("", None, 10).unwrap().keys.is_empty());
    assert!(!store.delete("a").unwrap(), "it did not exist any more");
    assert!(shelf.entries.borrow().is_empty(), "and takes no room any more");
    assert!(store.set("a", b"2".to_vec(), always(Some(u64::MAX))).unwrap());
    pass(1_000_000);
    assert_eq!(value(&store, "a"), Some(b"2".to_vec()));
}

#[test]
fn if_absent_writes_where_nothing_lives() {
    let shelf = Shelf::default();
    let store = store(&shelf);
    let absent = SetOptions { ttl_ms: Some(5), if_absent: true };
    assert!(store.set("a", b"1".to_vec(), absent).unwrap());
    assert!(!store.set("a", b"2".to_vec(), absent).unwrap());
    assert_eq!(value(&store, "a"), Some(b"1".to_vec()));
    pass(5);
    assert!(store.set("a", b"3".to_vec(), absent).unwrap());
    assert_eq!(value(&store, "a"), Some(b"3".to_vec()));
}

#[test]
fn increments_keep_the_time_of_the_first() {
    let shelf = Shelf::default();
    let store = store(&shelf);
    assert_eq!(store.increment("n", 5, Some(10)), Ok(5));
    pass(6);
    assert_eq!(store.increment("n", -7, Some(10)), Ok(-2));
    pass(4);
    assert_eq!(store.increment("n", 1, None), Ok(1), "the first has ended");
    assert_eq!(value(&store, "n"), Some(b"1".to_vec()));
    store.set("n", b"x".to_vec(), always(None)).unwrap();
    assert_eq!(store.increment("n", 1, None), Err(Error::NotANumber));
    store.set("n", i64::MAX.to_string().into_bytes(), always(None)).unwrap();
    assert_eq!(store.increment("n", 1, None), Err(Error::NotANumber));
}

#[test]
fn a_swap_needs_the_version() {
    let shelf = Shelf::default();
    let store = store(&shelf);
    assert_eq!(store.swap("a", 7, b"x", None), Ok(SwapOutcome::Stale(None)));
    let Ok(SwapOutcome::Swapped(first)) = store.swap("a", 0, b"1", None) else { panic!() };
    let Ok(SwapOutcome::Swapped(second)) = store.swap("a", first, b"2", None) else { panic!() };
    assert_ne!(first, second);
    let entry = Entry { value: b"2".to_vec(), version: second };
    assert_eq!(store.swap("a", first, b"3", None), Ok(SwapOutcome::Stale(Some(entry.clone()))));
    assert_eq!(store.swap("a", 0, b"3", None), Ok(SwapOutcome::Stale(Some(entry))));
    assert!(store.delete("a").unwrap());
    store.set("a", b"2".to_vec(), always(None)).unwrap();
    assert!(matches!(store.swap("a", second, b"3", None), Ok(SwapOutcome::Stale(Some(_)))), "a version never returns");
}

#[test]
fn who_was_slower_decides_anew() {
    let shelf = Shelf::default();
    let store = store(&shelf);
    store.increment("n", 1, None).unwrap();
    let of_another =
        |value: &[u8], version| encode(&Stored { entry: Entry { value: value.to_vec(), version }, expires_at: None });
    shelf.meanwhile.borrow_mut().push(("n".to_owned(), of_another(b"40", 1 << 40)));
    assert_eq!(store.increment("n", 2, None), Ok(42));
    // The same value under another version is another value.
    let seen = store.get("n").unwrap().unwrap();
    shelf.meanwhile.borrow_mut().push(("n".to_owned(), of_another(&seen.value, 1 << 41)));
    assert!(matches!(store.swap("n", seen.version, b"0", None), Ok(SwapOutcome::Stale(Some(_)))));
    for version in 0..u64::from(TRIES_MAX) + 1 {
        shelf.meanwhile.borrow_mut().push(("n".to_owned(), of_another(b"1", (1 << 42) + version)));
    }
    assert_eq!(store.increment("n", 1, None), Err(Error::Busy(WAIT_MS)));
}

#[test]
fn bounds_are_kept() {
    let shelf = Shelf::default();
    let store = store(&shelf);
    for key in ["", "a\0"] {
        assert!(matches!(store.get(key), Err(Error::Invalid(_))), "{key:?}");
        assert!(matches!(store.set(key, vec![], always(None)), Err(Error::Invalid(_))), "{key:?}");
    }
    assert!(matches!(store.get(&"k".repeat(513)), Err(Error::TooLarge(_))));
    assert!(matches!(store.set("a", vec![0; (1 << 20) + 1], always(None)), Err(Error::TooLarge(_))));
    assert!(matches!(store.list("", None, 0), Err(Error::Invalid(_))));
    assert!(matches!(store.list("", None, 1001), Err(Error::Invalid(_))));
    assert!(matches!(store.list("", Some("#"), 1), Err(Error::Invalid(_))));
    (&shelf).put("foreign", b"x").unwrap();
    assert!(matches!(store.get("foreign"), Err(Error::Internal(_))));
}

#[test]
fn a_full_page_that_is_the_last_has_no_cursor() {
    let shelf = Shelf::default();
    let store = store(&shelf);
    for key in ["a", "b"] {
        store.set(key, vec![], always(None)).unwrap();
    }
    assert_eq!(store.list("", None, 2), Ok(Page { keys: vec!["a".to_owned(), "b".to_owned()], cursor: None }));
}

proptest! {
    #[test]
    fn pages_together_hold_every_key_that_lives_once(
        keys in proptest::collection::btree_set("[a-c]{1,4}", 0..250), prefix in "[a-c]{0,2}", limit in 1..40_u32,
    ) {
        let shelf = Shelf::default();
        let store = store(&shelf);
        for (index, key) in keys.iter().enumerate() {
            store.set(key, vec![], always((index % 5 == 0).then_some(1))).unwrap();
        }
        pass(2);
        let expected: Vec<String> = keys.iter().enumerate()
            .filter(|(index, key)| index % 5 != 0 && key.starts_with(&prefix)).map(|(_, key)| key.clone()).collect();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list(&prefix, cursor.as_deref(), limit).unwrap();
            prop_assert!(page.keys.len() <= limit as usize);
            found.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }
}
