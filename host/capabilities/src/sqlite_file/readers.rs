//! A small pool of connections that only read.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Connection as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::FileError;
use super::connection::{Connection, ConnectionPlan, Role, is_broken};
use super::fence::Mode;
use crate::conduct::Conduct;

/// The pool. Connections are opened when they are first needed, and kept.
#[derive(Debug)]
pub(crate) struct Readers {
    plan: ConnectionPlan,
    idle: Mutex<Vec<Connection>>,
    /// One permit per connection.
    free: Arc<Semaphore>,
    connections: u32,
    /// One permit per connection and per place in the queue for one.
    admitted: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(plan: ConnectionPlan) -> Arc<Self> {
        let connections = plan.bounds.readers.max(1);
        let places = connections.saturating_add(plan.bounds.queue) as usize;
        Arc::new(Self {
            plan,
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(connections as usize)),
            connections,
            admitted: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
        })
    }

    /// Take a connection, waiting for one if need be.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Reader, FileError> {
        let busy = || FileError::Busy(self.plan.bounds.wait);
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => FileError::Closed,
            tokio::sync::TryAcquireError::NoPermits => busy(),
        })?;
        let waited = tokio::time::timeout(self.plan.bounds.wait, self.free.clone().acquire_owned()).await;
        let permit = waited.map_err(|_elapsed| busy())?.map_err(|_closed| FileError::Closed)?;
        let connection = match self.rested() {
            Some(connection) => connection,
            None => Connection::open(&self.plan, Role::Reader).await?,
        };
        Ok(Reader { connection: Some(connection), pool: self.clone(), permits: Some((permit, admitted)) })
    }

    /// A connection that rests and is fit for use; those that are not are closed.
    fn rested(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| self.plan.suits(connection));
        idle.pop()
    }

    /// Wait until nobody reads, close all connections, and let nobody read until what is answered is dropped.
    pub(crate) async fn pause(&self) -> Result<OwnedSemaphorePermit, FileError> {
        let all = self.free.clone().acquire_many_owned(self.connections).await.map_err(|_closed| FileError::Closed)?;
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            connection.close().await;
        }
        Ok(all)
    }

    /// Refuse from now on; connections are closed as they come back.
    pub(crate) fn close(&self) {
        self.free.close();
        self.admitted.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn put(&self, connection: Connection) {
        connection.fence().enter(Mode::Host);
        connection.fence().unlimit();
        connection.fence().unwatch();
        if !self.free.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

/// A connection on loan.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Option<Connection>,
    pool: Arc<Readers>,
    permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Reader {
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, FileError> {
        self.connection.as_mut().ok_or(FileError::Closed)
    }

    /// For whose conduct CPU time counts, if for anybody's.
    pub(crate) fn conduct(&self) -> Option<&Arc<dyn Conduct>> {
        self.pool.plan.conduct()
    }

    /// Take the connection out, to move it elsewhere; bring it back by [`Reader::restore`].
    pub(crate) fn remove(&mut self) -> Result<Connection, FileError> {
        self.connection.take().ok_or(FileError::Closed)
    }

    pub(crate) fn restore(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Return the connection; its work is done.
    pub(crate) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.put(connection);
        }
    }

    /// Return the connection after work that failed, without a transaction that the work may have left open. One that
    /// no longer answers is dropped, and a new one is opened when it is needed.
    pub(crate) async fn examine(mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        connection.fence().enter(Mode::Host);
        connection.fence().unlimit();
        connection.fence().unwatch();
        let rolled_back = sqlx::raw_sql("rollback").execute(connection.sqlx()).await;
        if !rolled_back.is_err_and(|error| is_broken(&error)) {
            self.pool.put(connection);
        }
    }
}

impl Drop for Reader {
    /// Dropped in the middle of its work: interrupt that, and return the connection once it has come to rest.
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        connection.fence().expire();
        let (pool, permits) = (self.pool.clone(), self.permits.take());
        let runtime = pool.plan.runtime().clone();
        runtime.spawn(async move {
            if connection.sqlx().ping().await.is_ok() {
                pool.put(connection);
            }
            drop(permits);
        });
    }
}
