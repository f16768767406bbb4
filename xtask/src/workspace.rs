//! What cargo knows of this workspace: where it is, where it builds to, which of its packages are components.

use std::path::{Path, PathBuf};

use anyhow::Context;
use cargo_metadata::{MetadataCommand, Package, TargetKind};

/// The target that components are built for.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// The workspace that the command was given in.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its folder.
    pub(crate) root: PathBuf,
    /// Where cargo builds to; `CARGO_TARGET_DIR` and cargo's configuration are honoured.
    pub(crate) target_dir: PathBuf,
    /// Packages that become `.wasm` files, by name.
    pub(crate) components: Vec<Component>,
    /// Tests in files of their own that start no host: those of every package but `tests`.
    pub(crate) contract_tests: Vec<String>,
    /// The suites of the package `tests`, which start real hosts.
    pub(crate) suites: Vec<String>,
}

/// A package that becomes a `.wasm` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    /// Name of the package and, with `-` as `_`, of the file.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
}

impl Component {
    pub(crate) fn file_below(&self, target: &Path) -> PathBuf {
        target.join(WASM_TARGET).join("release").join(format!("{}.wasm", self.name.replace('-', "_")))
    }
}

impl Workspace {
    /// Asks cargo, without the network and without resolving dependencies.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .context("cargo metadata failed: run this within a checkout of Chassis")?;
        let root = metadata.workspace_root.as_std_path().to_path_buf();
        let mut components: Vec<Component> =
            metadata.packages.iter().filter_map(|package| component(&root, package)).collect();
        components.sort_by(|a, b| a.name.cmp(&b.name));
        let suites_folder = root.join("tests");
        let (of_suites, of_others): (Vec<&Package>, Vec<&Package>) = metadata
            .packages
            .iter()
            .partition(|package| package.manifest_path.as_std_path().parent() == Some(&suites_folder));
        let (suites, contract_tests) = (test_targets(&of_suites), test_targets(&of_others));
        Ok(Self { root, target_dir: metadata.target_directory.into_std_path_buf(), components, contract_tests, suites })
    }

    /// The host's binary.
    pub(crate) fn host_binary(&self) -> PathBuf {
        self.target_dir.join("release/chassis")
    }

    /// The file that a component is built to.
    pub(crate) fn component_file(&self, component: &Component) -> PathBuf {
        component.file_below(&self.target_dir)
    }

    /// The file that the manifest names, which is the same unless another target directory is given.
    pub(crate) fn named_file(&self, component: &Component) -> PathBuf {
        component.file_below(&self.root.join("target"))
    }

    /// Migrations of a component, whether it has any or not.
    pub(crate) fn migrations_folder(&self, component: &Component) -> PathBuf {
        self.root.join("migrations").join(&component.name)
    }
}

fn test_targets(packages: &[&Package]) -> Vec<String> {
    let targets = packages.iter().flat_map(|package| &package.targets);
    let mut names: Vec<String> =
        targets.filter(|target| target.kind.contains(&TargetKind::Test)).map(|target| target.name.clone()).collect();
    names.sort();
    names
}

/// Folders of packages that become `.wasm` files.
const COMPONENT_FOLDERS: [&str; 3] = ["components", "adapters", "tests/guests"];

/// A package is a component if it is a dynamic library in one of the folders of components.
fn component(root: &Path, package: &Package) -> Option<Component> {
    let folder = package.manifest_path.as_std_path().parent()?.to_path_buf();
    let within = COMPONENT_FOLDERS.iter().any(|below| folder.starts_with(root.join(below)));
    let dynamic = package.targets.iter().any(|target| target.kind.contains(&TargetKind::CDyLib));
    (within && dynamic).then(|| Component { name: package.name.to_string(), folder })
}
