//! Programs of others that a check or a measurement needs: built once, by cargo, into the target directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo::{cargo, run as run_command};
use crate::workspace::Workspace;

/// A program that `cargo install` can build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// Its package, which is also its program.
    pub(crate) name: &'static str,
    /// Built where none is found.
    pub(crate) version: &'static str,
    /// Which ones on PATH will do.
    pub(crate) accepted: Accepted,
}

/// Which versions of a program on PATH will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Any.
    Any,
    /// The one that would be built: another writes other output.
    Same,
}

impl Tool {
    /// The one on PATH, else the one that an earlier run built, else a new one.
    pub(crate) fn find(&self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        let candidates = [PathBuf::from(self.name), self.own(workspace)];
        match candidates.into_iter().find(|program| self.fits(program)) {
            Some(program) => Ok(program),
            None => self.install(workspace),
        }
    }

    fn fits(&self, program: &Path) -> bool {
        let Ok(output) = Command::new(program).arg("--version").stdin(Stdio::null()).output() else { return false };
        let said = String::from_utf8_lossy(&output.stdout);
        output.status.success()
            && match self.accepted {
                Accepted::Any => true,
                Accepted::Same => said.split_whitespace().any(|word| word == self.version),
            }
    }

    /// Kept beside the build, so that it is found again as long as the target directory is.
    fn own(&self, workspace: &Workspace) -> PathBuf {
        folder(workspace).join("bin").join(self.name)
    }

    fn install(&self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        let Self { name, version, .. } = self;
        let folder = folder(workspace);
        eprintln!("{name} {version} is not installed; building it once, into {}.", folder.display());
        let build = folder.join(format!("build-{name}"));
        let mut command = cargo(workspace);
        command.args(["install", "--locked", "--root"]).arg(&folder);
        // Without this, cargo install would mix its build with ours when CARGO_TARGET_DIR is set.
        command.arg("--target-dir").arg(&build);
        run_command(command.arg(format!("{name}@{version}")))?;
        // Only the program is needed again; what it was built from would take a gigabyte.
        let _best_effort = std::fs::remove_dir_all(build);
        Ok(self.own(workspace))
    }
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target_dir.join("tools")
}
