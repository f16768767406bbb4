//! `chassis:platform/key-value`: finds the store of a label, and translates.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Accessor;

use super::{Entry, KeyValueBackend, KeyValueError, SetMode, SwapOutcome};
use crate::backlog::Weighed;
use crate::bindings::chassis::platform::key_value as wit;
use crate::lent::{HasLent, LentView};

/// What a component is told to wait that writes faster than its values are stored.
const WAIT: Duration = Duration::from_millis(100);

impl wit::Host for LentView {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn get(accessor: &Accessor<T, Self>, store: String, key: String) -> Result<Option<wit::Entry>, wit::Error> {
        let store = Store::find(accessor, store)?;
        let found = store.backend.get(&key).await;
        Ok(store.report(found)?.map(Into::into))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: String,
        key: String,
        value: Vec<u8>,
        options: wit::SetOptions,
    ) -> Result<bool, wit::Error> {
        let mode = if options.if_absent { SetMode::IfAbsent } else { SetMode::Always };
        let ttl = options.ttl_ms.map(Duration::from_millis);
        let store = Store::find(accessor, store)?;
        let value = store.weigh(value)?;
        let set = store.backend.set(&key, value, ttl, mode).await;
        store.report(set)
    }

    async fn delete(accessor: &Accessor<T, Self>, store: String, key: String) -> Result<bool, wit::Error> {
        let store = Store::find(accessor, store)?;
        let deleted = store.backend.delete(&key).await;
        store.report(deleted)
    }

    async fn increment(
        accessor: &Accessor<T, Self>,
        store: String,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, wit::Error> {
        let store = Store::find(accessor, store)?;
        let sum = store.backend.increment(&key, delta, ttl_ms.map(Duration::from_millis)).await;
        store.report(sum)
    }

    async fn swap(
        accessor: &Accessor<T, Self>,
        store: String,
        key: String,
        version: u64,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<wit::SwapOutcome, wit::Error> {
        let store = Store::find(accessor, store)?;
        let value = store.weigh(value)?;
        let outcome = store.backend.swap(&key, version, value, ttl_ms.map(Duration::from_millis)).await;
        Ok(match store.report(outcome)? {
            SwapOutcome::Swapped(version) => wit::SwapOutcome::Swapped(version),
            SwapOutcome::Stale(entry) => wit::SwapOutcome::Stale(entry.map(Into::into)),
        })
    }

    async fn list(
        accessor: &Accessor<T, Self>,
        store: String,
        prefix: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<wit::Page, wit::Error> {
        let store = Store::find(accessor, store)?;
        let page = store.backend.list(&prefix, cursor.as_deref(), limit).await;
        let page = store.report(page)?;
        Ok(wit::Page { keys: page.keys, cursor: page.cursor })
    }
}

/// A store that is lent, and whose call it is.
struct Store {
    view: LentView,
    label: String,
    backend: Arc<dyn KeyValueBackend>,
}

impl Store {
    fn find<T: 'static>(accessor: &Accessor<T, HasLent>, label: String) -> Result<Self, wit::Error> {
        let view = accessor.with(|mut access| access.get());
        match view.lent.stores.get(&label).cloned() {
            Some(backend) => Ok(Self { view, label, backend }),
            None => {
                view.refuse("refused a key-value store that the component does not own", &label, "");
                Err(wit::Error::Denied(format!("the store «{label}» is not lent to this component")))
            }
        }
    }

    fn weigh(&self, value: Vec<u8>) -> Result<Weighed<Vec<u8>>, wit::Error> {
        let bytes = value.len();
        self.report(self.view.weigh(value, bytes).ok_or(KeyValueError::Busy(WAIT)))
    }

    /// What the guest reads; the text of an internal error goes to the log alone.
    fn report<V>(&self, answer: Result<V, KeyValueError>) -> Result<V, wit::Error> {
        answer.map_err(|error| match error {
            KeyValueError::Invalid(what) => wit::Error::Invalid(what),
            KeyValueError::TooLarge(what) => wit::Error::TooLarge(what),
            KeyValueError::NotANumber => wit::Error::NotANumber,
            KeyValueError::Busy(wait) => wit::Error::Busy(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
            KeyValueError::Internal(what) => {
                self.view.fail("a key-value store failed", &self.label, &what);
                wit::Error::Internal("the store failed; the host's log says why".to_owned())
            }
        })
    }
}

impl From<Entry> for wit::Entry {
    fn from(entry: Entry) -> Self {
        Self { value: entry.value, version: entry.version }
    }
}
