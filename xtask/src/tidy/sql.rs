//! A component's SQL stands in files, one statement each, and each file is used.

use super::Violation;
use super::tree::Tree;

pub(super) fn every_file_is_used(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for component in tree.components() {
        let source: String = tree.below(&component.folder, "rs").map(|(_, text)| text).collect();
        for (path, _) in tree.below(&component.folder, "sql") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !is_included(&source, &name) {
                violations.push(Violation::new(path, "no `include_str!` names it: use it or delete it"));
            }
        }
    }
    violations
}

/// Whether some `include_str!("...")` ends in this file name.
fn is_included(source: &str, name: &str) -> bool {
    source.split("include_str!").skip(1).any(|after| {
        let argument = after.split('"').nth(1).unwrap_or_default();
        argument == name || argument.ends_with(&format!("/{name}"))
    })
}
