//! The rooms of a component: who knows one component finds the way in every other.

use std::path::Path;

use super::Violation;
use super::text::{code_lines, mentions};
use super::tree::{Crate, Tree};

/// Rooms that every component has.
const REQUIRED: &[&str] = &["lib", "component", "routes", "handlers", "domain", "error"];

/// Rooms that a component has where they apply.
const OPTIONAL: &[&str] = &["store", "sql", "events", "templates"];

/// What decisions must not reach for: time and ids are arguments, data comes in and goes out as values.
const IMPURE: &[&str] = &[
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "std::fs",
    "std::net",
    "std::env",
    "std::io",
    "rand",
    "getrandom",
    "chassis_kit",
    "kit",
    "spin_sdk",
    "wasip3",
];

pub(super) fn of_each_component(tree: &Tree) -> Vec<Violation> {
    tree.components().flat_map(|component| rooms_of(tree, component)).collect()
}

fn rooms_of(tree: &Tree, component: &Crate) -> Vec<Violation> {
    let src = format!("{}/src", component.folder);
    let mut violations = Vec::new();
    let mut demand = |room: &str, reason: &str| {
        let path = format!("{src}/{room}.rs");
        if !tree.has(&path) {
            violations.push(Violation::new(path, format!("missing: {reason}")));
        }
    };
    for room in REQUIRED {
        demand(room, "every component has this room");
    }
    if tree.files.keys().any(|path| path.starts_with(format!("{src}/sql"))) {
        demand("store", "sql/ is reached through the room `store`");
    }
    if speaks_of_events(tree, component) {
        demand("events", "the manifest grants it events, and they live in this room");
    }
    violations.extend(strangers(tree, &src));
    violations
}

/// Whether the application's manifest lets it publish or consume.
fn speaks_of_events(tree: &Tree, component: &Crate) -> bool {
    let Some(manifest) = tree.files.get(Path::new("spin.toml")).and_then(|text| text.parse::<toml::Table>().ok())
    else {
        return false;
    };
    let entry = manifest.get("component").and_then(|all| all.get(&component.name));
    let grants = entry.and_then(|it| it.get("tool")).and_then(|it| it.get("chassis"));
    ["publish", "subscribe"].iter().any(|key| {
        grants.and_then(|grants| grants.get(key)).and_then(toml::Value::as_array).is_some_and(|list| !list.is_empty())
    })
}

/// Files in `src/` that belong to no room.
fn strangers(tree: &Tree, src: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for path in tree.files.keys() {
        let Ok(within) = path.strip_prefix(src) else { continue };
        let Some(first) = within.components().next() else { continue };
        let room = Path::new(first.as_os_str()).with_extension("");
        let known = REQUIRED.iter().chain(OPTIONAL).any(|name| Path::new(name) == room);
        if !known {
            let rooms = [REQUIRED, OPTIONAL].concat().join(", ");
            violations
                .push(Violation::new(path, format!("not a room: move it into one of {rooms} (as `room/part.rs`)")));
        }
    }
    violations
}

/// Decisions read no clock, no randomness and no I/O. Their tests may.
pub(super) fn domain_is_pure(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for component in tree.components() {
        let room = format!("{}/src/domain", component.folder);
        for (path, text) in tree.below(&component.folder, "rs") {
            let inside = path.starts_with(&room) || path == Path::new(&format!("{room}.rs"));
            // `foo/tests.rs` is a module of tests.
            if !inside || path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            for (number, line) in code_lines(text) {
                if let Some(word) = IMPURE.iter().find(|word| mentions(line, word)) {
                    let text = format!("`{word}` in the domain: time, ids and data are arguments of a decision");
                    violations.push(Violation::at(path, number, text));
                }
            }
        }
    }
    violations
}

/// The gateway knows routes and slots. A component's name in its code would be a special case.
pub(super) fn gateway_names_no_component(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for component in tree.components() {
        let spellings = [format!("\"{}\"", component.name), format!("chassis:{}/", component.name)];
        for (path, text) in tree.below("host/gateway/src", "rs") {
            for (number, line) in code_lines(text) {
                if spellings.iter().any(|spelling| line.contains(spelling.as_str())) {
                    let text = format!("names the component «{}»: the gateway knows routes only", component.name);
                    violations.push(Violation::at(path, number, text));
                }
            }
        }
    }
    violations
}
