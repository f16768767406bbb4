//! Folders that hold what a host obeys: compiled code above all. Whoever can write there decides what the host does.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made, or not be looked at.
    #[error("the folder {path} cannot be made or looked at")]
    File {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may write to it.
    #[error("others may write to the folder {path}: `chmod go-w {path}`, or name another")]
    Writable {
        /// The folder.
        path: PathBuf,
    },
    /// It is somebody else's.
    #[error(
        "the folder {path} belongs to the user {owner}, and this host runs as {user}: name another, or run it as its owner"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who runs the host.
        user: u32,
    },
}

/// Bits of a mode by which others than the owner may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Whoever this is can write anywhere.
const ROOT: u32 = 0;

/// Make a folder for its owner alone where it is missing, and see that nobody else may write to it where it is not.
///
/// # Errors
/// See [`FolderError`].
pub fn open(path: &Path) -> Result<(), FolderError> {
    let failed = |source| FolderError::File { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let metadata = std::fs::metadata(path).map_err(failed)?;
    check(path, &metadata, rustix::process::geteuid().as_raw())
}

fn check(path: &Path, metadata: &Metadata, user: u32) -> Result<(), FolderError> {
    let (path, owner) = (path.to_owned(), metadata.uid());
    if owner != user && owner != ROOT {
        return Err(FolderError::Foreign { path, owner, user });
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(FolderError::Writable { path });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_made_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        open(&path).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for (mode, good) in [(0o755, true), (0o750, true), (0o775, false), (0o777, false), (0o702, false)] {
            set_permissions(root.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(open(root.path()).is_ok(), good, "{mode:o}");
        }
        let told = open(root.path()).unwrap_err().to_string();
        assert!(told.contains("chmod go-w"), "{told}");
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let metadata = std::fs::metadata(root.path()).unwrap();
        let owner = metadata.uid();
        assert!(check(root.path(), &metadata, owner).is_ok());
        let others = check(root.path(), &metadata, owner + 1);
        assert_eq!(others.is_ok(), owner == ROOT, "what root owns is as good as one's own");
    }
}
