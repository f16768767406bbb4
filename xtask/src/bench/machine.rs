//! Who measured: figures mean nothing without it.

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde::Serialize;

/// In which Linux counts processor time for whoever reads `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// The machine, the code and the time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Processes that wanted to run, on average over the last minute, before anything was measured.
    pub(crate) load_before: String,
    pub(crate) kernel: String,
    pub(crate) profile: &'static str,
}

impl Machine {
    pub(crate) fn look(root: &Path) -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            date: format!("{:.0}", Timestamp::now()),
            commit: commit(root).unwrap_or_else(unknown),
            processor: processor(&read("/proc/cpuinfo")).unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_before: read("/proc/loadavg").split_whitespace().next().map_or_else(unknown, str::to_owned),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            profile: "release: optimised, no LTO, debug assertions and overflow checks in this project's own crates",
        }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// The commit, and whether files differ from it.
fn commit(root: &Path) -> Option<String> {
    let output = Command::new("git").current_dir(root).args(["describe", "--always", "--dirty"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Megabytes (of a million bytes) that a process holds in memory (VmRSS), shared pages and mapped files among them.
pub(crate) fn resident_megabytes(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    resident(&status).ok_or_else(|| anyhow::anyhow!("the system does not tell how much memory {process} holds"))
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0 / 1e6)
}

/// Seconds of processor time that a process has used, in all its threads.
pub(crate) fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    used(&stat).ok_or_else(|| anyhow::anyhow!("the system does not tell how much {process} computed"))
}

/// Fields 14 and 15 of `/proc/<pid>/stat`: in user mode and in the kernel. The name before may hold anything.
fn used(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// Whether a process has started others that still run.
pub(crate) fn has_children(process: u32) -> anyhow::Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread that has ended in the meantime has no children.
        let children = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        if !children.trim().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(resident("Name:\tx\nVmRSS:\t   50000 kB\nRssAnon:\t 1 kB\n"), Some(51.2));
        assert_eq!(resident("Name:\tx\n"), None);
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194560 80 0 0 0 150 50 9 9 20 0 4 0 100 0";
        assert_eq!(used(stat), Some(2.0));
        assert_eq!(used("12 (a"), None);
    }

    #[test]
    fn children_are_seen() {
        let own = std::process::id();
        assert!(resident_megabytes(own).unwrap() > 0.5);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(has_children(own).unwrap());
        assert!(!has_children(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
