//! What the connection may do at this moment, and until when.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// On whose behalf SQL is compiled and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// The host's own statements.
    Host = 0,
    /// A guest's statement: hostile input.
    Guest = 1,
    /// A migration of a component: may change its schema, and nothing of the host's.
    Migration = 2,
}

/// Shared by a connection, its authorizer and its progress handler.
#[derive(Debug)]
pub(crate) struct Fence {
    mode: AtomicU8,
    /// Whether the last compiled statement did anything that a guest may do at all.
    touched: AtomicU8,
    began: Instant,
    /// Nanoseconds after `began` at which running SQL is interrupted.
    until: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Fence {
    pub(crate) fn new() -> Self {
        Self {
            mode: AtomicU8::new(Mode::Host as u8),
            touched: AtomicU8::new(0),
            began: Instant::now(),
            until: AtomicU64::new(NEVER),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Host,
            2 => Mode::Migration,
            _ => Mode::Guest,
        }
    }

    /// From now on SQL is compiled on behalf of `mode`.
    pub(crate) fn enter(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Interrupt what runs after `time` from now.
    pub(crate) fn limit(&self, time: Duration) {
        let until = u64::try_from((self.began.elapsed().saturating_add(time)).as_nanos()).unwrap_or(NEVER);
        self.until.store(until, Ordering::SeqCst);
    }

    /// Let what runs take its time.
    pub(crate) fn unlimit(&self) {
        self.until.store(NEVER, Ordering::SeqCst);
    }

    /// Interrupt what runs now.
    pub(crate) fn expire(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Whether the time is up.
    pub(crate) fn expired(&self) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        until != NEVER && self.began.elapsed().as_nanos() >= u128::from(until)
    }

    /// Note that the statement being compiled reads or writes rows.
    pub(crate) fn touch(&self) {
        self.touched.store(1, Ordering::SeqCst);
    }

    /// Whether a statement compiled since the last call reads or writes rows.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.swap(0, Ordering::SeqCst) != 0
    }
}
