//! How a component behaves, as far as what it is lent can tell.

use std::fmt::Debug;
use std::time::Duration;

/// Told when SQL of a component burns CPU, and asked how it stands. Called on threads of SQLite: must not block.
pub trait Conduct: Debug + Send + Sync {
    /// CPU time that one statement or batch may take at the priority of the host.
    fn burst(&self) -> Duration;

    /// One has taken more. It goes on at the lowest priority.
    fn burned(&self);

    /// Whether all that the component does is to run at the lowest priority.
    fn is_slow(&self) -> bool;
}
