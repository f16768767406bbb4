//! A component carries its migrations in a custom section of its file, so that a version and its schema cannot part.
//!
//! The section [`SECTION`] holds a JSON array of `{ "name": "0001_init.sql", "sql": "..." }`, ordered by name.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmparser::{Encoding, Parser, Payload};

/// Name of the custom section. The host reads it by the same name.
pub(crate) const SECTION: &str = "chassis:migrations";

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Migration {
    /// File name: `NNNN_what.sql`.
    pub(crate) name: String,
    /// Its text.
    pub(crate) sql: String,
}

/// Migrations of a folder, ordered by name; none if there is no such folder.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Vec<Migration>> {
    let mut migrations = Vec::new();
    if !folder.is_dir() {
        return Ok(migrations);
    }
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sql = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        migrations.push(Migration { name, sql });
    }
    migrations.sort_by(|a, b| a.name.cmp(&b.name));
    check_names(&migrations)?;
    Ok(migrations)
}

/// Numbers run from 0001 without a gap: two branches that both add a migration meet here and not in production.
fn check_names(migrations: &[Migration]) -> anyhow::Result<()> {
    for (index, migration) in migrations.iter().enumerate() {
        let expected = format!("{:04}_", index + 1);
        if !migration.name.starts_with(&expected) {
            bail!(
                "migration «{}» should be number {:04}: names are NNNN_what.sql, from 0001, without gap or repetition",
                migration.name,
                index + 1
            );
        }
    }
    Ok(())
}

/// The component with exactly these migrations: what it held before is replaced, and none leaves no section.
pub(crate) fn embed(wasm: &[u8], migrations: &[Migration]) -> anyhow::Result<Vec<u8>> {
    let mut component = without_section(wasm)?;
    if !migrations.is_empty() {
        let json = serde_json::to_vec(migrations).context("cannot encode the migrations")?;
        CustomSection { name: SECTION.into(), data: json.into() }.append_to_component(&mut component);
    }
    Ok(component)
}

/// Drops our section at the top level. Modules and components within are skipped over whole.
fn without_section(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(wasm.len());
    let mut depth = 0_usize;
    let mut copied = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.context("not a WebAssembly file")? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                bail!("a core module, not a component: is it built for {}?", crate::workspace::WASM_TARGET)
            }
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if depth == 1 && section.name() == SECTION => {
                // A section's range leaves out its id and its length, a LEB128 of the range's size.
                let start = section.range().start - 1 - leb128_length(section.range().len());
                kept.extend_from_slice(wasm.get(copied..start).unwrap_or_default());
                copied = section.range().end;
            }
            _ => {}
        }
    }
    kept.extend_from_slice(wasm.get(copied..).unwrap_or_default());
    Ok(kept)
}

/// Bytes of an unsigned LEB128 number in its shortest form, which is how [`embed`] writes it.
fn leb128_length(mut value: usize) -> usize {
    let mut length = 1;
    while value >= 0x80 {
        value >>= 7;
        length += 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(name: &str, sql: &str) -> Migration {
        Migration { name: name.into(), sql: sql.into() }
    }

    /// A component that holds a module, which holds a custom section of our name: not ours to touch.
    fn component() -> Vec<u8> {
        let mut module = wasm_encoder::Module::new();
        module.section(&CustomSection { name: SECTION.into(), data: b"inner".as_slice().into() });
        let mut component = wasm_encoder::Component::new();
        component.section(&wasm_encoder::ModuleSection(&module));
        component.section(&CustomSection { name: "producers".into(), data: b"someone".as_slice().into() });
        component.finish()
    }

    fn embedded(wasm: &[u8]) -> Vec<Vec<Migration>> {
        let mut found = Vec::new();
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::CustomSection(section) if depth == 1 && section.name() == SECTION => {
                    found.push(serde_json::from_slice(section.data()).unwrap());
                }
                _ => {}
            }
        }
        found
    }

    #[test]
    fn a_component_carries_its_migrations() {
        let migrations =
            vec![migration("0001_init.sql", "create table t (a)"), migration("0002_b.sql", "x".repeat(9999).as_str())];
        let wasm = embed(&component(), &migrations).unwrap();
        assert_eq!(embedded(&wasm), vec![migrations]);
    }

    #[test]
    fn embedding_twice_changes_nothing_and_other_migrations_replace_the_first() {
        for length in [10, 100, 127, 128, 16_400, 3_000_000] {
            let first = vec![migration("0001_init.sql", &"x".repeat(length))];
            let once = embed(&component(), &first).unwrap();
            assert_eq!(embed(&once, &first).unwrap(), once);
            let second = vec![migration("0001_other.sql", "select 1")];
            assert_eq!(embed(&once, &second).unwrap(), embed(&component(), &second).unwrap());
            assert_eq!(embed(&once, &[]).unwrap(), component());
        }
    }

    #[test]
    fn a_core_module_and_a_text_file_are_refused() {
        let module = wasm_encoder::Module::new().finish();
        assert!(format!("{:#}", embed(&module, &[]).unwrap_err()).contains("a core module"));
        assert!(format!("{:#}", embed(b"hello", &[]).unwrap_err()).contains("not a WebAssembly file"));
    }

    #[test]
    fn a_folder_is_read_in_order_and_gaps_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, sql) in [("0002_more.sql", "b"), ("0001_init.sql", "a"), ("README.md", "no")] {
            std::fs::write(folder.path().join(name), sql).unwrap();
        }
        assert_eq!(
            read(folder.path()).unwrap(),
            vec![migration("0001_init.sql", "a"), migration("0002_more.sql", "b")]
        );
        std::fs::write(folder.path().join("0002_again.sql"), "c").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("should be number"));
        assert_eq!(read(&folder.path().join("absent")).unwrap(), vec![]);
    }
}
