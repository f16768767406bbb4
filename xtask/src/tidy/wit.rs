//! WIT packages of ours carry a released version: pre-releases do not link by semantic versioning. What stands in a folder
//! `deps` is a copy of somebody else's, and has the version that it has.

use super::Violation;
use super::tree::Tree;

pub(super) fn packages_are_released(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let folders = ["wit", "components", "adapters", "tests"];
    let ours = folders.iter().flat_map(|folder| tree.below(folder, "wit"));
    for (path, text) in ours.filter(|(path, _)| !path.iter().any(|part| part == "deps")) {
        for (index, line) in text.lines().enumerate() {
            let Some(package) = line.trim().strip_prefix("package ") else { continue };
            let package = package.trim_end_matches([';', '{', ' ']);
            if let Some(wrong) = wrong_version(package) {
                violations.push(Violation::at(path, index + 1, format!("package {package}: {wrong}")));
            }
        }
    }
    violations
}

fn wrong_version(package: &str) -> Option<&'static str> {
    let Some((_, version)) = package.split_once('@') else {
        // Worlds that nobody imports may live in a package of the crate's own.
        return package.starts_with("chassis:").then_some("has no version");
    };
    let numbers: Vec<&str> = version.split('.').collect();
    let released = numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok());
    (!released).then_some("is not a released version such as 0.1.0")
}
