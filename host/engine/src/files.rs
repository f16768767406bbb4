//! The files of a component, gathered into one folder of its own that the guest sees as its root.
//!
//! A preopen is a folder: a manifest that names single files must not lend their neighbours.

use std::path::{Path, PathBuf};

use chassis_config::plan::{ComponentPlan, FileMount};

/// Copy what `files` names below the state folder, and answer with a plan that mounts just that.
pub(crate) async fn stage(plan: &ComponentPlan, state_dir: &Path) -> std::io::Result<ComponentPlan> {
    let mut plan = plan.clone();
    if plan.files.is_empty() {
        return Ok(plan);
    }
    let root = state_dir.join("files").join(plan.name.as_str());
    let (mounts, target) = (std::mem::take(&mut plan.files), root.clone());
    let copied = tokio::task::spawn_blocking(move || copy_all(&mounts, &target)).await;
    copied.map_err(std::io::Error::other)??;
    plan.files = vec![FileMount { source: root, destination: "/".to_owned() }];
    Ok(plan)
}

fn copy_all(mounts: &[FileMount], root: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(root)?,
    }
    for mount in mounts {
        let target: PathBuf = root.join(mount.destination.trim_start_matches('/'));
        copy(&mount.source, &target)?;
    }
    Ok(())
}

fn copy(source: &Path, target: &Path) -> std::io::Result<()> {
    // Links were refused with the manifest; one that appeared since is not followed either.
    let kind = std::fs::symlink_metadata(source)?.file_type();
    if kind.is_dir() {
        std::fs::create_dir_all(target)?;
        for entry in std::fs::read_dir(source)? {
            let entry = entry?;
            copy(&entry.path(), &target.join(entry.file_name()))?;
        }
    } else if kind.is_file() {
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(source, target)?;
    }
    Ok(())
}
