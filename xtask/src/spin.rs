//! `cargo xtask compose-spin`: what Spin makes of the manifest, made here, and checked against what Spin offers.
//!
//! Spin composes a component with the files that its `dependencies` name when it loads it. Such a file that has dependencies of
//! its own has to be composed before: [`FOLDER`] holds every component of the manifest that has dependencies, composed
//! in the way of Spin, both for the manifest to name and for the check.

mod compose;
mod interfaces;
mod manifest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use self::compose::Part;
use self::interfaces::Offered;
use self::manifest::{Component, Manifest};
use crate::components::replace;
use crate::workspace::Workspace;

/// Where composed components are put, from the top of the checkout: `<name>.wasm`.
const FOLDER: &str = "target/spin";

/// What Spin offers, from the top of the checkout.
const INTERFACES: &str = "adapters/spin/spin-4.1-interfaces.txt";

/// Composes and checks every component of the manifest that has dependencies; each file that it takes has to be there.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let checkout = Checkout::read(&workspace.root)?;
    let mut composed = BTreeMap::new();
    for component in checkout.manifest.composed() {
        checkout.compose(component, &mut composed)?;
    }
    if composed.is_empty() {
        bail!("no component of spin.toml has dependencies: there is nothing to compose");
    }
    Ok(())
}

/// As [`run`], where everything that it takes has been built. Who builds one component is not made to build all.
pub(crate) fn run_where_built(workspace: &Workspace) -> anyhow::Result<()> {
    let checkout = Checkout::read(&workspace.root)?;
    let missing = checkout.manifest.composed().flat_map(|component| checkout.taken(component)).find(|it| !it.exists());
    match missing {
        Some(missing) => {
            eprintln!("spin: nothing is composed for Spin, because {} is not built", missing.display());
            Ok(())
        }
        None => run(workspace),
    }
}

/// A checkout, as far as it concerns Spin.
struct Checkout<'a> {
    root: &'a Path,
    manifest: Manifest,
    offered: Offered,
}

/// What became of a component; nothing yet while it is being composed.
type Composed = BTreeMap<String, Option<()>>;

impl<'a> Checkout<'a> {
    fn read(root: &'a Path) -> anyhow::Result<Self> {
        let text = |file: &str| std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"));
        let manifest = Manifest::parse(&text("spin.toml")?).context("in spin.toml")?;
        let offered = Offered::parse(&text(INTERFACES)?).with_context(|| format!("in {INTERFACES}"))?;
        Ok(Self { root, manifest, offered })
    }

    /// Composes a component after those whose composed files it takes.
    fn compose(&self, component: &Component, composed: &mut Composed) -> anyhow::Result<()> {
        match composed.get(&component.name) {
            Some(Some(())) => return Ok(()),
            Some(None) => bail!("the dependencies of «{}» lead back to it", component.name),
            None => composed.insert(component.name.clone(), None),
        };
        for dependency in &component.dependencies {
            if let Some(other) = self.component_of(&dependency.path) {
                self.compose(other, composed)?;
            }
        }
        let wasm = self.composition(component).with_context(|| format!("component «{}»", component.name))?;
        let file = self.root.join(output(&component.name));
        std::fs::create_dir_all(self.root.join(FOLDER)).with_context(|| format!("cannot make {FOLDER}"))?;
        replace(&file, &wasm)?;
        composed.insert(component.name.clone(), Some(()));
        Ok(())
    }

    /// The component, composed and checked.
    fn composition(&self, component: &Component) -> anyhow::Result<Vec<u8>> {
        let read = |path: &Path| {
            std::fs::read(self.root.join(path)).with_context(|| {
                format!("cannot read {}: build it with `cargo xtask build-components`", path.display())
            })
        };
        let parts = component.dependencies.iter().map(|it| Ok(Part { name: it.name.clone(), wasm: read(&it.path)? }));
        let wasm = compose::compose(read(&component.source)?, parts.collect::<anyhow::Result<Vec<_>>>()?)?;
        let found = self.offered.check(&wasm, &component.provides)?;
        eprintln!("spin: {}: {} imports, all of Spin's; answers by {}", component.name, found.imports, found.handler);
        Ok(wasm)
    }

    /// The component whose composed file this is.
    fn component_of(&self, path: &Path) -> Option<&Component> {
        self.manifest.composed().find(|component| output(&component.name) == path)
    }

    /// Files that a component is composed of and that cargo builds.
    fn taken(&self, component: &Component) -> Vec<PathBuf> {
        let dependencies = component.dependencies.iter().map(|dependency| dependency.path.as_path());
        let built = dependencies.filter(|path| self.component_of(path).is_none());
        std::iter::once(component.source.as_path()).chain(built).map(|path| self.root.join(path)).collect()
    }
}

/// Where the composed component is put, from the top of the checkout.
fn output(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.wasm"))
}

#[cfg(test)]
mod tests;
