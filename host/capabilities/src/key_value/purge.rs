//! Forgets expired entries in the background. They are invisible before that: this only gives their space back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

use super::KeyValueError;

/// Pause between two rounds.
const INTERVAL: Duration = Duration::from_secs(30);

/// Entries that are forgotten in one step; other work goes between two steps.
pub(super) const STEP_ENTRIES: u32 = 1_000;

#[async_trait]
pub(super) trait Purge: Send + Sync + 'static {
    /// Forget up to [`STEP_ENTRIES`] expired entries; how many there were.
    async fn step(&self) -> Result<u64, KeyValueError>;
}

/// Purge until the answer is dropped. Must be called within a runtime.
pub(super) fn spawn(store: Arc<dyn Purge>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = round(&*store).await {
                tracing::warn!(%error, "expired entries of a key-value store were not purged, trying again later");
            }
        }
    }))
}

/// Forget all that is expired, step by step; how many there were.
pub(super) async fn round(store: &dyn Purge) -> Result<u64, KeyValueError> {
    let mut purged = 0;
    loop {
        let step = store.step().await?;
        purged += step;
        if step < u64::from(STEP_ENTRIES) {
            return Ok(purged);
        }
        tokio::task::yield_now().await;
    }
}
