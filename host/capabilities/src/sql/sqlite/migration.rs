//! Migrations as data: numbered, named, checksummed.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::inspect::holds_word;

/// One step of a database's schema. Made by [`Migration::parse_all`] or [`Migration::from_section`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    number: u32,
    name: String,
    sql: String,
    checksum: String,
    kind: MigrationKind,
}

/// Whether code that does not know a migration can run on its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationKind {
    /// It only adds: older code runs on. The default.
    Expand,
    /// It takes something away: no older code runs after it. Its first line is `-- contract`.
    Contract,
}

/// What is wrong with a set of migrations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// A file is not named `NNNN_what.sql`.
    #[error("{name}: a migration is named NNNN_what.sql, with four digits from 0001 and [a-z0-9_]")]
    Name {
        /// The file.
        name: String,
    },
    /// Two files have one number.
    #[error("{name}: its number is also that of {other}")]
    Twice {
        /// The file.
        name: String,
        /// The file before it.
        other: String,
    },
    /// A number is missing.
    #[error("{name}: the number {missing:04} is missing before it")]
    Gap {
        /// The first file behind the gap.
        name: String,
        /// The missing number.
        missing: u32,
    },
    /// The text holds something that no migration may hold.
    #[error("{name}: {reason}")]
    Text {
        /// The file.
        name: String,
        /// What it holds.
        reason: &'static str,
    },
    /// The custom section is not what it should be.
    #[error("the section chassis:migrations is not a JSON array of {{name, sql}}: {0}")]
    Section(String),
}

/// An entry of the custom section `chassis:migrations`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sql: String,
}

impl Migration {
    /// Read files, given as name and text in any order.
    ///
    /// # Errors
    /// All that is wrong: names that are not `NNNN_what.sql`, numbers that are double or missing, texts with a NUL or
    /// with `rollback` outside of quotes (as a statement, as a conflict clause or in `raise`).
    pub fn parse_all<N, T>(files: impl IntoIterator<Item = (N, T)>) -> Result<Vec<Self>, Vec<MigrationError>>
    where
        N: Into<String>,
        T: Into<String>,
    {
        let (mut migrations, mut errors) = (Vec::new(), Vec::new());
        for (name, text) in files {
            match Self::parse(name.into(), text.into()) {
                Ok(migration) => migrations.push(migration),
                Err(error) => errors.push(error),
            }
        }
        migrations.sort_by(|a, b| a.name.cmp(&b.name));
        errors.extend(misnumbered(&migrations));
        if errors.is_empty() { Ok(migrations) } else { Err(errors) }
    }

    /// Read the custom section `chassis:migrations` of a component: a JSON array of `{name, sql}`.
    ///
    /// # Errors
    /// Where it is not that, and those of [`Migration::parse_all`].
    pub fn from_section(section: &[u8]) -> Result<Vec<Self>, Vec<MigrationError>> {
        let entries: Vec<Entry> =
            serde_json::from_slice(section).map_err(|error| vec![MigrationError::Section(error.to_string())])?;
        Self::parse_all(entries.into_iter().map(|entry| (entry.name, entry.sql)))
    }

    /// Write the custom section `chassis:migrations`.
    ///
    /// # Errors
    /// Where JSON cannot be written.
    pub fn to_section(migrations: &[Self]) -> Result<Vec<u8>, MigrationError> {
        let entries: Vec<Entry> =
            migrations.iter().map(|m| Entry { name: m.name.clone(), sql: m.sql.clone() }).collect();
        serde_json::to_vec(&entries).map_err(|error| MigrationError::Section(error.to_string()))
    }

    fn parse(name: String, sql: String) -> Result<Self, MigrationError> {
        let Some(number) = number_of(&name) else { return Err(MigrationError::Name { name }) };
        if sql.contains('\0') {
            return Err(MigrationError::Text { name, reason: "the text holds a NUL character" });
        }
        if holds_word(&sql, "rollback") {
            let reason = "`rollback` may not occur outside of quotes: it would undo other batches too";
            return Err(MigrationError::Text { name, reason });
        }
        let first = sql.lines().next().unwrap_or_default();
        let contract = first.strip_prefix("--").is_some_and(|comment| comment.trim() == "contract");
        let kind = if contract { MigrationKind::Contract } else { MigrationKind::Expand };
        let checksum = Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { number, name, sql, checksum, kind })
    }

    /// Its number, from 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Its file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its SQL: any number of statements.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// SHA-256 of its text, in lower-case hexadecimal.
    #[must_use]
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> MigrationKind {
        self.kind
    }
}

impl MigrationKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Contract => "contract",
        }
    }
}

/// 12 of `0012_more_tags.sql`.
fn number_of(name: &str) -> Option<u32> {
    let (digits, what) = name.strip_suffix(".sql")?.split_once('_')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let well_formed = digits.len() == 4
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !what.is_empty()
        && what.bytes().all(plain);
    if !well_formed {
        return None;
    }
    digits.parse().ok().filter(|number| *number > 0)
}

fn misnumbered(migrations: &[Migration]) -> Vec<MigrationError> {
    let mut errors = Vec::new();
    let mut before: Option<&Migration> = None;
    for migration in migrations {
        let last = before.map_or(0, |before| before.number);
        if let Some(other) = before.filter(|before| before.number == migration.number) {
            errors.push(MigrationError::Twice { name: migration.name.clone(), other: other.name.clone() });
        } else if migration.number > last.saturating_add(1) {
            errors.push(MigrationError::Gap { name: migration.name.clone(), missing: last.saturating_add(1) });
        }
        before = Some(migration);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_in_any_order() {
        let migrations = Migration::parse_all([
            ("0002_less.sql", "-- contract\nalter table t drop column a;"),
            ("0001_start.sql", "create table t (a integer);"),
        ])
        .unwrap();
        assert_eq!(migrations.iter().map(Migration::number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(migrations[0].kind(), MigrationKind::Expand);
        assert_eq!(migrations[1].kind(), MigrationKind::Contract);
        // `printf 'create table t (a integer);' | sha256sum`
        assert_eq!(migrations[0].checksum().len(), 64);
        assert_ne!(migrations[0].checksum(), migrations[1].checksum());
        let section = Migration::to_section(&migrations).unwrap();
        assert_eq!(Migration::from_section(&section).unwrap(), migrations);
    }

    #[test]
    fn reports_everything_that_is_wrong() {
        let errors = Migration::parse_all([
            ("1_start.sql", ""),
            ("0000_zero.sql", ""),
            ("0001_Big.sql", ""),
            ("0002_a.sql", ""),
            ("0002_b.sql", ""),
            ("0005_c.sql", ""),
            ("0006_d.sql", "create table t (a unique on conflict rollback)"),
            ("0007_e.sql", "select 'a\0b'"),
            ("notes.txt", ""),
        ])
        .unwrap_err();
        let names = |wanted: fn(&MigrationError) -> bool| errors.iter().filter(|error| wanted(error)).count();
        assert_eq!(names(|error| matches!(error, MigrationError::Name { .. })), 4);
        assert_eq!(names(|error| matches!(error, MigrationError::Twice { .. })), 1);
        assert_eq!(names(|error| matches!(error, MigrationError::Gap { .. })), 2);
        assert_eq!(names(|error| matches!(error, MigrationError::Text { .. })), 2);
    }

    #[test]
    fn refuses_a_section_of_another_form() {
        for section in ["", "{}", "[1]", r#"[{"name":"0001_a.sql"}]"#, r#"[{"name":"0001_a.sql","sql":"","x":1}]"#] {
            assert!(matches!(
                Migration::from_section(section.as_bytes()).unwrap_err()[..],
                [MigrationError::Section(_)]
            ));
        }
    }
}
