//! What of `spin.toml` decides on a composition.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;

/// `spin.toml`, with the keys that are needed here.
#[derive(Debug)]
pub(super) struct Manifest {
    components: Vec<Component>,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) name: String,
    /// Its file, relative to the manifest.
    pub(super) source: PathBuf,
    /// What Spin composes it with.
    pub(super) dependencies: Vec<Dependency>,
    /// The typed interfaces that it offers to others.
    pub(super) provides: Vec<String>,
}

/// An entry of `dependencies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    /// A package or an interface, such as `chassis:platform@0.1.0`.
    pub(super) name: String,
    /// The file that offers it, relative to the manifest.
    pub(super) path: PathBuf,
}

#[derive(Deserialize)]
struct RawManifest {
    component: toml::Table,
}

#[derive(Deserialize)]
struct RawComponent {
    source: PathBuf,
    #[serde(default)]
    dependencies: toml::Table,
    #[serde(default)]
    tool: RawTool,
}

#[derive(Deserialize, Default)]
struct RawTool {
    #[serde(default)]
    chassis: RawGrants,
}

#[derive(Deserialize, Default)]
struct RawGrants {
    #[serde(default)]
    provides: Vec<String>,
}

/// Other keys of Spin's (`component`, `version`, `url` and so on) would have to be resolved as Spin does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDependency {
    path: PathBuf,
    #[serde(default)]
    inherit_configuration: bool,
}

impl Manifest {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let raw: RawManifest = toml::from_str(text)?;
        let components = raw.component.into_iter().map(|(name, value)| {
            let component = component(&name, value);
            component.with_context(|| format!("[component.{name}]"))
        });
        Ok(Self { components: components.collect::<anyhow::Result<_>>()? })
    }

    /// The components that Spin composes with others.
    pub(super) fn composed(&self) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(|component| !component.dependencies.is_empty())
    }
}

fn component(name: &str, value: toml::Value) -> anyhow::Result<Component> {
    let raw: RawComponent = value.try_into()?;
    let dependencies = raw.dependencies.into_iter().map(|(name, value)| {
        let dependency = dependency(&name, value);
        dependency.with_context(|| format!("dependency «{name}»"))
    });
    let dependencies = dependencies.collect::<anyhow::Result<_>>()?;
    Ok(Component { name: name.to_owned(), source: raw.source, dependencies, provides: raw.tool.chassis.provides })
}

fn dependency(name: &str, value: toml::Value) -> anyhow::Result<Dependency> {
    let raw: RawDependency = value.try_into().context("only a `path` can be composed here")?;
    if !raw.inherit_configuration {
        bail!("without `inherit_configuration = true` Spin denies it everything");
    }
    Ok(Dependency { name: name.to_owned(), path: raw.path })
}
