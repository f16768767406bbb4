//! The operations, over what is needed of a store.

use super::entry::{Stored, decode, encode};
use super::rules::{add, check_key, check_limit, check_value, decode_cursor, encode_cursor, expiry};
use crate::bindings::key_value::{Entry, Error, Page, SetOptions, SwapOutcome};

/// Tries of a compare-and-swap; beyond them the answer is `busy`.
const TRIES_MAX: u32 = 32;

/// Milliseconds to wait where others were faster at every try.
const WAIT_MS: u32 = 50;

/// Keys whose values are read at once while a page is made.
const READ_AHEAD: usize = 100;

/// A store of Spin's.
pub trait Bucket {
    /// A value that is watched between its reading and its writing.
    type Watched;

    /// Read.
    ///
    /// # Errors
    /// What Spin says.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Read several; keys without a value may be absent from the answer.
    ///
    /// # Errors
    /// What Spin says.
    fn get_many(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// Write.
    ///
    /// # Errors
    /// What Spin says.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), Error>;

    /// Read, and watch from now on.
    ///
    /// # Errors
    /// What Spin says.
    fn watch(&self, key: &str) -> Result<(Self::Watched, Option<Vec<u8>>), Error>;

    /// Write where the value is still the one that was read; whether it was.
    ///
    /// # Errors
    /// What Spin says.
    fn swap(&self, watched: Self::Watched, value: &[u8]) -> Result<bool, Error>;

    /// Delete.
    ///
    /// # Errors
    /// What Spin says.
    fn delete(&self, key: &str) -> Result<(), Error>;

    /// All keys, in no order.
    ///
    /// # Errors
    /// What Spin says.
    fn keys(&self) -> Result<Vec<String>, Error>;
}

/// Where time and versions come from.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The present time in microseconds since 1970.
    pub now: fn() -> i64,
    /// A number that is not 0 and was never given before: 64 random bits.
    pub version: fn() -> Result<u64, Error>,
}

/// One store, with what its rules need.
#[derive(Debug)]
pub struct Store<B> {
    bucket: B,
    source: Source,
}

/// What a decision found: whether to write, and the answer.
enum Decision<T> {
    Write(Stored, T),
    Leave(T),
}

impl<B: Bucket> Store<B> {
    /// A store.
    pub fn new(bucket: B, source: Source) -> Self {
        Self { bucket, source }
    }

    /// Read.
    ///
    /// # Errors
    /// Those of the interface.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        let found = self.live(self.bucket.get(key)?)?;
        Ok(found.map(|stored| stored.entry))
    }

    /// Write; false where `if-absent` was asked and the key exists.
    ///
    /// # Errors
    /// Those of the interface.
    pub fn set(&self, key: &str, value: Vec<u8>, options: SetOptions) -> Result<bool, Error> {
        check_key(key)?;
        check_value(&value)?;
        if options.if_absent {
            return self.decide(key, |found| match found {
                Some(_) => Ok(Decision::Leave(false)),
                None => Ok(Decision::Write(self.stored(value.clone(), options.ttl_ms)?, true)),
            });
        }
        self.bucket.put(key, &encode(&self.stored(value, options.ttl_ms)?))?;
        Ok(true)
    }

    /// Delete; whether the key existed.
    ///
    /// # Errors
    /// Those of the interface.
    pub fn delete(&self, key: &str) -> Result<bool, Error> {
        check_key(key)?;
        let found = self.bucket.get(key)?;
        if found.is_some() {
            self.bucket.delete(key)?;
        }
        Ok(self.live(found)?.is_some())
    }

    /// Add to an integer, whose time counts from the first increment.
    ///
    /// # Errors
    /// Those of the interface.
    pub fn increment(&self, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, Error> {
        check_key(key)?;
        self.decide(key, |found| {
            let sum = add(found.as_ref().map(|stored| stored.entry.value.as_slice()), delta)?;
            let mut stored = self.stored(sum.to_string().into_bytes(), ttl_ms)?;
            if let Some(found) = found {
                stored.expires_at = found.expires_at;
            }
            Ok(Decision::Write(stored, sum))
        })
    }

    /// Write where the version is still `version`; 0 stands for «does not exist».
    ///
    /// # Errors
    /// Those of the interface.
    pub fn swap(&self, key: &str, version: u64, value: &[u8], ttl_ms: Option<u64>) -> Result<SwapOutcome, Error> {
        check_key(key)?;
        check_value(value)?;
        self.decide(key, |found| {
            if found.as_ref().map_or(0, |stored| stored.entry.version) != version {
                return Ok(Decision::Leave(SwapOutcome::Stale(found.map(|stored| stored.entry))));
            }
            let stored = self.stored(value.to_vec(), ttl_ms)?;
            let outcome = SwapOutcome::Swapped(stored.entry.version);
            Ok(Decision::Write(stored, outcome))
        })
    }

    /// Keys with a prefix, in byte order. Spin gives all keys of a store, so this takes time in proportion to them.
    ///
    /// # Errors
    /// Those of the interface.
    pub fn list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
        let limit = check_limit(limit)?;
        let after = cursor.map(decode_cursor).transpose()?;
        let mut keys = self.bucket.keys()?;
        keys.retain(|key| key.starts_with(prefix) && after.as_ref().is_none_or(|after| key > after));
        keys.sort_unstable();
        // One more than the page holds, to know whether another follows.
        let mut found = Vec::new();
        for some in keys.chunks(READ_AHEAD) {
            let mut live: Vec<String> = Vec::new();
            for (key, value) in self.bucket.get_many(some)? {
                if self.live(Some(value))?.is_some() {
                    live.push(key);
                }
            }
            live.sort_unstable();
            found.extend(live);
            if found.len() > limit {
                break;
            }
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        let cursor = found.last().filter(|_| has_more).map(|last| encode_cursor(last));
        Ok(Page { keys: found, cursor })
    }

    /// Read, decide, and write where nobody has written meanwhile; else again.
    fn decide<T>(
        &self,
        key: &str,
        mut decision: impl FnMut(Option<Stored>) -> Result<Decision<T>, Error>,
    ) -> Result<T, Error> {
        for _ in 0..TRIES_MAX {
            let (watched, found) = self.bucket.watch(key)?;
            match decision(self.live(found)?)? {
                Decision::Leave(answer) => return Ok(answer),
                Decision::Write(stored, answer) => {
                    if self.bucket.swap(watched, &encode(&stored))? {
                        return Ok(answer);
                    }
                }
            }
        }
        Err(Error::Busy(WAIT_MS))
    }

    fn stored(&self, value: Vec<u8>, ttl_ms: Option<u64>) -> Result<Stored, Error> {
        let expires_at = expiry((self.source.now)(), ttl_ms);
        Ok(Stored { entry: Entry { value, version: (self.source.version)()? }, expires_at })
    }

    /// What has not expired.
    fn live(&self, bytes: Option<Vec<u8>>) -> Result<Option<Stored>, Error> {
        let Some(bytes) = bytes else { return Ok(None) };
        let stored = decode(&bytes)
            .ok_or_else(|| Error::Internal("the key holds what was not written by way of Chassis".to_owned()))?;
        Ok(Some(stored).filter(|stored| stored.expires_at.is_none_or(|at| at > (self.source.now)())))
    }
}

#[cfg(test)]
mod tests;
