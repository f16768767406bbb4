//! `wasi:keyvalue` with the semantics of Spin's stores on SQLite: a swap compares values, and writes in any case where there was
//! none.

use std::sync::PoisonError;

use wasmtime::component::Resource;

use crate::host::State;
use crate::host::bindings::wasi::keyvalue::{atomics, batch, store};

/// A store that a guest has opened: its label.
#[expect(unreachable_pub, reason = "the generated bindings hand it on")]
#[derive(Debug, Clone)]
pub struct Open(String);

/// A key that is watched, with the value that was seen.
#[expect(unreachable_pub, reason = "the generated bindings hand it on")]
#[derive(Debug)]
pub struct Watched {
    store: String,
    key: String,
    seen: Option<Vec<u8>>,
}

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl State {
    fn label(&self, bucket: &Resource<Open>) -> wasmtime::Result<String> {
        Ok(self.table.get(bucket)?.0.clone())
    }

    fn entry(&self, store: &str, key: &str) -> Option<Vec<u8>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&(store.to_owned(), key.to_owned())).cloned()
    }

    fn put(&self, store: String, key: String, value: Vec<u8>) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert((store, key), value);
    }

    fn remove(&self, store: String, key: String) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&(store, key));
    }
}

impl store::Host for State {
    fn open(&mut self, label: String) -> Answer<Resource<Open>> {
        if !self.grants.stores.contains(&label) {
            return Ok(Err(store::Error::AccessDenied));
        }
        Ok(Ok(self.table.push(Open(label))?))
    }
}

impl store::HostBucket for State {
    fn get(&mut self, bucket: Resource<Open>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(Ok(self.entry(&self.label(&bucket)?, &key)))
    }

    fn set(&mut self, bucket: Resource<Open>, key: String, value: Vec<u8>) -> Answer<()> {
        self.put(self.label(&bucket)?, key, value);
        Ok(Ok(()))
    }

    fn delete(&mut self, bucket: Resource<Open>, key: String) -> Answer<()> {
        self.remove(self.label(&bucket)?, key);
        Ok(Ok(()))
    }

    fn exists(&mut self, bucket: Resource<Open>, key: String) -> Answer<bool> {
        Ok(Ok(self.entry(&self.label(&bucket)?, &key).is_some()))
    }

    fn list_keys(&mut self, bucket: Resource<Open>, cursor: Option<String>) -> Answer<store::KeyResponse> {
        if cursor.is_some() {
            return Ok(Err(store::Error::Other("list_keys: cursor not supported".to_owned())));
        }
        let label = self.label(&bucket)?;
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = entries.keys().filter(|(store, _)| *store == label).map(|(_, key)| key.clone()).collect();
        Ok(Ok(store::KeyResponse { keys, cursor: None }))
    }

    fn drop(&mut self, bucket: Resource<Open>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::HostCas for State {
    fn new(&mut self, bucket: Resource<Open>, key: String) -> Answer<Resource<Watched>> {
        let store = self.label(&bucket)?;
        Ok(Ok(self.table.push(Watched { store, key, seen: None })?))
    }

    fn current(&mut self, cas: Resource<Watched>) -> Answer<Option<Vec<u8>>> {
        let Watched { store, key, .. } = self.table.get(&cas)?;
        let found = self.entry(store, key);
        self.table.get_mut(&cas)?.seen.clone_from(&found);
        Ok(Ok(found))
    }

    fn drop(&mut self, cas: Resource<Watched>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl atomics::Host for State {
    /// Spin keeps such numbers in a form of their own; the adapter does not use them.
    fn increment(&mut self, _bucket: Resource<Open>, _key: String, _delta: i64) -> Answer<i64> {
        Ok(Err(store::Error::Other("not used".to_owned())))
    }

    fn swap(&mut self, cas: Resource<Watched>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Watched { store, key, seen } = self.table.delete(cas)?;
        if seen.is_some() && self.entry(&store, &key) != seen {
            let fresh = self.table.push(Watched { store, key, seen: None })?;
            return Ok(Err(atomics::CasError::CasFailed(fresh)));
        }
        self.put(store, key, value);
        Ok(Ok(()))
    }
}

impl batch::Host for State {
    fn get_many(&mut self, bucket: Resource<Open>, keys: Vec<String>) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        let label = self.label(&bucket)?;
        let found = keys.into_iter().map(|key| {
            let value = self.entry(&label, &key);
            (key, value)
        });
        Ok(Ok(found.collect()))
    }

    fn set_many(&mut self, bucket: Resource<Open>, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let label = self.label(&bucket)?;
        for (key, value) in pairs {
            self.put(label.clone(), key, value);
        }
        Ok(Ok(()))
    }

    fn delete_many(&mut self, bucket: Resource<Open>, keys: Vec<String>) -> Answer<()> {
        let label = self.label(&bucket)?;
        for key in keys {
            self.remove(label.clone(), key);
        }
        Ok(Ok(()))
    }
}
