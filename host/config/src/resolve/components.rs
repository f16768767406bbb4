//! Components: what they are made of, and what they may do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::labels::Labels;
use super::variables::Variables;
use super::{Inputs, dependencies, files, grants};
use crate::diagnostics::Report;
use crate::name::ComponentName;
use crate::plan::ComponentPlan;
use crate::raw::{Component, Manifest};

pub(super) fn components(
    manifest: &Manifest,
    variables: &Variables,
    labels: &Labels,
    inputs: &Inputs<'_>,
) -> BTreeMap<ComponentName, ComponentPlan> {
    let report = inputs.report;
    let mut linked = dependencies::link(manifest, report);
    let mut components = BTreeMap::new();
    for component in &manifest.components {
        let name = ComponentName::parse(&component.name.value);
        if let Err(error) = &name {
            report.error(&component.name.place, error.to_string(), "");
        }
        // Whatever can be wrong is looked at, before one mistake ends the matter.
        let source = source(component, inputs.folder, report);
        let variables_of_it = variables.of_component(component, report);
        let grants = grants::grants(component, variables, labels, report);
        let files = files::mounts(component, inputs.folder, report);
        let slow_routes = grants::slow_routes(component, report);
        let environment = environment(component, report);
        let (Ok(name), Some(source)) = (name, source) else { continue };
        let links = linked.remove(&component.name.value).unwrap_or_default();
        let plan = ComponentPlan {
            name: name.clone(),
            source,
            environment,
            variables: variables_of_it,
            files,
            grants,
            limits: component.chassis.limits.clone(),
            isolation: component.chassis.isolation,
            slow_routes,
            dependencies: links,
            provides: component.chassis.provides.iter().map(|interface| interface.value.clone()).collect(),
        };
        components.insert(name, plan);
    }
    components
}

fn source(component: &Component, folder: &Path, report: &Report) -> Option<PathBuf> {
    let source = component.source.as_ref()?;
    let path = folder.join(&source.value);
    if path.is_file() {
        return Some(path);
    }
    let what = if path.exists() { "is not a file" } else { "does not exist" };
    let message = format!("the source of «{}» {what}: {}", component.name.value, path.display());
    report.error(&source.place, message, "build the components first, or correct the path");
    None
}

fn environment(component: &Component, report: &Report) -> BTreeMap<String, String> {
    let entries = component.environment.iter();
    let entries = entries.inspect(|(name, value)| {
        if name.value.is_empty() || name.value.contains(['=', '\0']) || value.value.contains('\0') {
            report.error(&name.place, format!("«{}» cannot be an environment variable", name.value.escape_debug()), "");
        }
    });
    entries.map(|(name, value)| (name.value.clone(), value.value.clone())).collect()
}
