//! The folder of everything that the host keeps: one host at a time, in a format that is known.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chassis_capabilities::trusted_folder;
use serde::{Deserialize, Serialize};

/// Version of what the folder holds. A host refuses folders of versions that it does not know.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "format";
const LOCK_FILE: &str = "host.lock";
/// `chassis ps` and its like hold the lock for a moment, to see whether a host does: one that starts tries so often,
const LOCK_TRIES: u32 = 50;
/// and waits so long in between, before it says that the folder is in use.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How the running host is found; kept in the locked file, so that it is true as long as the lock is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its process id.
    pub(crate) pid: u32,
    /// URL of the public listener.
    pub(crate) gateway: String,
    /// URL of the admin listener.
    pub(crate) admin: String,
}

impl Running {
    /// The host that runs on a state folder.
    pub(crate) fn find(path: &Path) -> anyhow::Result<Self> {
        let nobody = || {
            format!(
                "no host runs on the state folder {}: start one by `chassis up`, or name another by --state-dir",
                path.display()
            )
        };
        let mut lock = File::open(path.join(LOCK_FILE)).with_context(nobody)?;
        if lock.try_lock_shared().is_ok() {
            bail!(nobody());
        }
        let mut text = String::new();
        lock.read_to_string(&mut text).with_context(nobody)?;
        serde_json::from_str(&text).with_context(|| format!("the host on {} is still starting", path.display()))
    }
}

/// The folder, locked until this is dropped.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    lock: File,
}

impl StateDir {
    /// Make the folder where it is missing, lock it, and check its format.
    pub(crate) async fn open(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("the state folder {}", path.display());
        trusted_folder::open(path).with_context(|| format!("cannot use {}", what()))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.with_context(|| format!("cannot open {}", lock_path.display()))?;
        match try_lock(&lock).await {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(already_running(&lock, path)),
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {}", what())),
        }
        check_format(path)?;
        let state = Self { path: path.to_owned(), lock };
        state.write(b"")?;
        Ok(state)
    }

    /// Say how this host is found.
    pub(crate) fn announce(&self, running: &Running) -> anyhow::Result<()> {
        self.write(&serde_json::to_vec(running)?)
    }

    fn write(&self, content: &[u8]) -> anyhow::Result<()> {
        let write = || {
            self.lock.set_len(0)?;
            (&self.lock).seek(SeekFrom::Start(0))?;
            (&self.lock).write_all(content)?;
            self.lock.sync_data()
        };
        write().with_context(|| format!("cannot write to the state folder {}", self.path.display()))
    }
}

async fn try_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            decided => return decided,
        }
    }
    lock.try_lock()
}

fn already_running(mut lock: &File, path: &Path) -> String {
    let mut text = String::new();
    let running = lock.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Running>(&text).ok());
    let who = running.map_or_else(
        || "another host, which is starting".to_owned(),
        |running| format!("the host with process id {} at {}", running.pid, running.gateway),
    );
    format!("the state folder {} is in use by {who}: stop it, or give another folder by --state-dir", path.display())
}

fn check_format(path: &Path) -> anyhow::Result<()> {
    let file = path.join(FORMAT_FILE);
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim() == FORMAT.to_string() => Ok(()),
        Ok(text) => bail!(
            "the state folder {} has format «{}», this host knows {FORMAT}: use the host that wrote it",
            path.display(),
            text.trim()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let written = tempfile_write(path, &file);
            written.with_context(|| format!("cannot write {}", file.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Write the format so that it is there whole or not at all.
fn tempfile_write(folder: &Path, file: &Path) -> std::io::Result<()> {
    let unfinished = folder.join("format.new");
    let mut written = File::create(&unfinished)?;
    written.write_all(format!("{FORMAT}\n").as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&unfinished, file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Running {
        Running { pid: 7, gateway: "http://127.0.0.1:1".to_owned(), admin: "http://127.0.0.1:2".to_owned() }
    }

    #[tokio::test]
    async fn a_second_host_is_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateDir::open(folder.path()).await.unwrap();
        let early = StateDir::open(folder.path()).await.unwrap_err().to_string();
        assert!(early.contains("which is starting"), "{early}");
        first.announce(&running()).unwrap();
        assert_eq!(Running::find(folder.path()).unwrap(), running());
        let late = StateDir::open(folder.path()).await.unwrap_err().to_string();
        assert!(late.contains("process id 7 at http://127.0.0.1:1"), "{late}");
        drop(first);
        let nobody = Running::find(folder.path()).unwrap_err().to_string();
        assert!(nobody.contains("no host runs"), "{nobody}");
        StateDir::open(folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn one_who_only_looks_does_not_keep_a_host_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        drop(StateDir::open(folder.path()).await.unwrap());
        let looking = File::open(folder.path().join(LOCK_FILE)).unwrap();
        looking.try_lock_shared().unwrap();
        let (opened, ()) = tokio::join!(StateDir::open(folder.path()), async {
            tokio::time::sleep(LOCK_PAUSE).await;
            looking.unlock().unwrap();
        });
        opened.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        let refused = format!("{:#}", StateDir::open(folder.path()).await.unwrap_err());
        assert!(refused.contains("others may write"), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was put there");
        mode(0o755);
        StateDir::open(folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(StateDir::open(folder.path()).await.unwrap());
        std::fs::write(folder.path().join(FORMAT_FILE), "99\n").unwrap();
        let refused = StateDir::open(folder.path()).await.unwrap_err().to_string();
        assert!(refused.contains("format «99»"), "{refused}");
    }
}
