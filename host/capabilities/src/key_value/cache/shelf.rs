//! The entries of a cache, in plain collections: no lock, no clock, no waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// What an entry takes beside its key and value: its places in three trees.
pub(super) const ENTRY_BYTES: u64 = 256;

/// A stored value.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) value: Arc<[u8]>,
    pub(super) version: u64,
    pub(super) expires_at: Option<i64>,
    used: u64,
}

/// Entries in byte order, by their last use, and by their end.
#[derive(Debug)]
pub(super) struct Shelf {
    entries: BTreeMap<Arc<str>, Slot>,
    by_use: BTreeMap<u64, Arc<str>>,
    by_expiry: BTreeSet<(i64, Arc<str>)>,
    bytes: u64,
    bytes_max: u64,
    uses: u64,
    version: u64,
}

/// What one entry counts for.
pub(super) fn cost(key: &str, value: &[u8]) -> u64 {
    ENTRY_BYTES + key.len() as u64 + value.len() as u64
}

impl Shelf {
    /// An empty shelf whose versions begin above `version`.
    pub(super) fn new(bytes_max: u64, version: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            bytes: 0,
            bytes_max,
            uses: 0,
            version,
        }
    }

    /// An entry that exists at `now`; it counts as used.
    pub(super) fn get(&mut self, key: &str, now: i64) -> Option<Slot> {
        let (name, slot) = self.entries.get_key_value(key)?;
        if slot.expires_at.is_some_and(|at| at <= now) {
            self.remove(key);
            return None;
        }
        let name = Arc::clone(name);
        let slot = self.entries.get_mut(key)?;
        self.by_use.remove(&slot.used);
        self.uses += 1;
        slot.used = self.uses;
        let found = slot.clone();
        self.by_use.insert(self.uses, name);
        Some(found)
    }

    /// Write an entry, which must not cost more than the whole shelf, and make room for it; its version.
    pub(super) fn put(&mut self, key: &str, value: Arc<[u8]>, expires_at: Option<i64>) -> u64 {
        self.remove(key);
        self.version += 1;
        self.uses += 1;
        self.bytes += cost(key, &value);
        let name: Arc<str> = key.into();
        if let Some(at) = expires_at {
            self.by_expiry.insert((at, Arc::clone(&name)));
        }
        self.by_use.insert(self.uses, Arc::clone(&name));
        self.entries.insert(name, Slot { value, version: self.version, expires_at, used: self.uses });
        self.evict();
        self.version
    }

    /// Take an entry out, expired or not.
    pub(super) fn remove(&mut self, key: &str) -> Option<Slot> {
        let (name, slot) = self.entries.remove_entry(key)?;
        self.bytes -= cost(&name, &slot.value);
        self.by_use.remove(&slot.used);
        if let Some(at) = slot.expires_at {
            self.by_expiry.remove(&(at, name));
        }
        Some(slot)
    }

    /// Forget up to `limit` entries that no longer exist at `now`; how many there were.
    pub(super) fn purge(&mut self, now: i64, limit: u32) -> u64 {
        let mut purged = 0;
        while purged < u64::from(limit) {
            let Some((at, key)) = self.by_expiry.first() else { break };
            if *at > now {
                break;
            }
            let key = Arc::clone(key);
            self.remove(&key);
            purged += 1;
        }
        purged
    }

    /// Keys from `from`, in byte order, that exist at `now`.
    pub(super) fn keys_from<'a>(&'a self, from: &'a str, now: i64) -> impl Iterator<Item = &'a str> {
        let alive = move |(key, slot): (&'a Arc<str>, &'a Slot)| {
            slot.expires_at.is_none_or(|at| at > now).then_some(key.as_ref())
        };
        self.entries.range::<str, _>((Bound::Included(from), Bound::Unbounded)).filter_map(alive)
    }

    fn evict(&mut self) {
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: usize) -> Arc<[u8]> {
        vec![7; bytes].into()
    }

    fn keys(shelf: &Shelf) -> Vec<&str> {
        shelf.keys_from("", 0).collect()
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut shelf = Shelf::new(3 * cost("a", &[0; 10]), 0);
        for key in ["a", "b", "c"] {
            shelf.put(key, value(10), None);
        }
        shelf.get("a", 0);
        shelf.put("d", value(10), None);
        assert_eq!(keys(&shelf), ["a", "c", "d"]);
        shelf.put("e", value(20), None);
        assert_eq!(keys(&shelf), ["d", "e"], "a larger one takes the place of two");
    }

    #[test]
    fn nothing_is_left_behind_in_the_other_trees() {
        let mut shelf = Shelf::new(1 << 20, 0);
        for round in 0..3 {
            for n in 0..100 {
                shelf.put(&format!("k{n}"), value(n), (n % 2 == 0).then_some(round + 1));
            }
        }
        assert_eq!(shelf.by_use.len(), 100);
        assert_eq!(shelf.by_expiry.len(), 50);
        assert_eq!(shelf.purge(3, 20), 20);
        assert_eq!(shelf.purge(3, 100), 30);
        for n in 0..100 {
            shelf.remove(&format!("k{n}"));
        }
        assert_eq!((shelf.bytes, shelf.by_use.len(), shelf.by_expiry.len()), (0, 0, 0));
    }
}
