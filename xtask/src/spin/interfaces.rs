//! Whether a component takes only what Spin offers, and answers in exactly one way.

use anyhow::{Context, bail};
use wasmparser::{Encoding, Parser, Payload, Validator};

/// What Spin offers.
#[derive(Debug, Default)]
pub(super) struct Offered {
    imports: Vec<String>,
    handlers: Vec<String>,
}

/// A component that was found good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of interfaces that it imports.
    pub(super) imports: usize,
    /// By which it answers.
    pub(super) handler: String,
}

/// Names at the outside of a component.
#[derive(Debug, Default)]
struct Surface {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Offered {
    /// Reads lines such as `import wasi:cli/exit@0.3.0` and `handler wasi:http/handler@0.3.0`; `#` begins a comment.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut offered = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            match line.split_once(' ') {
                Some(("import", name)) => offered.imports.push(name.trim().to_owned()),
                Some(("handler", name)) => offered.handlers.push(name.trim().to_owned()),
                _ if line.is_empty() => {}
                _ => bail!("line {number}: `import` or `handler`, and an interface"),
            }
        }
        Ok(offered)
    }

    /// Checks a component, which may offer these typed interfaces beside its handler; reports everything that is wrong.
    pub(super) fn check(&self, wasm: &[u8], provides: &[String]) -> anyhow::Result<Found> {
        let surface = Surface::read(wasm)?;
        let foreign = surface.imports.iter().filter(|import| !meets_any(&self.imports, import));
        let mut wrong: Vec<String> =
            foreign.map(|import| format!("imports {import}, which Spin does not offer")).collect();
        let (handlers, others): (Vec<&String>, Vec<&String>) =
            surface.exports.iter().partition(|export| meets_any(&self.handlers, export));
        if handlers.len() != 1 {
            wrong.push(format!("has {} HTTP handlers where Spin takes exactly one: {handlers:?}", handlers.len()));
        }
        let unknown = others.into_iter().filter(|export| !provides.contains(export));
        wrong.extend(unknown.map(|export| format!("exports {export}, which its `provides` does not name")));
        match handlers.first() {
            Some(handler) if wrong.is_empty() => {
                Ok(Found { imports: surface.imports.len(), handler: (*handler).clone() })
            }
            _ => bail!("it cannot run under Spin: it {}", wrong.join("; it ")),
        }
    }
}

impl Surface {
    fn read(wasm: &[u8]) -> anyhow::Result<Self> {
        Validator::new().validate_all(wasm).context("it is not a valid component")?;
        let mut surface = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => bail!("it is a core module"),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        surface.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        surface.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(surface)
    }
}

fn meets_any(offered: &[String], name: &str) -> bool {
    offered.iter().any(|offered| meets(offered, name))
}

/// Whether one name is met by the other, as components are linked: of the same track of semantic versions.
fn meets(offered: &str, name: &str) -> bool {
    let split = |text: &str| match text.split_once('@') {
        Some((interface, version)) => (interface.to_owned(), Some(track(version))),
        None => (text.to_owned(), None),
    };
    split(offered) == split(name)
}

/// The part of a version that compatible versions have in common.
fn track(version: &str) -> String {
    let is_released = !version.contains(['-', '+']);
    let mut numbers = version.split('.');
    match (numbers.next(), numbers.next()) {
        (Some("0"), Some(minor)) if is_released && minor != "0" => format!("0.{minor}"),
        (Some(major), Some(_)) if is_released && major != "0" => major.to_owned(),
        _ => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_meet_on_their_track() {
        for (offered, name) in [
            ("a:b/c@0.2.6", "a:b/c@0.2.3"),
            ("a:b/c@0.2.6", "a:b/c@0.2.9"),
            ("a:b/c@4.2.0", "a:b/c@4.0.0"),
            ("a:b/c@0.2.0-draft2", "a:b/c@0.2.0-draft2"),
            ("a:b/c@0.0.1", "a:b/c@0.0.1"),
            ("a:b/c", "a:b/c"),
        ] {
            assert!(meets(offered, name), "{offered} {name}");
        }
        for (offered, name) in [
            ("a:b/c@0.2.6", "a:b/c@0.3.0"),
            ("a:b/c@0.2.6", "a:b/c@0.2.0-draft2"),
            ("a:b/c@0.3.0", "a:b/c@0.3.0-rc-2026-03-15"),
            ("a:b/c@3.0.0", "a:b/c@4.0.0"),
            ("a:b/c@0.0.1", "a:b/c@0.0.2"),
            ("a:b/c@0.2.6", "a:b/c"),
            ("a:b/c@0.2.6", "a:b/d@0.2.6"),
        ] {
            assert!(!meets(offered, name), "{offered} {name}");
        }
    }

    #[test]
    fn a_line_that_is_neither_is_an_error() {
        assert!(Offered::parse("import a:b/c # why\n\n# x\nhandler a:b/d\n").is_ok());
        for text in ["a:b/c", "export a:b/c"] {
            assert!(Offered::parse(text).is_err(), "{text}");
        }
    }
}
