//! Stores of `wasi:keyvalue`.

use jiff::Timestamp;

use crate::bindings::key_value::Error;
use crate::bindings::{atomics, batch, store};
use crate::key_value::operations::{Bucket, Source, Store};

/// Open the store with this label.
pub(super) fn open(label: &str) -> Result<Store<SpinBucket>, Error> {
    let bucket = store::open(label).map_err(translate)?;
    Ok(Store::new(SpinBucket(bucket), Source { now: || Timestamp::now().as_microsecond(), version }))
}

fn version() -> Result<u64, Error> {
    let random = getrandom::u64().map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
    Ok(random.max(1))
}

fn translate(error: store::Error) -> Error {
    match error {
        store::Error::NoSuchStore => Error::NoSuchStore,
        store::Error::AccessDenied => {
            Error::Denied("the manifest does not list the store in `key_value_stores`".to_owned())
        }
        store::Error::Other(what) => Error::Internal(what),
    }
}

/// A store that is open.
#[derive(Debug)]
pub(super) struct SpinBucket(store::Bucket);

impl Bucket for SpinBucket {
    type Watched = atomics::Cas;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key).map_err(translate)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let found = batch::get_many(&self.0, keys).map_err(translate)?;
        Ok(found.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.0.set(key, value).map_err(translate)
    }

    fn watch(&self, key: &str) -> Result<(atomics::Cas, Option<Vec<u8>>), Error> {
        let watched = atomics::Cas::new(&self.0, key).map_err(translate)?;
        let found = watched.current().map_err(translate)?;
        Ok((watched, found))
    }

    fn swap(&self, watched: atomics::Cas, value: &[u8]) -> Result<bool, Error> {
        match atomics::swap(watched, value) {
            Ok(()) => Ok(true),
            Err(atomics::CasError::CasFailed(_)) => Ok(false),
            Err(atomics::CasError::StoreError(error)) => Err(translate(error)),
        }
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key).map_err(translate)
    }

    fn keys(&self) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.0.list_keys(cursor.as_deref()).map_err(translate)?;
            keys.extend(page.keys);
            match page.cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(keys),
            }
        }
    }
}
