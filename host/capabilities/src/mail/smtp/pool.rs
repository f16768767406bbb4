//! Connections that rest between two messages.
//!
//! Why not the pool of the SMTP crate: it takes back a connection whose user was dropped in the middle of a message, and
//! the next one then reads the answers that belong to the one before. Here a connection comes back only by [`Place::keep`],
//! after a message that was sent; in all other cases it is closed. (Resetting it after a refusal is not worth it: there
//! are servers that then want the user and the password again.)

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Connection, Dialer};
use crate::mail::MailError;

/// How long a connection rests before it is closed; servers close them after some minutes by themselves.
const REST_MAX: Duration = Duration::from_secs(30);

/// A bounded number of connections.
pub(super) struct Pool {
    dialer: Dialer,
    places: Arc<Semaphore>,
    resting: Mutex<Vec<Resting>>,
}

struct Resting {
    connection: Connection,
    since: Instant,
}

/// A connection, and the place that it takes.
pub(super) struct Place<'pool> {
    pool: &'pool Pool,
    connection: Connection,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(dialer: Dialer, connections: u32) -> Self {
        let places = usize::try_from(connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self { dialer, places: Arc::new(Semaphore::new(places)), resting: Mutex::default() }
    }

    /// A connection that is ready for a message, once there is a place for it.
    pub(super) async fn take(&self) -> Result<Place<'_>, MailError> {
        let closed = |_closed| MailError::Temporary("the host is shutting down".to_owned());
        let permit = Arc::clone(&self.places).acquire_owned().await.map_err(closed)?;
        let connection = match self.rested().await {
            Some(connection) => connection,
            None => self.dialer.open().await?,
        };
        Ok(Place { pool: self, connection, permit })
    }

    async fn rested(&self) -> Option<Connection> {
        let Resting { mut connection, since } = self.resting().pop()?;
        if since.elapsed() < REST_MAX && connection.is_alive().await {
            return Some(connection);
        }
        // The others have rested for longer, at the same server.
        self.resting().clear();
        None
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, Vec<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rested_too_long(&self) -> Vec<Connection> {
        let mut resting = self.resting();
        let old = resting.iter().take_while(|one| one.since.elapsed() >= REST_MAX).count();
        resting.drain(..old).map(|one| one.connection).collect()
    }
}

impl Place<'_> {
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Let the connection rest for the next message.
    pub(super) fn keep(self) {
        let rest = Resting { connection: self.connection, since: Instant::now() };
        self.pool.resting().push(rest);
    }

    /// Take leave in the background; the place is free when that is done.
    pub(super) fn part(self) {
        let Self { connection, permit, .. } = self;
        tokio::spawn(async move {
            connection.quit().await;
            drop(permit);
        });
    }
}

/// Take leave of connections that nobody has needed for long, until the answer or the pool is dropped.
pub(super) fn sweep(pool: &Arc<Pool>) -> AbortOnDropHandle<()> {
    let pool = Arc::downgrade(pool);
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(REST_MAX / 2).await;
            let Some(pool) = pool.upgrade() else { return };
            let old = pool.rested_too_long();
            futures::future::join_all(old.into_iter().map(Connection::quit)).await;
        }
    }))
}
