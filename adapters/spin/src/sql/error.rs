//! Spin's errors in the words of `chassis:platform`.
//!
//! Spin hands on what SQLite says as a text, without its code. This is the only place that reads such texts; they are those
//! of SQLite itself (<https://www.sqlite.org/src/file/src/main.c>, function `sqlite3ErrStr`, and its compiler).

use super::connection::Failure;
use crate::bindings::sql::{ConstraintKind, ConstraintViolation, Error};
use crate::bindings::sqlite;

/// Milliseconds to wait where another connection writes: Spin has already waited five seconds.
const WAIT_LOCKED_MS: u32 = 100;

/// Beginnings of what the compiler says of a text that is wrong.
const SYNTAX: [&str; 18] = [
    "near \"",
    "incomplete input",
    "unrecognized token",
    "no such table",
    "no such column",
    "no such function",
    "no such index",
    "no such collation",
    "ambiguous column name",
    "wrong number of arguments",
    "misuse of ",
    "datatype mismatch",
    "sub-select returns",
    "all VALUES must",
    "SELECTs to the left and right",
    "cannot modify ",
    "cannot INSERT into ",
    "cannot UPDATE ",
];

/// What a failure means for the component. Nothing was kept.
pub fn translate(failure: Failure) -> Error {
    match failure {
        Failure::Refused(error) => error,
        Failure::Spin(sqlite::Error::NoSuchDatabase) => Error::NoSuchDatabase,
        Failure::Spin(sqlite::Error::AccessDenied) => {
            Error::Denied("the manifest does not list the database in `sqlite_databases`".to_owned())
        }
        Failure::Spin(sqlite::Error::InvalidConnection) => Error::Internal("the connection was lost".to_owned()),
        Failure::Spin(sqlite::Error::DatabaseFull) => Error::Internal("the database is full".to_owned()),
        Failure::Spin(sqlite::Error::Io(message)) => from_message(&message),
    }
}

/// What it means that a commit failed. A commit that was refused has kept nothing; of others nobody knows.
pub fn translate_commit(failure: Failure) -> Error {
    match translate(failure) {
        Error::Internal(_) => Error::OutcomeUnknown,
        known => known,
    }
}

/// The index over expressions by whose name SQLite reports a violation.
pub fn violated_index(failure: &Failure) -> Option<String> {
    let Failure::Spin(sqlite::Error::Io(message)) = failure else { return None };
    let name = message.strip_prefix("UNIQUE constraint failed: index '")?.strip_suffix('\'')?;
    Some(name.replace("''", "'"))
}

fn from_message(message: &str) -> Error {
    if let Some(violation) = constraint(message) {
        return Error::Constraint(violation);
    }
    // The place in the text, which the driver adds to what the compiler says.
    let plain = message.split_once(" in ").filter(|(_, rest)| rest.contains(" at offset ")).map(|(plain, _)| plain);
    if message.starts_with("database is locked") || message.contains("table is locked") {
        Error::Busy(WAIT_LOCKED_MS)
    } else if is_about_size(message) {
        Error::TooLarge(message.to_owned())
    } else if is_refusal(message) {
        Error::Denied(message.to_owned())
    } else if message.starts_with("interrupted") {
        Error::Timeout
    } else if message.starts_with("attempt to write a readonly database") {
        Error::ReadOnly
    } else if plain.is_some() || is_about_syntax(message) {
        Error::Syntax(plain.unwrap_or(message).to_owned())
    } else {
        Error::Internal(message.to_owned())
    }
}

fn is_about_size(message: &str) -> bool {
    message.starts_with("too many")
        || message.contains("too large")
        || message.contains("too complex")
        || message.starts_with("string or blob too big")
        || message.starts_with("query result exceeds limit")
}

fn is_refusal(message: &str) -> bool {
    message.contains("may not be modified") || message.starts_with("not authorized") || message.contains("prohibited")
}

fn is_about_syntax(message: &str) -> bool {
    SYNTAX.iter().any(|begin| message.starts_with(begin))
        || message.contains("has no column named")
        || message.contains(" values for ")
        || message.contains(" columns but ")
}

fn constraint(message: &str) -> Option<ConstraintViolation> {
    // `cannot store TEXT value in INTEGER column todos.position`: a type that a strict table does not take.
    if let Some((_, place)) = message.split_once(" value in ").filter(|_| message.starts_with("cannot store ")) {
        let (table, columns) = places(place.rsplit(' ').next().unwrap_or_default());
        return Some(ConstraintViolation { kind: ConstraintKind::Check, table, columns });
    }
    let (kind, place) = message.split_once(" constraint failed")?;
    let kind = match kind {
        "UNIQUE" | "PRIMARY KEY" => ConstraintKind::Unique,
        "NOT NULL" => ConstraintKind::NotNull,
        "FOREIGN KEY" => ConstraintKind::ForeignKey,
        "CHECK" => ConstraintKind::Check,
        _ => return None,
    };
    // `CHECK constraint failed: <name or expression>` names no column.
    let place = place.strip_prefix(": ").filter(|_| kind != ConstraintKind::Check).unwrap_or_default();
    let (table, columns) = places(place);
    Some(ConstraintViolation { kind, table, columns })
}

/// `users.tenant, users.email`
fn places(text: &str) -> (String, Vec<String>) {
    let mut table = String::new();
    let columns = text.split(", ").filter_map(|part| {
        let (owner, column) = part.split_once('.')?;
        owner.clone_into(&mut table);
        Some(column.to_owned())
    });
    let columns = columns.collect();
    (table, columns)
}
