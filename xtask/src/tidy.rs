//! `cargo xtask tidy`: rules of the house that no compiler knows.
//!
//! Each rule is a function from the [`Tree`] to what breaks it, and is tested on a small tree that breaks it alone. The
//! rules read files and nothing else: no cargo, no git, no network, so they take milliseconds.

mod arrows;
mod rooms;
mod sql;
mod text;
mod tree;
mod wit;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::bail;

use self::tree::Tree;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// File or folder, relative to the root.
    path: PathBuf,
    /// Line, where one is meant.
    line: Option<usize>,
    /// What is wrong, and what to do.
    text: String,
}

impl Violation {
    fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, text: text.into() }
    }

    fn at(path: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.into(), line: Some(line), text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.text),
            None => write!(f, "{}: {}", self.path.display(), self.text),
        }
    }
}

type Rule = fn(&Tree) -> Vec<Violation>;

/// Every rule.
const RULES: &[Rule] = &[
    arrows::between_crates,
    arrows::to_guarded_libraries,
    arrows::manifests_inherit,
    rooms::of_each_component,
    rooms::domain_is_pure,
    rooms::gateway_names_no_component,
    sql::every_file_is_used,
    wit::packages_are_released,
    text::files_are_short,
    text::nothing_is_left_for_later,
    text::no_test_is_skipped,
    text::no_mod_rs,
    text::links_resolve,
];

/// Checks the checkout at `root`; what breaks a rule is printed, and is an error.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let violations = check(root)?;
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violations of the rules of the house (see xtask/src/tidy.rs)", violations.len());
    }
    eprintln!("tidy: {} rules hold", RULES.len());
    Ok(())
}

fn check(root: &Path) -> anyhow::Result<Vec<Violation>> {
    let tree = Tree::read(root)?;
    let mut violations: Vec<Violation> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    violations.sort();
    Ok(violations)
}
