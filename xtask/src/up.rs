//! `cargo xtask up`: build everything, then become the host.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::cargo::{cargo, run as run_command};
use crate::components;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `chassis up`, such as `--listen 127.0.0.1:9000`. Paths are relative to the top of the checkout.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS OF chassis up")]
    host: Vec<OsString>,
}

/// Builds components and host, then replaces this process with `chassis up`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    eprintln!("Building Chassis. The first time takes some minutes; after that, only what has changed is built.");
    let mut steps = Steps::new(2);
    steps.run("build components", "cargo xtask build-components", || components::run(workspace))?;
    steps.run("build host", "cargo build --release --workspace --bin chassis", || build_host(workspace))?;
    eprintln!();
    let mut host = Command::new(workspace.host_binary());
    host.current_dir(&workspace.root).arg("up").args(&arguments.host);
    become_process(&mut host)
}

/// Builds the binary `chassis`. Documents and scripts name it below `target/` of the checkout: where cargo builds to
/// another folder, a link stands there.
pub(crate) fn build_host(workspace: &Workspace) -> anyhow::Result<()> {
    run_command(cargo(workspace).args(["build", "--release", "--locked", "--workspace", "--bin", "chassis"]))?;
    let (built, named) = (workspace.host_binary(), workspace.root.join("target/release/chassis"));
    if built == named || std::fs::read_link(&named).is_ok_and(|known| known == built) {
        return Ok(());
    }
    if let Some(folder) = named.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if named.symlink_metadata().is_ok() {
        std::fs::remove_file(&named).with_context(|| format!("cannot replace {}", named.display()))?;
    }
    std::os::unix::fs::symlink(&built, &named).with_context(|| format!("cannot link {}", named.display()))
}

/// On success this does not return: signals and the exit code are the host's own.
fn become_process(host: &mut Command) -> anyhow::Result<ExitCode> {
    let error = host.exec();
    Err(anyhow::Error::new(error).context(format!("cannot start `{}`", host.get_program().to_string_lossy())))
}
