//! `chassis:platform/key-value`: finds the store of a label, and translates.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Accessor;

use super::{Entry, KeyValueBackend, KeyValueError, SetMode, SwapOutcome};
use crate::bindings::chassis::platform::key_value as wit;
use crate::lent::{HasLent, LentView};

const LIST_LIMIT_MAX: u32 = 1000;

impl wit::Host for LentView<'_> {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn get(accessor: &Accessor<T, Self>, store: String, key: String) -> Result<Option<wit::Entry>, wit::Error> {
        let found = find(accessor, &store)?.get(&key).await.map_err(|error| report(error, &store))?;
        Ok(found.map(Into::into))
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
        find(accessor, &store)?.set(&key, value, ttl, mode).await.map_err(|error| report(error, &store))
    }

    async fn delete(accessor: &Accessor<T, Self>, store: String, key: String) -> Result<bool, wit::Error> {
        find(accessor, &store)?.delete(&key).await.map_err(|error| report(error, &store))
    }

    async fn increment(
        accessor: &Accessor<T, Self>,
        store: String,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, wit::Error> {
        let ttl = ttl_ms.map(Duration::from_millis);
        find(accessor, &store)?.increment(&key, delta, ttl).await.map_err(|error| report(error, &store))
    }

    async fn swap(
        accessor: &Accessor<T, Self>,
        store: String,
        key: String,
        version: u64,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<wit::SwapOutcome, wit::Error> {
        let ttl = ttl_ms.map(Duration::from_millis);
        let outcome = find(accessor, &store)?.swap(&key, version, value, ttl).await;
        Ok(match outcome.map_err(|error| report(error, &store))? {
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
        if limit == 0 || limit > LIST_LIMIT_MAX {
            return Err(wit::Error::TooLarge(format!("a page has 1 to {LIST_LIMIT_MAX} keys")));
        }
        let page = find(accessor, &store)?.list(&prefix, cursor.as_deref(), limit).await;
        let page = page.map_err(|error| report(error, &store))?;
        Ok(wit::Page { keys: page.keys, cursor: page.cursor })
    }
}

fn find<T: 'static>(accessor: &Accessor<T, HasLent>, label: &str) -> Result<Arc<dyn KeyValueBackend>, wit::Error> {
    accessor.with(|mut access| {
        let view = access.get();
        view.lent.stores.get(label).cloned().ok_or_else(|| {
            tracing::warn!(component = %view.lent.component, request_id = %view.caller.request_id, store = label, "refused a key-value store that the component does not own");
            wit::Error::Denied(format!("the store «{label}» is not lent to this component"))
        })
    })
}

fn report(error: KeyValueError, store: &str) -> wit::Error {
    match error {
        KeyValueError::Denied(what) => wit::Error::Denied(what),
        KeyValueError::NoSuchStore => wit::Error::NoSuchStore,
        KeyValueError::TooLarge(what) | KeyValueError::Invalid(what) => wit::Error::TooLarge(what),
        KeyValueError::NotANumber => wit::Error::NotANumber,
        KeyValueError::Busy(wait) => wit::Error::Busy(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        KeyValueError::Internal(what) => {
            tracing::error!(store, what, "a key-value store failed");
            wit::Error::Internal("the store failed; the host's log says why".to_owned())
        }
    }
}

impl From<Entry> for wit::Entry {
    fn from(entry: Entry) -> Self {
        Self { value: entry.value, version: entry.version }
    }
}
