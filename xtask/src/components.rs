//! `cargo xtask build-components`: packages to `.wasm` files, each with its migrations inside.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context, bail};

use crate::cargo::{cargo, ensure_wasm_target, run as run_command};
use crate::migrations;
use crate::spin;
use crate::workspace::{Component, WASM_TARGET, Workspace};

/// Arguments of `build-components`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Build these alone, such as `hello`; all where none is named.
    names: Vec<String>,
}

/// Builds the components that are named.
pub(crate) fn run_chosen(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    build_named(workspace, &arguments.names)
}

/// Builds these components; all where none is named.
pub(crate) fn build_named(workspace: &Workspace, names: &[impl AsRef<str>]) -> anyhow::Result<()> {
    let known: Vec<&str> = workspace.components.iter().map(|component| component.name.as_str()).collect();
    if let Some(name) = names.iter().map(AsRef::as_ref).find(|name| !known.contains(name)) {
        bail!("no component «{name}» below components/, adapters/ or tests/guests/; there are: {}", known.join(", "));
    }
    let named = |component: &&Component| names.is_empty() || names.iter().any(|name| name.as_ref() == component.name);
    let chosen: Vec<&Component> = workspace.components.iter().filter(named).collect();
    build(workspace, &chosen)
}

/// Builds every component and guest.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    build(workspace, &workspace.components.iter().collect::<Vec<_>>())
}

fn build(workspace: &Workspace, components: &[&Component]) -> anyhow::Result<()> {
    ensure_wasm_target(workspace)?;
    let mut command = cargo(workspace);
    command.args(["build", "--release", "--locked", "--target", WASM_TARGET]);
    for component in components {
        command.args(["--package", &component.name]);
    }
    run_command(&mut command)?;
    for component in components {
        embed(workspace, component).with_context(|| format!("component «{}»", component.name))?;
        publish(workspace, component).with_context(|| format!("component «{}»", component.name))?;
    }
    spin::run_where_built(workspace)
}

/// Writes `migrations/<name>/*.sql` into the component's file, whole or not at all, and only where that changes it.
fn embed(workspace: &Workspace, component: &Component) -> anyhow::Result<()> {
    let file = workspace.component_file(component);
    let wasm = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let migrations = migrations::read(&workspace.migrations_folder(component))?;
    let embedded = migrations::embed(&wasm, &migrations)?;
    if embedded != wasm {
        let twin = file.with_file_name("deps").join(file.file_name().unwrap_or_default());
        let linked = is_same_file(&file, &twin);
        replace(&file, &embedded)?;
        if linked {
            link(&file, &twin)?;
        }
    }
    if !migrations.is_empty() {
        eprintln!("{}: {} migrations embedded", component.name, migrations.len());
    }
    Ok(())
}

/// The manifest names files below `target/` of the checkout. Where cargo builds to another folder, they are put there too.
fn publish(workspace: &Workspace, component: &Component) -> anyhow::Result<()> {
    let (built, named) = (workspace.component_file(component), workspace.named_file(component));
    if built == named {
        return Ok(());
    }
    let wasm = std::fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    if std::fs::read(&named).is_ok_and(|known| known == wasm) {
        return Ok(());
    }
    let folder = named.parent().context("a component's file has a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    replace(&named, &wasm)
}

/// A reader sees the old file or the new one, never a half.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let folder = file.parent().context("a component's file has a folder")?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("in {}", folder.display()))?;
    fresh.write_all(bytes).context("cannot write the component")?;
    // A temporary file is for its owner alone; a component is for everybody who may run the host.
    fresh.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    fresh.persist(file).with_context(|| format!("cannot replace {}", file.display()))?;
    Ok(())
}

/// Cargo keeps two names for a file that it has built. A twin that stays behind would be put in place of ours by the next
/// `cargo build`, and the component would be without its tables.
fn link(file: &Path, twin: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(file.parent().context("a component's file has a folder")?)?;
    let fresh = folder.path().join("twin");
    std::fs::hard_link(file, &fresh).with_context(|| format!("cannot link {}", file.display()))?;
    std::fs::rename(&fresh, twin).with_context(|| format!("cannot replace {}", twin.display()))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|found| Some(found) == identity(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_a_built_file_get_the_new_content() {
        let folder = tempfile::tempdir().unwrap();
        let (file, twin) = (folder.path().join("a.wasm"), folder.path().join("twin.wasm"));
        std::fs::write(&file, "old").unwrap();
        std::fs::hard_link(&file, &twin).unwrap();
        assert!(is_same_file(&file, &twin));
        replace(&file, b"new").unwrap();
        assert!(!is_same_file(&file, &twin));
        link(&file, &twin).unwrap();
        assert!(is_same_file(&file, &twin));
        assert_eq!(std::fs::read(&twin).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }
}
