//! cargo-deny: which licences, sources and doubled versions the dependencies may bring.
//!
//! Advisories are not checked here: their database is fetched from the network and changes by the hour, so that the
//! same commit would pass today and fail tomorrow. `cargo deny check advisories` asks for them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cargo::{cargo, run as run_command};
use crate::workspace::Workspace;

/// Built when no cargo-deny is found.
const VERSION: &str = "0.20.2";

/// Checks bans, licences and sources as `deny.toml` has them.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let program = match installed(workspace) {
        Some(program) => program,
        None => install(workspace)?,
    };
    let mut command = Command::new(program);
    command.current_dir(&workspace.root).stdin(Stdio::null());
    run_command(command.args(["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}

/// The one on PATH, else the one that an earlier run built.
fn installed(workspace: &Workspace) -> Option<PathBuf> {
    let candidates = [PathBuf::from("cargo-deny"), own(workspace)];
    candidates.into_iter().find(|program| {
        let version = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        version.is_ok_and(|output| output.status.success())
    })
}

/// Kept beside the build, so that it is found again as long as the target directory is.
fn own(workspace: &Workspace) -> PathBuf {
    tools(workspace).join("bin").join("cargo-deny")
}

fn tools(workspace: &Workspace) -> PathBuf {
    workspace.target_dir.join("tools")
}

fn install(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    eprintln!("cargo-deny is not installed; building version {VERSION} once, into {}.", tools(workspace).display());
    let mut command = cargo(workspace);
    command.args(["install", "--locked", "--root"]).arg(tools(workspace));
    // Without this, cargo install would mix its build with ours when CARGO_TARGET_DIR is set.
    command.arg("--target-dir").arg(tools(workspace).join("build"));
    run_command(command.arg(format!("cargo-deny@{VERSION}")))?;
    // Only the program is needed again; what it was built from would take a gigabyte.
    let _best_effort = std::fs::remove_dir_all(tools(workspace).join("build"));
    Ok(own(workspace))
}
