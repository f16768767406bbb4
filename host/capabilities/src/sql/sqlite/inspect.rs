//! A guest's text is compiled and looked at before it runs, and what was found is remembered.

use std::sync::{Arc, Mutex, PoisonError};

use chassis_config::plan::SqlPolicy;
use hashlink::LruCache;

use super::super::{SqlError, Statement, Value};
use super::error;
use super::schema::Schema;
use crate::sqlite_file::connection::Connection;
use crate::sqlite_file::fence::{Mode, thread_cpu};
use crate::sqlite_file::ffi::{self, Inspection, Refusal};
use crate::sqlite_file::readers::Reader;

/// Functions in one statement, views and triggers included. Each call takes some milliseconds at the most, and a statement
/// is not interrupted between those that follow each other.
const FUNCTIONS: u32 = 100;

/// What is known of a text that a guest may run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) text: Arc<str>,
    /// Whether it changes nothing.
    pub(super) read_only: bool,
    /// Its columns, for an answer without rows.
    pub(super) columns: Vec<String>,
    /// Parameters that it takes: `$1` to this.
    params: usize,
}

impl Facts {
    /// Whether a statement of this text has the parameters that the text takes.
    pub(super) fn check_params(&self, statement: &Statement) -> Result<(), SqlError> {
        let given = statement.params.len();
        if given == self.params {
            return Ok(());
        }
        Err(SqlError::Syntax(format!("the text takes {} parameters, {given} are given", self.params)))
    }
}

/// The texts of one database that were found good, the most recently used ones.
#[derive(Debug)]
pub(super) struct Texts(Mutex<LruCache<Arc<str>, Arc<Facts>>>);

impl Texts {
    pub(super) fn new(most: u32) -> Self {
        Self(Mutex::new(LruCache::new(most.max(1) as usize)))
    }

    /// What is known of a text, without compiling it.
    pub(super) fn known(&self, text: &str) -> Option<Arc<Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned()
    }

    /// What is known of a text, which is compiled on `reader` if it is new.
    pub(super) async fn facts(
        &self,
        text: &str,
        reader: &mut Reader,
        policy: &SqlPolicy,
    ) -> Result<Arc<Facts>, SqlError> {
        if let Some(facts) = self.known(text) {
            return Ok(facts);
        }
        let text: Arc<str> = text.into();
        let inspection = compile(text.clone(), reader, policy).await?;
        let facts = Arc::new(judge(text.clone(), inspection)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(text, facts.clone());
        Ok(facts)
    }

    /// Forget everything: the schema has changed.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What can be refused without compiling.
pub(super) fn check_statement(statement: &Statement, policy: &SqlPolicy) -> Result<(), SqlError> {
    if statement.params.len() > policy.params as usize {
        let most = policy.params;
        return Err(SqlError::TooLarge(format!("a statement has at most {most} parameters (sql.params)")));
    }
    if statement_bytes(statement) > policy.statement_bytes {
        let most = policy.statement_bytes;
        return Err(SqlError::TooLarge(format!(
            "a statement with its parameters has at most {most} bytes (sql.statement_bytes)"
        )));
    }
    if statement.text.contains('\0') {
        return Err(SqlError::Syntax("the text holds a NUL character".to_owned()));
    }
    let not_a_number = |value: &Value| matches!(value, Value::Real(real) if real.is_nan());
    match statement.params.iter().position(not_a_number) {
        Some(index) => Err(SqlError::Syntax(format!("${} is not a number, which cannot be stored", index + 1))),
        None => Ok(()),
    }
}

/// Bytes of a text and its parameters.
pub(super) fn statement_bytes(statement: &Statement) -> u64 {
    statement.params.iter().map(value_bytes).fold(statement.text.len() as u64, u64::saturating_add)
}

fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::Text(text) => text.len() as u64,
        Value::Blob(blob) => blob.len() as u64,
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Real(_) => 8,
    }
}

/// Compile a text as a guest's, on a thread that may block.
async fn compile(text: Arc<str>, reader: &mut Reader, policy: &SqlPolicy) -> Result<Inspection, SqlError> {
    let lost = |error: &dyn std::fmt::Display| SqlError::Internal(format!("a statement was not compiled: {error}"));
    let mut connection = reader.remove().map_err(|error| lost(&error))?;
    let (timeout, conduct) = (policy.timeout, reader.conduct().cloned());
    let compiling = tokio::task::spawn_blocking(move || {
        connection.fence().enter(Mode::Guest);
        connection.fence().limit(timeout);
        let before = thread_cpu();
        let inspection = inspect(&mut connection, &text);
        let burned = thread_cpu().saturating_sub(before);
        if let Some(conduct) = conduct.filter(|conduct| burned > conduct.burst()) {
            conduct.burned();
        }
        connection.fence().enter(Mode::Host);
        connection.fence().unlimit();
        (connection, inspection)
    });
    let (connection, inspection) = compiling.await.map_err(|error| lost(&error))?;
    reader.restore(connection);
    match inspection.map_err(|error| lost(&error))? {
        Ok(Some(inspection)) => Ok(inspection),
        Ok(None) => Err(SqlError::Syntax("the text holds no statement".to_owned())),
        Err(Refusal { code: ffi::NOMEM, .. }) => {
            Err(SqlError::TooLarge("the statement has too many instructions".to_owned()))
        }
        Err(Refusal { code, message }) => Err(error::from_code(code, &message, &Schema::default())),
    }
}

fn inspect(connection: &mut Connection, text: &str) -> Result<Result<Option<Inspection>, Refusal>, sqlx::Error> {
    let fence = connection.fence().clone();
    let mut handle = futures::executor::block_on(connection.sqlx().lock_handle())?;
    Ok(ffi::inspect(&mut handle, &fence, text))
}

/// Whether a guest may run what was compiled.
fn judge(text: Arc<str>, inspection: Inspection) -> Result<Facts, SqlError> {
    if inspection.has_more {
        return Err(SqlError::Syntax("the text holds more than one statement".to_owned()));
    }
    if inspection.explains || !inspection.touches_rows {
        return Err(SqlError::Denied("a statement must select, insert, update or delete rows".to_owned()));
    }
    if holds_word(&text, "rollback") {
        return Err(SqlError::Denied(
            "`rollback` may not occur outside of quotes: the end of a batch belongs to the host".to_owned(),
        ));
    }
    if inspection.functions > FUNCTIONS {
        return Err(SqlError::TooLarge(format!("a statement has at most {FUNCTIONS} functions")));
    }
    let params = count_params(&inspection.params)?;
    Ok(Facts { text, read_only: inspection.read_only, columns: inspection.columns, params })
}

/// How many parameters a text takes: `$1` to `$n`, every one of them used.
fn count_params(names: &[Option<String>]) -> Result<usize, SqlError> {
    let mut used = vec![false; names.len()];
    for name in names {
        let shown = name.as_deref().unwrap_or("?");
        let number = parse_number(shown)
            .ok_or_else(|| SqlError::Syntax(format!("the parameter {shown} is not written $1, $2 and so on")))?;
        let Some(place) = used.get_mut(number - 1) else {
            let text = format!("{shown} is used, but not every parameter before it");
            return Err(SqlError::Syntax(text));
        };
        *place = true;
    }
    Ok(used.len())
}

/// The number of `$7`; none for any other way to write a parameter. At least 1.
fn parse_number(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('$')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

/// Whether a word occurs in a text outside of strings, quoted names and comments, in any letter case.
///
/// Everything that is not an ASCII letter, digit, `_` or `$` ends a word here; SQLite counts most other characters as
/// parts of a name, but skips a byte order mark. So more may be found than SQLite sees, and never less.
pub(super) fn holds_word(text: &str, word: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = match (first, after.first()) {
            (b'\'' | b'"' | b'`', _) => skip_past(after, &[first]),
            (b'[', _) => skip_past(after, b"]"),
            (b'-', Some(b'-')) => skip_past(after, b"\n"),
            (b'/', Some(b'*')) => skip_past(after.get(1..).unwrap_or_default(), b"*/"),
            _ if is_word(first) => {
                let length = rest.iter().take_while(|byte| is_word(**byte)).count();
                let (found, after) = rest.split_at(length);
                if found.eq_ignore_ascii_case(word.as_bytes()) {
                    return true;
                }
                after
            }
            _ => after,
        };
    }
    false
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// What follows the first `end`; nothing where there is none.
fn skip_past<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    let position = text.windows(end.len()).position(|window| window == end);
    position.and_then(|at| text.get(at + end.len()..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_word_only_where_sqlite_would_read_it() {
        for text in [
            "insert or rollback into t values (1)",
            "insert or RollBack into t values (1)",
            "insert or/**/rollback/**/into t values (1)",
            "insert or \u{feff}rollback into t values (1)",
            "select ''; -- '\n rollback",
            "select x''rollback",
            "/*/ */ rollback",
        ] {
            assert!(holds_word(text, "rollback"), "{text}");
        }
        for text in [
            "select 'rollback'",
            "select 'it''s a rollback'",
            "select \"rollback\", [rollback], `rollback` from t",
            "select rollbacks, un_rollback from t",
            "select 1 -- rollback",
            "select /* rollback */ 1",
            "select /* rollback",
            "select '",
            "",
        ] {
            assert!(!holds_word(text, "rollback"), "{text}");
        }
    }

    #[test]
    fn counts_parameters_written_as_numbers() {
        let names = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>();
        assert_eq!(count_params(&names(&["$2", "$1", "$3"])), Ok(3));
        assert_eq!(count_params(&[]), Ok(0));
        for wrong in [
            vec!["$0"],
            vec!["$01"],
            vec!["$2"],
            vec!["$1", "$3"],
            vec![":name"],
            vec!["@a"],
            vec!["$a"],
            vec!["?1"],
            vec!["$1::x"],
            vec!["$"],
        ] {
            assert!(matches!(count_params(&names(&wrong)), Err(SqlError::Syntax(_))), "{wrong:?}");
        }
        assert!(matches!(count_params(&[None]), Err(SqlError::Syntax(_))));
    }
}
