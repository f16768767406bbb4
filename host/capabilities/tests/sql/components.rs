//! Every statement that the shipped components send is one that their migrated database takes.
//!
//! A guest sends SQL as text, so nothing checks it when the component is compiled. Here each `.sql` file comes through the
//! door that a guest has, with more parameters than it takes: it is compiled and looked at, and refused before it runs.

use std::path::{Path, PathBuf};

use chassis_capabilities::sql::{Migration, SqlBackend, SqlError, Statement, Value};

use crate::support::{open, place, policy};

/// More than any statement takes, and fewer than the policy allows.
const PARAMS: usize = 60;
/// Statements of the kit run in the database of each component that has their table.
const KIT_TABLES: [(&str, &str); 2] = [("idempotency", "idempotency_keys"), ("inbox", "inbox")];

#[tokio::test]
async fn every_statement_of_every_component_fits_its_migrated_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut checked = 0;
    for component in folders(&root.join("components")) {
        let statements = component.join("src/sql");
        let name = component.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "kit" || !statements.is_dir() {
            continue;
        }
        let migrations = migrations(&root.join("migrations").join(&name));
        let schema: String = migrations.iter().map(|migration| migration.sql().to_lowercase()).collect();
        let (_folder, path) = place();
        let database = open(&path, &policy(), &migrations).await;
        let kit = files(&root.join("components/kit/src/sql")).into_iter().filter(|(file, _)| {
            KIT_TABLES
                .iter()
                .any(|(part, table)| file.contains(part) && schema.contains(&format!("create table {table}")))
        });
        for (file, text) in files(&statements).into_iter().chain(kit) {
            let answer = database.query(Statement { text, params: vec![Value::Null; PARAMS] }).await;
            let fits = match &answer {
                // It writes, and that was all that was against it.
                Err(SqlError::ReadOnly) => true,
                Err(SqlError::Syntax(reason)) => reason.ends_with(&format!("parameters, {PARAMS} are given")),
                _ => false,
            };
            assert!(fits, "{name}/{file}: {answer:?}");
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} statements were found");
}

fn migrations(folder: &Path) -> Vec<Migration> {
    Migration::parse_all(files(folder)).unwrap()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

/// The `.sql` files of a folder, as names and texts.
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sql = entries.filter(|path| path.extension().is_some_and(|extension| extension == "sql"));
    sql.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}
