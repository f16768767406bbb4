//! An application in a folder of its own: a manifest, its files, and the settings of the host.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::{checkout, component_file};

/// A folder with a `spin.toml`; deleted when dropped.
#[derive(Debug)]
pub struct App {
    folder: TempDir,
}

impl App {
    /// An application with this manifest, below the two lines that every manifest begins with. Every
    /// `source = "<name>.wasm"` in it gets the built component of that name, where there is one.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn new(manifest: &str) -> anyhow::Result<Self> {
        let head = "spin_manifest_version = 2\napplication = { name = \"test\" }\n";
        let app = Self::verbatim(&format!("{head}{manifest}"))?;
        for name in sources(manifest) {
            if let Ok(built) = component_file(name) {
                std::fs::copy(&built, app.path(&format!("{name}.wasm"))).context("cannot copy a component")?;
            }
        }
        Ok(app)
    }

    /// An application whose `spin.toml` is exactly this text.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn verbatim(manifest: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("chassis-app-").tempdir().context("cannot make a folder")?;
        let app = Self { folder };
        app.file("spin.toml", manifest.as_bytes())
    }

    /// The guest `hello` on all paths.
    ///
    /// # Errors
    ///
    /// If it has not been built, or a file cannot be written.
    pub fn hello() -> anyhow::Result<Self> {
        component_file("hello")?;
        Self::new(
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n",
        )
    }

    /// The application of the checkout: its manifest and its runtime configuration, word for word, and its built
    /// components.
    ///
    /// # Errors
    ///
    /// If a component has not been built, or a file cannot be copied.
    pub fn shipped() -> anyhow::Result<Self> {
        Self::shipped_with(|manifest| manifest)
    }

    /// The same with a manifest that is made of the shipped one.
    ///
    /// # Errors
    ///
    /// If a component has not been built, or a file cannot be copied.
    pub fn shipped_with(change: impl FnOnce(String) -> String) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = checkout().join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let manifest = change(read("spin.toml")?);
        let mut app =
            Self::verbatim(&manifest)?.file("runtime-config.toml", read("runtime-config.toml")?.as_bytes())?;
        for source in sources(&manifest) {
            let name = source.rsplit('/').next().unwrap_or(source);
            let built = std::fs::read(component_file(name)?).context("cannot read a component")?;
            app = app.file(&format!("{source}.wasm"), &built)?;
        }
        Ok(app)
    }

    /// Adds a file, such as `chassis.toml` or one that a component may read.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn file(self, path: &str, content: &[u8]) -> anyhow::Result<Self> {
        let path = self.path(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).context("cannot make a folder")?;
        }
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(self)
    }

    /// Adds `chassis.toml`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn settings(self, text: &str) -> anyhow::Result<Self> {
        self.file("chassis.toml", text.as_bytes())
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path within its folder.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

/// Names of the files that components are made of.
fn sources(manifest: &str) -> impl Iterator<Item = &str> {
    manifest.lines().filter_map(|line| line.trim().strip_prefix("source = \"")?.strip_suffix(".wasm\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found() {
        let found: Vec<&str> =
            sources("[component.a]\nsource = \"hello.wasm\"\n  source = \"b.wasm\"\nroute = \"c\"").collect();
        assert_eq!(found, ["hello", "b"]);
    }

    #[test]
    fn an_app_is_a_folder_with_its_files() {
        let app = App::verbatim("x").unwrap().file("a/b.txt", b"b").unwrap();
        assert_eq!(std::fs::read_to_string(app.path("spin.toml")).unwrap(), "x");
        assert_eq!(std::fs::read_to_string(app.path("a/b.txt")).unwrap(), "b");
    }
}
