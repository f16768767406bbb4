//! The files of a component, gathered into one folder of its own that the guest sees as its root.
//!
//! A preopen is a folder: a manifest that names single files must not lend their neighbours. Symbolic links are not
//! copied but followed, since where they lead means nothing in the copy; they lead nowhere beyond what is named.

use std::fs::File;
use std::io::{Error, Read as _, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chassis_config::plan::{ComponentLimits, ComponentPlan, FileMount};

/// Copy what `files` names below the state folder, and answer with a plan that mounts just that.
pub(crate) async fn stage(plan: &ComponentPlan, state_dir: &Path) -> Result<ComponentPlan> {
    let mut plan = plan.clone();
    if plan.files.is_empty() {
        return Ok(plan);
    }
    let root = state_dir.join("files").join(plan.name.as_str());
    let (mounts, target, room) = (std::mem::take(&mut plan.files), root.clone(), Room::new(&plan.limits));
    let copied = tokio::task::spawn_blocking(move || copy_all(&mounts, &target, room)).await;
    copied.map_err(Error::other)??;
    plan.files = vec![FileMount { source: root, destination: "/".to_owned() }];
    Ok(plan)
}

fn copy_all(mounts: &[FileMount], root: &Path, room: Room) -> Result<()> {
    match std::fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(root)?,
    }
    let mut room = room;
    for mount in mounts {
        let target: PathBuf = root.join(mount.destination.trim_start_matches('/'));
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Copy { bounds: &mount.source, room: &mut room, within: Vec::new() }.any(&mount.source, &target)?;
    }
    Ok(())
}

/// What may still be copied for the component.
#[derive(Debug)]
struct Room {
    entries: u32,
    entries_max: u32,
    bytes: u64,
    bytes_max: u64,
}

impl Room {
    fn new(limits: &ComponentLimits) -> Self {
        let (entries, bytes) = (limits.files_entries, limits.files_bytes);
        Self { entries, entries_max: entries, bytes, bytes_max: bytes }
    }

    fn take_entry(&mut self) -> Result<()> {
        let too_many = || {
            Error::other(format!("there are more files and folders than limits.files_entries ({})", self.entries_max))
        };
        self.entries = self.entries.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }

    fn take_bytes(&mut self, bytes: u64) -> Result<()> {
        let too_much = || Error::other(format!("they hold more bytes than limits.files_bytes ({})", self.bytes_max));
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(too_much)?;
        Ok(())
    }
}

/// The copying of one mount.
struct Copy<'a> {
    /// No link leads out of this.
    bounds: &'a Path,
    room: &'a mut Room,
    /// The folders that are being copied, the outermost first: a link back to one of them would never end.
    within: Vec<PathBuf>,
}

impl Copy<'_> {
    /// Copy whatever is at `source`, a path that may be a link.
    fn any(&mut self, source: &Path, target: &Path) -> Result<()> {
        let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", source.display()));
        self.room.take_entry()?;
        // Looked at anew, since the manifest was checked some time ago.
        let real = source.canonicalize().map_err(named)?;
        if !real.starts_with(self.bounds) {
            return Err(Error::other(format!("{} leads out of {}", source.display(), self.bounds.display())));
        }
        let kind = std::fs::symlink_metadata(&real).map_err(named)?.file_type();
        if kind.is_dir() {
            self.folder(real, source, target)
        } else if kind.is_file() {
            self.file(&real, target).map_err(named)
        } else {
            // Sockets, pipes and devices hold nothing that can be copied.
            Ok(())
        }
    }

    fn folder(&mut self, real: PathBuf, source: &Path, target: &Path) -> Result<()> {
        if self.within.contains(&real) {
            return Err(Error::other(format!("{} leads back to {}, which holds it", source.display(), real.display())));
        }
        std::fs::create_dir_all(target)?;
        self.within.push(real);
        for entry in std::fs::read_dir(source)? {
            let entry = entry?;
            self.any(&entry.path(), &target.join(entry.file_name()))?;
        }
        self.within.pop();
        Ok(())
    }

    /// The copy is for the host's user alone, whatever the mode of the original.
    fn file(&mut self, source: &Path, target: &Path) -> Result<()> {
        let file = File::open(source)?;
        // One byte more than there is room for tells that the file has grown since.
        let mut content = file.take(self.room.bytes.saturating_add(1));
        let mut copy = File::options().write(true).create(true).truncate(true).mode(0o600).open(target)?;
        let copied = std::io::copy(&mut content, &mut copy)?;
        self.room.take_bytes(copied)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A folder that holds `a`, of five bytes, and `inner/b`, of four.
    fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().canonicalize().unwrap();
        let (source, target) = (base.join("source"), base.join("target"));
        std::fs::create_dir_all(source.join("inner")).unwrap();
        std::fs::write(source.join("a"), "hello").unwrap();
        std::fs::write(source.join("inner/b"), "deep").unwrap();
        (place, source, target)
    }

    fn room(entries: u32, bytes: u64) -> Room {
        Room { entries, entries_max: entries, bytes, bytes_max: bytes }
    }

    fn copy(source: &Path, target: &Path, room: Room) -> std::result::Result<(), String> {
        let mount = FileMount { source: source.to_owned(), destination: "/".to_owned() };
        copy_all(&[mount], target, room).map_err(|error| error.to_string())
    }

    #[test]
    fn links_are_followed_and_everything_is_private() {
        let (_place, source, target) = folder();
        symlink("a", source.join("link")).unwrap();
        symlink("inner", source.join("folder")).unwrap();
        std::fs::set_permissions(source.join("a"), std::fs::Permissions::from_mode(0o644)).unwrap();
        copy(&source, &target, room(100, 100)).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("link")).unwrap(), "hello");
        assert_eq!(std::fs::read_to_string(target.join("folder/b")).unwrap(), "deep");
        assert!(!target.join("link").is_symlink() && !target.join("folder").is_symlink());
        assert_eq!(std::fs::metadata(target.join("a")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_that_leads_out_or_around_is_refused() {
        let (_place, source, target) = folder();
        std::fs::write(source.join("../secret"), "secret").unwrap();
        symlink("../secret", source.join("out")).unwrap();
        assert!(copy(&source, &target, room(100, 100)).unwrap_err().contains("leads out of"));
        std::fs::remove_file(source.join("out")).unwrap();
        symlink("..", source.join("inner/around")).unwrap();
        assert!(copy(&source, &target, room(100, 100)).unwrap_err().contains("leads back to"));
    }

    #[test]
    fn entries_and_bytes_are_bounded() {
        let (_place, source, target) = folder();
        copy(&source, &target, room(4, 9)).unwrap();
        assert!(copy(&source, &target, room(3, 9)).unwrap_err().contains("limits.files_entries (3)"));
        assert!(copy(&source, &target, room(4, 8)).unwrap_err().contains("limits.files_bytes (8)"));
    }
}
