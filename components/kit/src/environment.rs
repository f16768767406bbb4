//! Where time and randomness come from. A component makes one [`Environment`] and hands its answers on as arguments;
//! its domain never asks.

use jiff::Timestamp;

/// Sources of time and randomness, as functions so that a test can bring its own.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    now: fn() -> Timestamp,
    fill: fn(&mut [u8]) -> Result<(), NoRandomness>,
}

/// The host gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host gave no random bytes")]
pub struct NoRandomness;

impl Environment {
    /// WASI's wall clock and WASI's secure randomness.
    pub const fn host() -> Self {
        Self { now: Timestamp::now, fill: host_randomness }
    }

    /// Other sources.
    pub const fn new(now: fn() -> Timestamp, fill: fn(&mut [u8]) -> Result<(), NoRandomness>) -> Self {
        Self { now, fill }
    }

    /// The present time (UTC).
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// So many random bytes, fit for secrets.
    ///
    /// # Errors
    /// The host has none.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        (self.fill)(&mut bytes)?;
        Ok(bytes)
    }
}

fn host_randomness(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(bytes).map_err(|_error| NoRandomness)
}
