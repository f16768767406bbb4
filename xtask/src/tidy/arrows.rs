//! Who may know whom. Arrows point one way, so that a room can be understood, tested and replaced alone.

use super::Violation;
use super::tree::{Crate, Kind, Tree};

/// Folders that a crate of the host may depend on, within the host. A new crate, or a new arrow, is a decision: it is
/// added here and has its reason in `docs/adr/`.
const HOST_ARROWS: &[(&str, &[&str])] = &[
    ("host/config", &[]),
    ("host/telemetry", &["host/config"]),
    ("host/capabilities", &["host/config"]),
    ("host/engine", &["host/config", "host/capabilities"]),
    ("host/gateway", &["host/config", "host/engine"]),
    ("host/worker", &["host/config", "host/engine", "host/capabilities"]),
    ("host/admin", &["host/config", "host/engine", "host/capabilities"]),
    (
        "host/cli",
        &[
            "host/config",
            "host/telemetry",
            "host/capabilities",
            "host/engine",
            "host/gateway",
            "host/worker",
            "host/admin",
        ],
    ),
];

/// Libraries that only some rooms of the product may use, by the beginning of their name. Tools and tests are free.
const GUARDED: &[(&str, &[&str])] = &[
    ("wasmtime", &["host/engine", "host/capabilities"]),
    ("sqlx", &["host/capabilities"]),
    ("axum", &["host/gateway", "host/admin", "components", "tests/guests"]),
    ("tokio", &["host"]),
];

/// What `cargo xtask bench` compares components with. It alone of all tools may know them, for their domains: a twin that
/// decided otherwise would be no comparison.
const NATIVE_TWIN: &str = "tests/baseline";

pub(super) fn between_crates(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for from in &tree.crates {
        for (name, _) in from.dependencies() {
            let Some(to) = tree.crates.iter().find(|it| it.name == name) else { continue };
            if !may_know(from, to) {
                violations.push(Violation::new(
                    format!("{}/Cargo.toml", from.folder),
                    format!("{} must not depend on {}: see the arrows in ARCHITECTURE.md", from.folder, to.folder),
                ));
            }
        }
        if from.kind() == Kind::Host && arrows_of(from).is_none() {
            violations.push(Violation::new(&from.folder, "a new crate of the host: add its arrows to xtask/src/tidy"));
        }
    }
    violations
}

fn arrows_of(from: &Crate) -> Option<&'static [&'static str]> {
    HOST_ARROWS.iter().find(|(folder, _)| *folder == from.folder).map(|(_, arrows)| *arrows)
}

/// Components meet only in `wit/`, never as crates.
fn may_know(from: &Crate, to: &Crate) -> bool {
    match from.kind() {
        Kind::Host => arrows_of(from).unwrap_or_default().contains(&to.folder.as_str()),
        Kind::Kit | Kind::Component | Kind::Guest => to.kind() == Kind::Kit,
        Kind::Tool => match to.kind() {
            Kind::Host | Kind::Kit => true,
            Kind::Component => from.folder == NATIVE_TWIN,
            Kind::Guest | Kind::Tool => false,
        },
    }
}

pub(super) fn to_guarded_libraries(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for from in tree.crates.iter().filter(|it| it.kind() != Kind::Tool) {
        for (name, _) in from.dependencies() {
            let guarded = GUARDED.iter().find(|(prefix, _)| begins_with(&name, prefix));
            let Some((prefix, folders)) = guarded else { continue };
            if !folders.iter().any(|folder| below(&from.folder, folder)) {
                violations.push(Violation::new(
                    format!("{}/Cargo.toml", from.folder),
                    format!(
                        "{name} may be used only in {}, not in {} (rule for {prefix})",
                        folders.join(", "),
                        from.folder
                    ),
                ));
            }
        }
    }
    violations
}

/// `wasmtime-wasi` begins with `wasmtime`; `sqlxyz` does not begin with `sqlx`.
fn begins_with(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn below(folder: &str, top: &str) -> bool {
    folder.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Lints, versions and edition stand in one place: the top `Cargo.toml`.
pub(super) fn manifests_inherit(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for it in &tree.crates {
        let path = format!("{}/Cargo.toml", it.folder);
        if !inherits(it.manifest.get("lints")) {
            violations.push(Violation::new(&path, "must have `[lints] workspace = true`"));
        }
        let package = it.manifest.get("package");
        for key in ["version", "edition", "rust-version", "license"] {
            if !inherits(package.and_then(|package| package.get(key))) {
                violations.push(Violation::new(&path, format!("must have `{key}.workspace = true`")));
            }
        }
        for (name, entry) in it.dependencies() {
            if !inherits(Some(&entry)) {
                let text = format!(
                    "{name}: its version belongs into [workspace.dependencies]; here `{name}.workspace = true`"
                );
                violations.push(Violation::new(&path, text));
            }
        }
    }
    violations
}

fn inherits(entry: Option<&toml::Value>) -> bool {
    entry.and_then(|entry| entry.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}
