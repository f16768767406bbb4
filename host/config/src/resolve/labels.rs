//! Who owns which database and which key-value store.
//!
//! A label has one owner, and is lent to nobody else. Spin's keys may list it for more components, since under Spin a
//! dependency takes its permissions from the component that uses it; such entries are Spin's alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Inputs;
use crate::diagnostics::{At, Report, did_you_mean};
use crate::name::Label;
use crate::raw::{Component, Manifest};

/// Labels by the name of their owner.
type Owned = BTreeMap<String, Vec<Label>>;

/// Every label that is owned.
#[derive(Debug)]
pub(super) struct Labels {
    databases: Owned,
    stores: Owned,
    every_store: BTreeSet<Label>,
}

/// One of the two kinds of labels.
struct Kind {
    noun: &'static str,
    key: &'static str,
    listed: fn(&Component) -> &[At<String>],
    owns: fn(&Component) -> &[At<String>],
}

const DATABASES: Kind = Kind {
    noun: "database",
    key: "sqlite_databases",
    listed: |component| &component.databases,
    owns: |component| &component.chassis.owns_databases,
};

const STORES: Kind = Kind {
    noun: "key-value store",
    key: "key_value_stores",
    listed: |component| &component.stores,
    owns: |component| &component.chassis.owns_stores,
};

/// The label that Spin has without being asked.
const DEFAULT: &str = "default";

impl Labels {
    pub(super) fn assign(manifest: &Manifest, inputs: &Inputs<'_>) -> Self {
        let report = inputs.report;
        check_claims(manifest, report);
        check_backends(&DATABASES, manifest, &inputs.runtime.databases, report);
        check_backends(&STORES, manifest, &inputs.runtime.stores, report);
        let databases = owners(&DATABASES, manifest, report);
        let stores = owners(&STORES, manifest, report);
        let every_store = stores.values().flatten().cloned().collect();
        Self { databases, stores, every_store }
    }

    pub(super) fn databases_of(&self, component: &str) -> Vec<Label> {
        self.databases.get(component).cloned().unwrap_or_default()
    }

    pub(super) fn stores_of(&self, component: &str) -> Vec<Label> {
        self.stores.get(component).cloned().unwrap_or_default()
    }

    /// Every key-value store that is owned.
    pub(super) fn stores(&self) -> &BTreeSet<Label> {
        &self.every_store
    }
}

fn owners(kind: &Kind, manifest: &Manifest, report: &Report) -> Owned {
    let mut listers: BTreeMap<Label, Vec<(&Component, &At<String>)>> = BTreeMap::new();
    for component in &manifest.components {
        for label in (kind.listed)(component) {
            match Label::parse(&label.value) {
                Ok(parsed) => listers.entry(parsed).or_default().push((component, label)),
                Err(error) => report.error(&label.place, error.to_string(), ""),
            }
        }
    }
    let mut owned = Owned::new();
    for (label, listers) in listers {
        let Some(owner) = owner(kind, &label, &listers, report) else { continue };
        for (lister, at) in listers.iter().filter(|(lister, _)| lister.name.value != owner) {
            let lister = &lister.name.value;
            let message = format!(
                "the {} «{label}» belongs to «{owner}»: Chassis does not lend it to «{lister}»; the entry is Spin's alone",
                kind.noun
            );
            report.note(&at.place, message);
        }
        owned.entry(owner).or_default().push(label);
    }
    owned
}

/// The one owner of a label; reports where there is none, or more than one.
fn owner(kind: &Kind, label: &Label, listers: &[(&Component, &At<String>)], report: &Report) -> Option<String> {
    let claims = |component: &Component| {
        let claimed = (kind.owns)(component).iter().chain(&component.chassis.owns_either);
        claimed.into_iter().any(|claim| claim.value == label.as_str()) || component.name.value == label.as_str()
    };
    let names: BTreeSet<&str> = listers.iter().map(|(component, _)| component.name.value.as_str()).collect();
    let claimants: BTreeSet<&str> = listers
        .iter()
        .filter(|(component, _)| claims(component))
        .map(|(component, _)| component.name.value.as_str())
        .collect();
    let mut candidates = claimants.iter();
    let first = candidates.next();
    let alone = names.first().filter(|_| label.as_str() == DEFAULT && names.len() == 1);
    let (_, at) = listers.first()?;
    match (first, candidates.next()) {
        (Some(owner), None) => Some((*owner).to_owned()),
        (Some(_), Some(_)) => {
            let all: Vec<&str> = claimants.iter().copied().collect();
            let message = format!("the {} «{label}» has more than one owner: {}", kind.noun, all.join(", "));
            report.error(&at.place, message, "a component owns the label of its name, and what its `owns` lists");
            None
        }
        (None, _) => {
            if alone.is_none() {
                let message = format!("nobody owns the {} «{label}»", kind.noun);
                let help = format!("write `owns = [\"{label}\"]` under [component.<name>.tool.chassis] of its owner");
                report.error(&at.place, message, help);
            }
            alone.map(|owner| (*owner).to_owned())
        }
    }
}

/// A component owns only what it lists for Spin, too: else it would work on one host only.
fn check_claims(manifest: &Manifest, report: &Report) {
    for component in &manifest.components {
        let lists = |kind: &Kind, label: &At<String>| (kind.listed)(component).iter().any(|l| l.value == label.value);
        for kind in [&DATABASES, &STORES] {
            for label in (kind.owns)(component).iter().filter(|label| !lists(kind, label)) {
                let message = format!("«{}» is owned, but not listed in `{}`", label.value, kind.key);
                report.error(&label.place, message, "list it there, too: Spin reads that key");
            }
        }
        let either = component.chassis.owns_either.iter();
        for label in either.filter(|label| !lists(&DATABASES, label) && !lists(&STORES, label)) {
            let message = format!(
                "«{}» is owned, but listed neither in `sqlite_databases` nor in `key_value_stores`",
                label.value
            );
            report.error(&label.place, message, "list it there, too: Spin reads those keys");
        }
    }
}

/// A backend in runtime-config.toml belongs to a label that somebody lists.
fn check_backends(kind: &Kind, manifest: &Manifest, labels: &[At<String>], report: &Report) {
    let listed: BTreeSet<&str> =
        manifest.components.iter().flat_map(|component| (kind.listed)(component)).map(|l| l.value.as_str()).collect();
    for label in labels.iter().filter(|label| !listed.contains(label.value.as_str())) {
        let message = format!("no component lists the {} «{}»", kind.noun, label.value);
        report.error(&label.place, message, did_you_mean(&label.value, listed.iter().copied()));
    }
}
