//! What SQL may do on whose behalf, by the actions that SQLite's compiler asks leave for.
//! <https://www.sqlite.org/c3ref/c_alter_table.html>

use libsqlite3_sys as sys;

use super::fence::Mode;

/// One question of SQLite's compiler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action<'a> {
    pub(crate) code: i32,
    pub(crate) first: &'a str,
    pub(crate) second: &'a str,
}

/// Functions that reach out of the database or into SQLite; and those of which one call, which no deadline reaches into,
/// takes seconds to hours or gigabytes for arguments of a megabyte: `unhex` by its second form, `json_patch` for objects
/// of many keys, `json_pretty` for deep arrays.
const FUNCTIONS_REFUSED: [&str; 10] = [
    "load_extension",
    "fts3_tokenizer",
    "readfile",
    "writefile",
    "edit",
    "sqlite_offset",
    "unhex",
    "json_patch",
    "jsonb_patch",
    "json_pretty",
];

/// Tables that SQLite makes of its own insides, beside those that begin with `sqlite_` and `pragma_`.
const TABLES_REFUSED: [&str; 3] = ["dbstat", "bytecode", "tables_used"];

/// Pragmas that a migration may use: they concern the references of its own tables, and SQLite itself uses `quick_check`
/// where a column is added to a table that is strict or has checks.
const PRAGMAS_OF_MIGRATIONS: [&str; 5] =
    ["defer_foreign_keys", "foreign_keys", "foreign_key_check", "foreign_key_list", "quick_check"];

/// Whether an action may be done.
pub(crate) fn permits(mode: Mode, action: Action<'_>) -> bool {
    match mode {
        Mode::Host => true,
        Mode::Guest => guest_may(action),
        Mode::Migration => migration_may(action),
    }
}

/// Whether an action is the reading or writing of rows. A statement without any such action (`vacuum`) is nothing that
/// a guest has a use for, and SQLite compiles some of them without asking.
pub(crate) fn touches_rows(action: Action<'_>) -> bool {
    matches!(action.code, sys::SQLITE_SELECT | sys::SQLITE_INSERT | sys::SQLITE_UPDATE | sys::SQLITE_DELETE)
}

fn guest_may(action: Action<'_>) -> bool {
    match action.code {
        sys::SQLITE_SELECT | sys::SQLITE_RECURSIVE => true,
        sys::SQLITE_READ | sys::SQLITE_INSERT | sys::SQLITE_UPDATE | sys::SQLITE_DELETE => {
            !of_host(action.first) && !of_sqlite(action.first)
        }
        sys::SQLITE_FUNCTION => !is_any_of(action.second, &FUNCTIONS_REFUSED),
        _ => false,
    }
}

fn migration_may(action: Action<'_>) -> bool {
    match action.code {
        sys::SQLITE_TRANSACTION
        | sys::SQLITE_SAVEPOINT
        | sys::SQLITE_ATTACH
        | sys::SQLITE_DETACH
        | sys::SQLITE_CREATE_VTABLE
        | sys::SQLITE_DROP_VTABLE
        | sys::SQLITE_CREATE_TEMP_INDEX
        | sys::SQLITE_CREATE_TEMP_TABLE
        | sys::SQLITE_CREATE_TEMP_TRIGGER
        | sys::SQLITE_CREATE_TEMP_VIEW => false,
        sys::SQLITE_PRAGMA => is_any_of(action.first, &PRAGMAS_OF_MIGRATIONS),
        sys::SQLITE_FUNCTION => !is_any_of(action.second, &FUNCTIONS_REFUSED),
        _ => !of_host(action.first) && !of_host(action.second),
    }
}

/// Whether a table, index, trigger or view is the host's.
fn of_host(name: &str) -> bool {
    begins_with(name, "chassis_")
}

fn of_sqlite(name: &str) -> bool {
    begins_with(name, "sqlite_") || begins_with(name, "pragma_") || is_any_of(name, &TABLES_REFUSED)
}

fn begins_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_any_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

#[cfg(test)]
#[path = "../../../../tests/sql_escapes.rs"]
mod escapes;

#[cfg(test)]
mod tests {
    use super::escapes::{ESCAPES, NAMES_OF_OTHERS};
    use super::*;

    /// Others who run the statements of guests on SQLite are tried with these texts, and so refuse what is refused here.
    #[test]
    fn every_refused_name_is_tried() {
        let is_tried = |words: &str| ESCAPES.iter().chain(NAMES_OF_OTHERS).any(|text| text.contains(words));
        for name in FUNCTIONS_REFUSED {
            assert!(is_tried(&format!("{name}(")), "{name}");
        }
        for name in TABLES_REFUSED {
            assert!(is_tried(&format!("from {name}")), "{name}");
        }
    }
}
