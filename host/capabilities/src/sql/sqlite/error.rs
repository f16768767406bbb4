//! SQLite's errors in the words of the capability. The only place where its messages are read.

use super::super::{ConstraintKind, SqlError};
use super::schema::Schema;
use crate::sqlite_file::FileError;
use crate::sqlite_file::connection::{busy_hint, extended_code};
use crate::sqlite_file::ffi;
use crate::sqlite_file::temporary::FULL_TEMPORARY;

pub(super) fn from_file(error: FileError, schema: &Schema) -> SqlError {
    match error {
        FileError::Busy(wait) => SqlError::Busy(wait),
        FileError::OutcomeUnknown => SqlError::OutcomeUnknown,
        FileError::Sqlite(error) => from_sqlx(&error, schema),
        FileError::Closed | FileError::Open { .. } | FileError::Newer { .. } => SqlError::Internal(error.to_string()),
    }
}

pub(super) fn from_sqlx(error: &sqlx::Error, schema: &Schema) -> SqlError {
    if let Some(wait) = busy_hint(error) {
        return SqlError::Busy(wait);
    }
    match (extended_code(error), error.as_database_error()) {
        (Some(code), Some(database)) => from_code(code, database.message(), schema),
        _ => SqlError::Internal(error.to_string()),
    }
}

/// Translate an extended result code. <https://www.sqlite.org/rescode.html>
pub(super) fn from_code(code: i32, message: &str, schema: &Schema) -> SqlError {
    match code & 0xff {
        _ if code == FULL_TEMPORARY => SqlError::TooLarge(
            "sorting, `distinct` or recursion need more room than sql.temporary_bytes allows".to_owned(),
        ),
        ffi::AUTH => SqlError::Denied(message.to_owned()),
        ffi::ERROR if is_about_size(message) => SqlError::TooLarge(message.to_owned()),
        ffi::ERROR if is_refusal(message) => SqlError::Denied(message.to_owned()),
        ffi::ERROR | ffi::MISMATCH => SqlError::Syntax(message.to_owned()),
        ffi::INTERRUPT => SqlError::Timeout,
        ffi::READONLY => SqlError::ReadOnly,
        ffi::TOOBIG | ffi::RANGE => SqlError::TooLarge(message.to_owned()),
        ffi::CONSTRAINT => constraint(code, message, schema),
        _ => SqlError::Internal(format!("(code: {code}) {message}")),
    }
}

/// A violated reference that was to hold at the end of the batch.
pub(super) fn open_reference() -> SqlError {
    SqlError::Constraint { kind: ConstraintKind::ForeignKey, table: String::new(), columns: Vec::new() }
}

/// SQLite answers most of its own limits with the code that it has for syntax errors.
fn is_about_size(message: &str) -> bool {
    message.starts_with("too many") || message.contains("too large") || message.contains("too complex")
}

/// Tables that may not be written, whoever asks; and functions that may not be used, whose refusal carries the code that
/// SQLite has for syntax errors.
fn is_refusal(message: &str) -> bool {
    message.ends_with("may not be modified") || message.starts_with("not authorized") || message.contains("prohibited")
}

fn constraint(code: i32, message: &str, schema: &Schema) -> SqlError {
    let kind = match code {
        ffi::CONSTRAINT_UNIQUE | ffi::CONSTRAINT_PRIMARYKEY | ffi::CONSTRAINT_ROWID => ConstraintKind::Unique,
        ffi::CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        // A type that a strict table does not take, and a trigger's `raise`, are checks in other clothes.
        ffi::CONSTRAINT_CHECK | ffi::CONSTRAINT_DATATYPE | ffi::CONSTRAINT_TRIGGER => ConstraintKind::Check,
        _ => return SqlError::Internal(format!("(code: {code}) {message}")),
    };
    let (table, columns) = match code {
        // `cannot store TEXT value in INTEGER column todos.position`
        ffi::CONSTRAINT_DATATYPE => message.rsplit_once(' ').map(|(_, place)| places(place)),
        // `CHECK constraint failed: <name or expression>` names no column; a trigger's words are its own.
        ffi::CONSTRAINT_CHECK | ffi::CONSTRAINT_TRIGGER => None,
        _ => message.split_once("constraint failed: ").map(|(_, place)| index(place, schema)),
    }
    .unwrap_or_default();
    SqlError::Constraint { kind, table, columns }
}

/// `index 'users_email'` (an index over expressions), or a list of columns.
fn index(place: &str, schema: &Schema) -> (String, Vec<String>) {
    let name = place.strip_prefix("index '").and_then(|rest| rest.strip_suffix('\''));
    match name {
        Some(name) => schema
            .index(&name.replace("''", "'"))
            .map(|index| (index.table.clone(), index.columns.clone()))
            .unwrap_or_default(),
        None => places(place),
    }
}

/// `users.tenant, users.email`
fn places(place: &str) -> (String, Vec<String>) {
    let mut table = String::new();
    let columns = place
        .split(", ")
        .filter_map(|part| {
            let (owner, column) = part.split_once('.')?;
            owner.clone_into(&mut table);
            Some(column.to_owned())
        })
        .collect();
    (table, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violated(code: i32, message: &str) -> (ConstraintKind, String, Vec<String>) {
        match from_code(code, message, &Schema::default()) {
            SqlError::Constraint { kind, table, columns } => (kind, table, columns),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_the_place_of_a_violation() {
        let (kind, table, columns) = violated(2067, "UNIQUE constraint failed: users.tenant, users.email");
        assert_eq!(
            (kind, table.as_str(), columns),
            (ConstraintKind::Unique, "users", vec!["tenant".into(), "email".into()])
        );
        let (kind, table, columns) = violated(1299, "NOT NULL constraint failed: users.email");
        assert_eq!((kind, table.as_str(), columns), (ConstraintKind::NotNull, "users", vec!["email".into()]));
        let (kind, table, columns) = violated(275, "CHECK constraint failed: price >= 0");
        assert_eq!((kind, table.as_str(), columns), (ConstraintKind::Check, "", vec![]));
        let (kind, table, columns) = violated(787, "FOREIGN KEY constraint failed");
        assert_eq!((kind, table.as_str(), columns), (ConstraintKind::ForeignKey, "", vec![]));
        let (kind, table, columns) = violated(3091, "cannot store TEXT value in INTEGER column t.a");
        assert_eq!((kind, table.as_str(), columns), (ConstraintKind::Check, "t", vec!["a".into()]));
    }
}
