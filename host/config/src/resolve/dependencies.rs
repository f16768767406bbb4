//! Typed calls: which component answers for which interface.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::{At, Report, did_you_mean};
use crate::name::ComponentName;
use crate::raw::{Component, Dependency, Manifest};

/// What the host lends itself, which Spin gets from an adapter.
const LENT_PACKAGE: &str = "chassis:platform";

/// Interfaces of one component, with who provides each.
type Links = BTreeMap<String, ComponentName>;

/// An interface or a package, such as `chassis:auth/identity@0.1.0` or `chassis:auth@0.1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name<'a> {
    package: &'a str,
    interface: Option<&'a str>,
    version: Option<&'a str>,
}

/// Who provides what.
type Providers<'a> = BTreeMap<&'a str, (Name<'a>, ComponentName)>;

/// The links of every component that has some, by its name.
pub(super) fn link(manifest: &Manifest, report: &Report) -> BTreeMap<String, Links> {
    let providers = providers(manifest, report);
    let mut linked = BTreeMap::new();
    for component in &manifest.components {
        let mut links = Links::new();
        for dependency in &component.dependencies {
            check_component(dependency, manifest, report);
            links.extend(provider_of(component, dependency, &providers, report));
        }
        linked.insert(component.name.value.clone(), links);
    }
    check_cycles(manifest, &linked, report);
    linked
}

fn providers<'a>(manifest: &'a Manifest, report: &Report) -> Providers<'a> {
    let mut providers = Providers::new();
    for component in &manifest.components {
        let Ok(owner) = ComponentName::parse(&component.name.value) else { continue };
        for interface in &component.chassis.provides {
            let name = parse(&interface.value).filter(|name| name.interface.is_some() && name.version.is_some());
            let Some(name) = name else {
                let help = "write package, interface and version, such as chassis:auth/identity@0.1.0";
                report.error(&interface.place, format!("«{}» is not an interface", interface.value), help);
                continue;
            };
            if name.package == LENT_PACKAGE {
                let message = format!("«{}» is lent by the host, and cannot be provided", interface.value);
                report.error(&interface.place, message, "");
                continue;
            }
            if let Some((_, first)) = providers.get(interface.value.as_str()) {
                let message = format!("«{}» is already provided by «{first}»", interface.value);
                report.error(&interface.place, message, "an interface has one provider; remove one of the two");
                continue;
            }
            providers.insert(&interface.value, (name, owner.clone()));
        }
    }
    providers
}

/// A component that a dependency names has to be there.
fn check_component(dependency: &Dependency, manifest: &Manifest, report: &Report) {
    let Some(named) = &dependency.component else { return };
    let mut names = manifest.components.iter().map(|component| component.name.value.as_str());
    if !names.clone().any(|name| name == named.value) {
        let help = did_you_mean(&named.value, &mut names);
        report.error(&named.place, format!("no component «{}»", named.value), help);
    }
}

/// Who provides what a dependency asks for: one interface, or every interface of a package.
fn provider_of(component: &Component, dependency: &Dependency, providers: &Providers<'_>, report: &Report) -> Links {
    let asked = &dependency.interface;
    let Some(name) = parse(&asked.value) else {
        let help =
            "write package and version, with the interface if it is only one, such as chassis:auth/identity@0.1.0";
        report.error(&asked.place, format!("«{}» is neither an interface nor a package", asked.value), help);
        return Links::new();
    };
    if name.package == LENT_PACKAGE {
        return Links::new();
    }
    let matching = providers.iter().filter(|(_, (provided, _))| name.covers(provided));
    let links: Links = matching.map(|(interface, (_, owner))| ((*interface).to_owned(), owner.clone())).collect();
    if links.is_empty() {
        unknown_provider(asked, providers, report);
    }
    for (interface, owner) in &links {
        if owner.as_str() == component.name.value {
            report.error(&asked.place, format!("«{}» asks itself for «{interface}»", component.name.value), "");
        } else if let Some(other) = dependency.component.as_ref().filter(|named| named.value != owner.as_str()) {
            let message = format!("«{interface}» is provided by «{owner}», not by «{}»", other.value);
            report.error(&other.place, message, "");
        }
    }
    links
}

fn unknown_provider(asked: &At<String>, providers: &Providers<'_>, report: &Report) {
    let mut help = did_you_mean(&asked.value, providers.keys().copied());
    if help.is_empty() {
        help = format!(
            "write `provides = [\"{}\"]` under [component.<name>.tool.chassis] of the component that exports it; Chassis \
             composes no files: what comes from elsewhere is composed into the component when that is built",
            asked.value
        );
    }
    report.error(&asked.place, format!("no component provides «{}»", asked.value), help);
}

/// Calls that lead back to their caller could wait for each other for ever.
fn check_cycles(manifest: &Manifest, linked: &BTreeMap<String, Links>, report: &Report) {
    let mut open: BTreeSet<&str> = linked.keys().map(String::as_str).collect();
    let calls = |from: &str, to: &str| {
        from != to && linked.get(from).is_some_and(|links| links.values().any(|owner| owner.as_str() == to))
    };
    // Whoever calls nobody, or is called by nobody, is in no cycle; without them others are not either.
    loop {
        let inner =
            |name: &&&str| open.iter().any(|other| calls(name, other)) && open.iter().any(|other| calls(other, name));
        let kept: BTreeSet<&str> = open.iter().filter(inner).copied().collect();
        if kept.len() == open.len() {
            break;
        }
        open = kept;
    }
    let first = manifest.components.iter().find(|component| open.contains(component.name.value.as_str()));
    if let Some(first) = first {
        let names: Vec<&str> = open.into_iter().collect();
        let message = format!("typed calls lead in a circle, among: {}", names.join(", "));
        report.error(&first.name.place, message, "let one of them learn by events what it asks for now");
    }
}

impl Name<'_> {
    /// Whether a provided interface is what was asked for. What was not said, does not matter.
    fn covers(&self, provided: &Name<'_>) -> bool {
        self.package == provided.package
            && (self.interface.is_none() || self.interface == provided.interface)
            && (self.version.is_none() || self.version == provided.version)
    }
}

fn parse(text: &str) -> Option<Name<'_>> {
    let (path, version) = text.split_once('@').map_or((text, None), |(path, version)| (path, Some(version)));
    let (package, interface) = path.split_once('/').map_or((path, None), |(package, name)| (package, Some(name)));
    let (namespace, name) = package.split_once(':')?;
    let kebab = |text: &str| ComponentName::parse(text).is_ok();
    let words = kebab(namespace) && kebab(name) && interface.is_none_or(kebab);
    (words && version.is_none_or(is_version)).then_some(Name { package, interface, version })
}

/// Three numbers, and whatever semver allows behind them.
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    core.split('.').count() == 3 && core.split('.').all(number)
}
