//! Backends that fail on the way to the real ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chassis_capabilities::backlog::Weighed;
use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{
    DeadLetterPage, Delivery, MessagingBackend, MessagingError, Outcome, QueueStatus,
};
use chassis_capabilities::sql::{Outbox, SqlError};

/// What a call does before it reaches the backend, by its number from 0.
pub(crate) type Plan<E> = fn(usize, usize) -> Option<E>;

#[derive(Debug)]
pub(crate) struct FlakyMessaging {
    pub(crate) inner: Arc<dyn MessagingBackend>,
    /// By the number of the call, and the number of its events.
    pub(crate) publish: Plan<MessagingError>,
    pub(crate) complete: Plan<MessagingError>,
    pub(crate) renew: Plan<MessagingError>,
    pub(crate) published: AtomicUsize,
    pub(crate) completed: AtomicUsize,
    pub(crate) renewed: AtomicUsize,
}

impl FlakyMessaging {
    pub(crate) fn new(inner: Arc<dyn MessagingBackend>) -> Self {
        Self {
            inner,
            publish: |_, _| None,
            complete: |_, _| None,
            renew: |_, _| None,
            published: AtomicUsize::new(0),
            completed: AtomicUsize::new(0),
            renewed: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl MessagingBackend for FlakyMessaging {
    async fn publish(&self, events: Weighed<Vec<Envelope>>) -> Result<(), MessagingError> {
        let number = self.published.fetch_add(1, Ordering::SeqCst);
        match (self.publish)(number, events.len()) {
            Some(error) => Err(error),
            None => self.inner.publish(events).await,
        }
    }

    async fn cancel(&self, id: &str, source: &str) -> Result<bool, MessagingError> {
        self.inner.cancel(id, source).await
    }

    async fn lease(&self, queue: &str, limit: u32) -> Result<Vec<Delivery>, MessagingError> {
        self.inner.lease(queue, limit).await
    }

    async fn renew(&self, delivery: &Delivery) -> Result<(), MessagingError> {
        let number = self.renewed.fetch_add(1, Ordering::SeqCst);
        match (self.renew)(number, 1) {
            Some(error) => Err(error),
            None => self.inner.renew(delivery).await,
        }
    }

    async fn complete(&self, delivery: &Delivery, outcome: Outcome) -> Result<(), MessagingError> {
        let number = self.completed.fetch_add(1, Ordering::SeqCst);
        match (self.complete)(number, 1) {
            Some(error) => Err(error),
            None => self.inner.complete(delivery, outcome).await,
        }
    }

    async fn wait(&self, queue: &str) {
        self.inner.wait(queue).await;
    }

    async fn status(&self) -> Result<Vec<QueueStatus>, MessagingError> {
        self.inner.status().await
    }

    async fn dead_letters(
        &self,
        queue: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<DeadLetterPage, MessagingError> {
        self.inner.dead_letters(queue, cursor, limit).await
    }

    async fn replay(&self, id: &str) -> Result<bool, MessagingError> {
        self.inner.replay(id).await
    }
}

#[derive(Debug)]
pub(crate) struct FlakyOutbox {
    pub(crate) inner: Arc<dyn Outbox>,
    pub(crate) pending: Plan<SqlError>,
    pub(crate) confirm: Plan<SqlError>,
    pub(crate) looks: AtomicUsize,
    pub(crate) confirms: AtomicUsize,
}

#[async_trait]
impl Outbox for FlakyOutbox {
    async fn pending(&self, limit: u32, bytes: u64) -> Result<Vec<Envelope>, SqlError> {
        let number = self.looks.fetch_add(1, Ordering::SeqCst);
        match (self.pending)(number, limit as usize) {
            Some(error) => Err(error),
            None => self.inner.pending(limit, bytes).await,
        }
    }

    async fn confirm(&self, ids: &[String]) -> Result<(), SqlError> {
        let number = self.confirms.fetch_add(1, Ordering::SeqCst);
        match (self.confirm)(number, ids.len()) {
            Some(error) => Err(error),
            None => self.inner.confirm(ids).await,
        }
    }

    async fn published(&self) {
        self.inner.published().await;
    }
}
