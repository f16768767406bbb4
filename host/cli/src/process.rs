//! What the process asks of the system before anything is opened.

use chassis_config::plan::{Durability, Plan};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Descriptors beside those that the plan tells of: log, locks, listeners, tokens, the runtime's own.
const OWN: u64 = 64;
/// Descriptors of one connection to a SQLite file: the file, its log, its index.
const PER_SQLITE_CONNECTION: u64 = 3;
/// The queues and the mailbox, with a few connections each.
const HOST_FILES: u64 = 2 * 4 * PER_SQLITE_CONNECTION;

/// Whatever the process makes from now on is for its owner alone.
pub(crate) fn keep_private() {
    // The mask before says nothing that is needed again.
    let _before = umask(Mode::RWXG | Mode::RWXO);
}

/// Take all descriptors that the system gives, and say so where they are fewer than the plan can use.
pub(crate) fn raise_descriptors(plan: &Plan) {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let (limit, needed) = (getrlimit(Resource::Nofile).current, needed(plan));
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "the system gives fewer open files than the settings can use: raise the limit (`ulimit -Hn`), or lower \
             gateway.connections, sql.readers or limits.outbound"
        );
    }
}

/// Descriptors that are open where every bound of the plan is reached at once.
fn needed(plan: &Plan) -> u64 {
    let databases: usize = plan.components.values().map(|component| component.grants.databases.len()).sum();
    let durable = plan.key_value.values().filter(|store| store.durability == Durability::Durable).count();
    let per_database = (u64::from(plan.sql.readers) + 1) * PER_SQLITE_CONNECTION;
    let outbound: u64 = plan
        .components
        .values()
        .filter(|component| !component.grants.outbound.is_empty())
        .map(|component| u64::from(component.limits.outbound))
        .sum();
    [
        OWN,
        HOST_FILES,
        u64::from(plan.gateway.connections),
        u64::from(plan.admin.connections),
        u64::try_from(databases + durable).unwrap_or(u64::MAX).saturating_mul(per_database),
        outbound,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}
