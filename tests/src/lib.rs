//! Starts real hosts with real components, and looks at them from outside: plain HTTP, signals, exit codes, log lines.
//!
//! Nothing of the product is linked in. A test writes an [`App`], starts a [`Host`] on free ports with a state folder of
//! its own, and talks to it; a host that goes out of scope is killed.
//!
//! `cargo xtask build-components` and `cargo build --release --workspace --bin chassis` make what is started here; the hosts
//! of the suite `fault` are made by `cargo xtask test --only host`.

mod app;
mod gate;
mod host;
pub mod raw;

use std::path::PathBuf;

use anyhow::Context;

pub use crate::app::App;
pub use crate::gate::Gate;
pub use crate::host::{Ended, Host, HostOptions, Program, Signal, run_to_end};

/// The folder that cargo builds natively to: this program runs from `<it>/deps`.
fn release_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let folder = program.ancestors().nth(2).context("a test runs from cargo's target directory")?;
    Ok(folder.to_path_buf())
}

/// The host's binary.
///
/// # Errors
///
/// If it has not been built.
pub fn host_binary() -> anyhow::Result<PathBuf> {
    existing(release_dir()?.join("chassis"), "cargo build --release --workspace --bin chassis")
}

/// The native twin that components are measured against.
///
/// # Errors
///
/// If it has not been built.
pub fn baseline_binary() -> anyhow::Result<PathBuf> {
    existing(release_dir()?.join("chassis-baseline"), "cargo xtask test --only host")
}

/// The host's binary with the feature `failpoints`.
///
/// # Errors
///
/// If it has not been built.
pub fn failpoints_binary() -> anyhow::Result<PathBuf> {
    let build = "cargo build --release --workspace --bin chassis-failpoints --features chassis/failpoints";
    existing(release_dir()?.join("chassis-failpoints"), build)
}

/// The `.wasm` file of a component or a guest, such as `hello`.
///
/// # Errors
///
/// If it has not been built.
pub fn component_file(name: &str) -> anyhow::Result<PathBuf> {
    let folder = release_dir()?.join("../wasm32-wasip2/release");
    existing(folder.join(format!("{}.wasm", name.replace('-', "_"))), "cargo xtask build-components")
}

/// The checkout that this was built from.
#[must_use]
pub fn checkout() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn existing(path: PathBuf, build: &str) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(path.exists(), "{} is missing: run `{build}`", path.display());
    Ok(path)
}
