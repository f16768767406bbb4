//! Composes a component with its dependencies by the rules of Spin 4.1 (its crate `spin-compose`), with the same library.

use anyhow::{Context, bail};
use wac_graph::types::{Package, SubtypeChecker, WorldId};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

/// A dependency: for what it is used, and what it is.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// A package or an interface.
    pub(super) name: String,
    /// The component.
    pub(super) wasm: Vec<u8>,
}

/// A component within the graph.
#[derive(Debug, Clone, Copy)]
struct Instance {
    world: WorldId,
    node: NodeId,
}

/// The component with its parts inside. It exports what it exported before.
pub(super) fn compose(root: Vec<u8>, parts: Vec<Part>) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let root = add(&mut graph, "root", root)?;
    for part in parts {
        let name = part.name.clone();
        plug(&mut graph, root, part).with_context(|| format!("dependency «{name}»"))?;
    }
    let exports: Vec<String> = names(&graph.types()[root.world].exports);
    for name in exports {
        let export = graph.alias_instance_export(root.node, &name)?;
        graph.export(export, &name)?;
    }
    graph.encode(EncodeOptions::default()).context("cannot encode the composition")
}

/// Adds a component. Spin calls a part by its package alone, so a second part of one package is an error there, too.
fn add(graph: &mut CompositionGraph, name: &str, wasm: Vec<u8>) -> anyhow::Result<Instance> {
    let package = Package::from_bytes(name, None, wasm, graph.types_mut())?;
    let world = package.ty();
    let package = graph.register_package(package)?;
    Ok(Instance { world, node: graph.instantiate(package) })
}

/// Satisfies every import of `root` that the name of the part matches.
fn plug(graph: &mut CompositionGraph, root: Instance, part: Part) -> anyhow::Result<()> {
    let imports = names(&graph.types()[root.world].imports);
    let matching: Vec<String> = imports.into_iter().filter(|import| matches(&part.name, import)).collect();
    if matching.is_empty() {
        bail!("it matches no import of the component");
    }
    let package = part.name.split(['/', '@']).next().unwrap_or_default();
    let part = add(graph, package, part.wasm)?;
    for import in matching {
        check_types(graph, root, part, &import)?;
        let export = graph.alias_instance_export(part.node, &import)?;
        graph.set_instantiation_argument(root.node, &import, export)?;
    }
    Ok(())
}

fn check_types(graph: &CompositionGraph, root: Instance, part: Instance, name: &str) -> anyhow::Result<()> {
    let types = graph.types();
    let (Some(import), Some(export)) = (types[root.world].imports.get(name), types[part.world].exports.get(name))
    else {
        bail!("it does not export «{name}»");
    };
    let mut cache = Default::default();
    let checked = SubtypeChecker::new(&mut cache).is_subtype(*export, types, *import, types);
    checked.with_context(|| format!("its «{name}» has other types than the import"))
}

fn names<'a, V: 'a>(items: impl IntoIterator<Item = (&'a String, V)>) -> Vec<String> {
    items.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Whether a dependency is meant for an import: the package is the same, and so are interface and version if it says them.
fn matches(dependency: &str, import: &str) -> bool {
    let split = |text: &str| {
        let (path, version) = text.split_once('@').map_or((text, None), |(path, version)| (path, Some(version)));
        let (package, interface) = path.split_once('/').map_or((path, None), |(package, name)| (package, Some(name)));
        (package.to_owned(), interface.map(str::to_owned), version.map(str::to_owned))
    };
    let ((package, interface, version), imported) = (split(dependency), split(import));
    package == imported.0
        && (interface.is_none() || interface == imported.1)
        && (version.is_none() || version == imported.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_an_interface_or_a_package() {
        for name in ["a:b/c@0.1.0", "a:b/c", "a:b@0.1.0", "a:b"] {
            assert!(matches(name, "a:b/c@0.1.0"), "{name}");
        }
        for name in ["a:b/c@0.1.1", "a:b/d", "a:b@0.2.0", "a:bb", "b:b/c"] {
            assert!(!matches(name, "a:b/c@0.1.0"), "{name}");
        }
    }
}
