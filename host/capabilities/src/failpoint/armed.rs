//! What the points do in a host that has them.

use std::sync::OnceLock;

use rustix::process::{Signal, getpid, kill_process};

use super::Point;
use crate::sqlite_file::faulty_disk;

/// The variable that tells which points are armed: `<name>=<actions>;...`, with the actions of the crate `fail`. At a
/// point, `return` is death: `committed=19*off->return` dies at the twentieth passing.
pub const VARIABLE: Option<&str> = Some("CHASSIS_FAILPOINTS");

/// The disk loses what was written and not synced when the process ends.
const DROP_UNSYNCED: &str = "drop-unsynced";
/// SQLite is told not to sync, as a host must never be set up.
const SYNCHRONOUS_OFF: &str = "synchronous-off";
/// A write to a database finds no room on the disk.
const DISK_FULL: &str = "disk-full";

/// What holds from the start, whereas passings are counted once the host is ready.
const SWITCHES: [&str; 2] = [DROP_UNSYNCED, SYNCHRONOUS_OFF];

const POINTS: [Point; 6] = [
    Point::BatchApplied,
    Point::Committed,
    Point::MovedToMessaging,
    Point::Delivered,
    Point::MailAccepted,
    Point::Checkpoint,
];

/// What is to be counted once the host is ready: names and their actions.
static COUNTED: OnceLock<Vec<(String, String)>> = OnceLock::new();

impl Point {
    /// How [`VARIABLE`] calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::BatchApplied => "batch-applied",
            Self::Committed => "committed",
            Self::MovedToMessaging => "moved-to-messaging",
            Self::Delivered => "delivered",
            Self::MailAccepted => "mail-accepted",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Read what [`VARIABLE`] says. To be called once, before any database is opened.
///
/// # Errors
/// What is not understood.
pub fn configure(text: &str) -> Result<(), String> {
    let mut counted = Vec::new();
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, actions) = entry.split_once('=').ok_or_else(|| format!("«{entry}» is not <name>=<actions>"))?;
        if !names().any(|known| known == name) {
            return Err(format!("no failpoint «{name}»; there are: {}", names().collect::<Vec<_>>().join(", ")));
        }
        fail::cfg(name, actions).map_err(|error| format!("{name}: {error}"))?;
        if !SWITCHES.contains(&name) {
            fail::remove(name);
            counted.push((name.to_owned(), actions.to_owned()));
        }
    }
    COUNTED.set(counted).map_err(|_twice| "failpoints are configured once".to_owned())?;
    let losing = if is_on(DROP_UNSYNCED) { faulty_disk::Unsynced::Lost } else { faulty_disk::Unsynced::Kept };
    faulty_disk::install(losing, faulty_disk::Use::ByDefault)
}

fn names() -> impl Iterator<Item = &'static str> {
    POINTS.map(Point::name).into_iter().chain(SWITCHES).chain([DISK_FULL])
}

/// From here on passings are counted: the host is ready.
pub fn arm() {
    for (name, actions) in COUNTED.get().into_iter().flatten() {
        if let Err(error) = fail::cfg(name.as_str(), actions) {
            tracing::error!(name, error, "a failpoint cannot be armed");
        }
    }
}

/// Pass a point: the process dies here if the point is armed and it is its turn.
pub fn pass(point: Point) {
    fail::fail_point!(point.name(), |_| die());
}

/// Whether SQLite is told not to sync.
pub(crate) fn synchronous_is_off() -> bool {
    is_on(SYNCHRONOUS_OFF)
}

/// Whether the disk takes no more bytes.
pub(crate) fn disk_is_full() -> bool {
    is_on(DISK_FULL)
}

fn is_on(name: &str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// SIGKILL: no destructor runs, and nothing is flushed.
fn die() {
    let _killed = kill_process(getpid(), Signal::KILL);
}
