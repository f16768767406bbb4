//! What the rules look at: the text files of a checkout and the crates among them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Endings of the files that are read.
const TEXT: &[&str] = &["rs", "toml", "sql", "wit", "md", "sh", "html", "txt", "json", "yml", "yaml"];

/// The text files of a checkout, by path relative to its root.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<PathBuf, String>,
    /// Every file, text or not.
    pub(super) paths: BTreeSet<PathBuf>,
    pub(super) crates: Vec<Crate>,
}

/// A crate, as its `Cargo.toml` has it.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Folder relative to the root, with `/`.
    pub(super) folder: String,
    pub(super) manifest: toml::Table,
}

impl Tree {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self { files: BTreeMap::new(), paths: BTreeSet::new(), crates: Vec::new() };
        tree.collect(root, Path::new(""))?;
        for (path, text) in &tree.files {
            if path.file_name().is_some_and(|name| name == "Cargo.toml") {
                let manifest: toml::Table = text.parse().with_context(|| format!("in {}", path.display()))?;
                tree.crates.extend(Crate::new(path, manifest));
            }
        }
        Ok(tree)
    }

    /// Everything but hidden folders and those that a tool has marked as its cache (cargo marks its target directory).
    fn collect(&mut self, root: &Path, folder: &Path) -> anyhow::Result<()> {
        let here = root.join(folder);
        if here.join("CACHEDIR.TAG").exists() {
            return Ok(());
        }
        for entry in std::fs::read_dir(&here).with_context(|| format!("cannot read {}", here.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with('.') || name == "node_modules" || name == "target" {
                continue;
            }
            let path = folder.join(&name);
            if entry.file_type()?.is_dir() {
                self.collect(root, &path)?;
                continue;
            }
            if path.extension().and_then(|it| it.to_str()).is_some_and(|ending| TEXT.contains(&ending)) {
                let text = std::fs::read_to_string(root.join(&path))
                    .with_context(|| format!("cannot read {} as text", path.display()))?;
                self.files.insert(path.clone(), text);
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// Files with this ending below a folder.
    pub(super) fn below<'tree>(
        &'tree self,
        folder: &'tree str,
        ending: &'tree str,
    ) -> impl Iterator<Item = (&'tree Path, &'tree str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(folder) && path.extension().is_some_and(|it| it == ending))
            .map(|(path, text)| (path.as_path(), text.as_str()))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(Path::new(path))
    }

    /// Product components: everything directly below `components/` but the kit that they share.
    pub(super) fn components(&self) -> impl Iterator<Item = &Crate> {
        self.crates.iter().filter(|it| it.kind() == Kind::Component)
    }
}

/// Where a crate stands, which decides what it may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Kit,
    Component,
    Guest,
    Tool,
}

impl Crate {
    /// None for a workspace without a package.
    fn new(path: &Path, manifest: toml::Table) -> Option<Self> {
        let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
        let folder = path.parent()?.to_string_lossy().replace('\\', "/");
        Some(Self { name, folder, manifest })
    }

    pub(super) fn kind(&self) -> Kind {
        match self.folder.split('/').collect::<Vec<_>>().as_slice() {
            ["host", ..] => Kind::Host,
            ["components", "kit", ..] => Kind::Kit,
            ["components", _] => Kind::Component,
            ["tests", "guests", ..] | ["adapters", ..] => Kind::Guest,
            _ => Kind::Tool,
        }
    }

    /// Names of everything that it depends on, in any way and on any target, with the entry.
    pub(super) fn dependencies(&self) -> Vec<(String, toml::Value)> {
        let mut found = dependencies_of(&self.manifest);
        if let Some(targets) = self.manifest.get("target").and_then(toml::Value::as_table) {
            found.extend(targets.values().filter_map(toml::Value::as_table).flat_map(dependencies_of));
        }
        found
    }
}

fn dependencies_of(table: &toml::Table) -> Vec<(String, toml::Value)> {
    ["dependencies", "build-dependencies", "dev-dependencies"]
        .iter()
        .filter_map(|kind| table.get(*kind)?.as_table())
        .flatten()
        .map(|(name, entry)| (name.clone(), entry.clone()))
        .collect()
}
