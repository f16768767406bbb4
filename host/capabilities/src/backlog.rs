//! A bound on the bytes of what waits, where a bound on its number would let a few large pieces fill the memory.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What bytes are counted in; a smaller piece counts as one of these, for what it takes beside its bytes.
const UNIT: u64 = 1024;

/// So many bytes may wait at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Backlog {
    room: Arc<Semaphore>,
    units: u32,
}

/// The room of one piece, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room(#[expect(dead_code, reason = "it is dropped")] OwnedSemaphorePermit);

impl Backlog {
    /// Room for so many bytes, in KiB and at least one.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let most = u64::try_from(Semaphore::MAX_PERMITS).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        let units = u32::try_from((bytes / UNIT).clamp(1, most)).unwrap_or(u32::MAX);
        Self { room: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Take room for a piece, or none where there is not enough. A piece that is larger than all there is takes all.
    #[must_use]
    pub(crate) fn take(&self, bytes: u64) -> Option<Room> {
        let units = u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX).min(self.units);
        Arc::clone(&self.room).try_acquire_many_owned(units).ok().map(Room)
    }

    /// Take room for a value of so many bytes, that it keeps for as long as it is; none where there is not enough.
    #[must_use]
    pub fn weigh<T>(&self, value: T, bytes: u64) -> Option<Weighed<T>> {
        self.take(bytes).map(|room| Weighed { value, room: Some(room) })
    }
}

/// A value on its way into a store, and its room. They go together through every queue, so that whoever gave the value
/// and left does not give back the room of what still waits. The host's own values take none.
#[derive(Debug)]
pub struct Weighed<T> {
    value: T,
    room: Option<Room>,
}

impl<T> Weighed<T> {
    /// What has been made of the value, in the same room.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Weighed<U> {
        Weighed { value: make(self.value), room: self.room }
    }
}

impl<T> From<T> for Weighed<T> {
    fn from(value: T) -> Self {
        Self { value, room: None }
    }
}

impl<T> Deref for Weighed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_until_there_is_none_and_comes_back() {
        let backlog = Backlog::new(10 * UNIT);
        let (small, large) = (backlog.take(1), backlog.take(9 * UNIT));
        assert!(small.is_some() && large.is_some());
        assert!(backlog.take(0).is_none());
        drop(small);
        assert!(backlog.take(UNIT + 1).is_none());
        assert!(backlog.take(UNIT).is_some());
    }

    #[test]
    fn what_is_larger_than_all_room_is_taken_where_it_is_alone() {
        let backlog = Backlog::new(10 * UNIT);
        let small = backlog.take(1);
        assert!(backlog.take(u64::MAX).is_none());
        drop(small);
        let huge = backlog.take(u64::MAX);
        assert!(huge.is_some() && backlog.take(1).is_none());
    }
}
