//! cargo-deny: which licences, sources and doubled versions the dependencies may bring.
//!
//! Advisories are not checked here: their database is fetched from the network and changes by the hour, so that the
//! same commit would pass today and fail tomorrow. `cargo deny check advisories` asks for them.

use std::process::{Command, Stdio};

use crate::cargo::run as run_command;
use crate::tools::{Accepted, Tool};
use crate::workspace::Workspace;

const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", accepted: Accepted::Any };

/// Checks bans, licences and sources as `deny.toml` has them.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = Command::new(CARGO_DENY.find(workspace)?);
    command.current_dir(&workspace.root).stdin(Stdio::null());
    run_command(command.args(["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}
