//! Rules that hold for lines and files of any room.

use std::path::{Component, Path, PathBuf};

use super::Violation;
use super::tree::Tree;

/// Lines of a Rust file. A file beyond this has more than one subject.
const LINES_MAX: usize = 600;

/// Words for work that is left undone, in two halves so that this file does not hold them.
const LATER: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

pub(super) fn files_are_short(tree: &Tree) -> Vec<Violation> {
    let long = |text: &str| Some(text.lines().count()).filter(|lines| *lines > LINES_MAX);
    tree.below("", "rs")
        .filter_map(|(path, text)| Some((path, long(text)?)))
        .map(|(path, lines)| Violation::new(path, format!("{lines} lines, at most {LINES_MAX}: split it by subject")))
        .collect()
}

pub(super) fn nothing_is_left_for_later(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in &tree.files {
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = LATER.iter().find(|word| mentions(line, word)) {
                let text = format!("{word}: do it now, or say in an issue that it is absent");
                violations.push(Violation::at(path, index + 1, text));
            }
        }
    }
    violations
}

pub(super) fn no_test_is_skipped(tree: &Tree) -> Vec<Violation> {
    let skipped = concat!("#[ig", "nore");
    let mut violations = Vec::new();
    for (path, text) in tree.below("", "rs") {
        for (index, line) in text.lines().enumerate() {
            if line.contains(skipped) {
                violations.push(Violation::at(
                    path,
                    index + 1,
                    "a test that does not run proves nothing: mend or delete it",
                ));
            }
        }
    }
    violations
}

pub(super) fn no_mod_rs(tree: &Tree) -> Vec<Violation> {
    tree.below("", "rs")
        .filter(|(path, _)| path.file_name().is_some_and(|name| name == "mod.rs"))
        .map(|(path, _)| Violation::new(path, "name it after its module, beside the folder: `foo.rs` and `foo/`"))
        .collect()
}

/// Links between documents, `[text](path)`, lead to something that is there.
pub(super) fn links_resolve(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.below("", "md") {
        for (index, line) in text.lines().enumerate() {
            for target in links(line) {
                if !leads_somewhere(tree, path, target) {
                    violations.push(Violation::at(path, index + 1, format!("the link to {target} leads nowhere")));
                }
            }
        }
    }
    violations
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|after| after.split([')', ' ']).next())
}

fn leads_somewhere(tree: &Tree, from: &Path, target: &str) -> bool {
    let file = target.split('#').next().unwrap_or_default();
    if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let path = normalised(&from.parent().unwrap_or(Path::new("")).join(file));
    tree.paths.iter().any(|known| known.starts_with(&path))
}

fn normalised(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}

/// Numbered lines of the code that is shipped: without comment lines, and without items for tests alone. Such an item ends
/// where rustfmt lets it end: with the first line, no deeper than its attribute, that closes something.
pub(super) fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut attribute_depth: Option<usize> = None;
    let mut is_shipped = move |line: &str| {
        let code = line.trim();
        let depth = line.len() - line.trim_start().len();
        if attribute_depth.is_none() && code.starts_with("#[cfg(test)]") {
            attribute_depth = Some(depth);
        }
        let Some(of_attribute) = attribute_depth else { return !code.starts_with("//") };
        if depth <= of_attribute && code.ends_with(['}', ';', ',']) {
            attribute_depth = None;
        }
        false
    };
    text.lines().enumerate().filter(move |(_, line)| is_shipped(line)).map(|(index, line)| (index + 1, line))
}

/// Whether the line holds the word with no letter, digit or underscore on either side.
pub(super) fn mentions(line: &str, word: &str) -> bool {
    let part_of_name = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line.get(start + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}
