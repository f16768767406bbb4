//! What a component's text says, and the text that Spin is given for it.
//!
//! Spin has no authorizer that could be asked, so a text is judged by its words. That is stricter in places than Chassis: a
//! name of the host's is refused wherever it stands, also as a text in quotes, which SQLite takes for a name at need.

use super::lexer::{Kind, Token, tokens};
use super::limits;
use crate::bindings::sql::{Error, Statement, Value};

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It changes nothing.
    Read,
    /// It inserts, updates or deletes.
    Write,
}

/// A statement that was found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The text with `?1` in the place of `$1`: Spin binds by position, and SQLite numbers `$1` by its first occurrence.
    pub text: String,
    /// The parameters.
    pub params: Vec<Value>,
    /// What it does.
    pub verb: Verb,
}

/// Names of tables, views, functions and the like that are the host's or SQLite's own.
const PREFIXES_REFUSED: [&str; 3] = ["chassis_", "sqlite_", "pragma_"];

/// Tables that SQLite makes of its own insides.
const TABLES_REFUSED: [&str; 3] = ["dbstat", "bytecode", "tables_used"];

/// Functions that reach out of the database or into SQLite, or whose time has no bound: those that Chassis refuses.
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

/// Check a statement, and write it as Spin takes it.
///
/// # Errors
/// `syntax`, `denied` or `too-large`, as Chassis answers.
pub fn check(statement: Statement) -> Result<Checked, Error> {
    limits::check_statement(&statement)?;
    let all = tokens(&statement.text);
    let tokens = single(&all)?;
    let verb = verb(tokens)?;
    check_names(tokens)?;
    let taken = count_params(tokens)?;
    let given = statement.params.len();
    if given != taken {
        return Err(Error::Syntax(format!("the text takes {taken} parameters, {given} are given")));
    }
    Ok(Checked { text: rewrite(&statement.text, tokens), params: statement.params, verb })
}

/// The tokens of the one statement, without the semicolon that may end it.
fn single<'t, 'a>(tokens: &'t [Token<'a>]) -> Result<&'t [Token<'a>], Error> {
    if let Some(unfinished) = tokens.iter().find(|token| token.kind == Kind::Unfinished) {
        let begin: String = unfinished.text.chars().take(20).collect();
        return Err(Error::Syntax(format!("unrecognized token: {begin}")));
    }
    let end = tokens.iter().position(|token| token.is_mark(";")).unwrap_or(tokens.len());
    let (statement, rest) = tokens.split_at(end);
    if statement.is_empty() {
        return Err(Error::Syntax("the text holds no statement".to_owned()));
    }
    if rest.iter().any(|token| !token.is_mark(";")) {
        return Err(Error::Syntax("the text holds more than one statement".to_owned()));
    }
    Ok(statement)
}

/// The verb, behind the tables of a `with`.
fn verb(tokens: &[Token<'_>]) -> Result<Verb, Error> {
    let main = match tokens.first() {
        Some(first) if first.is_word("with") => behind_with(tokens),
        first => first,
    };
    let is_any = |words: &[&str]| main.is_some_and(|token| words.iter().any(|word| token.is_word(word)));
    if is_any(&["select", "values"]) {
        Ok(Verb::Read)
    } else if is_any(&["insert", "replace", "update", "delete"]) {
        Ok(Verb::Write)
    } else {
        Err(Error::Denied("a statement must select, insert, update or delete rows".to_owned()))
    }
}

/// `with [recursive] name [(columns)] as [[not] materialized] (select), ... verb`.
fn behind_with<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
    let mut rest = tokens.get(1..)?;
    // A table may have the name of a keyword, but not a parenthesis or `as` behind `with recursive`.
    if rest.first()?.is_word("recursive") && !rest.get(1)?.is_word("as") && !rest.get(1)?.is_mark("(") {
        rest = rest.get(1..)?;
    }
    loop {
        rest = behind_parenthesis(rest.get(1..)?);
        if !rest.first()?.is_word("as") {
            return None;
        }
        rest = rest.get(1..)?;
        rest = rest.split_first().filter(|(token, _)| token.is_word("not")).map_or(rest, |(_, rest)| rest);
        rest = rest.split_first().filter(|(token, _)| token.is_word("materialized")).map_or(rest, |(_, rest)| rest);
        rest = behind_parenthesis(rest);
        if !rest.first()?.is_mark(",") {
            return rest.first();
        }
        rest = rest.get(1..)?;
    }
}

/// What follows the parenthesis that the tokens begin with; all of them where there is none.
fn behind_parenthesis<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        if token.is_mark("(") {
            depth += 1;
        } else if token.is_mark(")") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return if index == 0 { tokens } else { tokens.get(index + 1..).unwrap_or_default() };
        }
    }
    &[]
}

fn check_names(tokens: &[Token<'_>]) -> Result<(), Error> {
    for (index, token) in tokens.iter().enumerate() {
        if token.is_word("rollback") {
            return Err(Error::Denied(
                "`rollback` may not occur outside of quotes: the end of a batch belongs to the host".to_owned(),
            ));
        }
        if is_refused(token, tokens.get(index + 1)) {
            return Err(Error::Denied(format!("access to {} is prohibited", token.text)));
        }
    }
    Ok(())
}

fn is_refused(token: &Token<'_>, next: Option<&Token<'_>>) -> bool {
    let name = match token.kind {
        Kind::Word => token.text,
        Kind::Name | Kind::Text => {
            let inner = token.text.len().checked_sub(1).and_then(|end| token.text.get(1..end));
            inner.unwrap_or_default()
        }
        Kind::Number | Kind::Parameter | Kind::Mark | Kind::Unfinished => return false,
    };
    let is_call = next.is_some_and(|next| next.is_mark("("));
    let is_any = |names: &[&str]| names.iter().any(|other| name.eq_ignore_ascii_case(other));
    let begins = |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is_any(&FUNCTIONS_REFUSED) && is_call {
        return true;
    }
    // `sqlite_version()` tells nothing; a table-valued `pragma_...()` does.
    let is_harmless_call = is_call && begins(&"sqlite_");
    is_any(&TABLES_REFUSED) && token.kind != Kind::Text || PREFIXES_REFUSED.iter().any(begins) && !is_harmless_call
}

/// How many parameters a text takes: `$1` to `$n`, every one of them used.
fn count_params(tokens: &[Token<'_>]) -> Result<usize, Error> {
    let mut used: Vec<usize> = Vec::new();
    for token in tokens.iter().filter(|token| token.kind == Kind::Parameter) {
        let number = parse_number(token.text)
            .ok_or_else(|| Error::Syntax(format!("the parameter {} is not written $1, $2 and so on", token.text)))?;
        used.push(number);
    }
    used.sort_unstable();
    used.dedup();
    match used.iter().zip(1..).find(|(number, place)| *number != place) {
        Some((number, _)) => Err(Error::Syntax(format!("${number} is used, but not every parameter before it"))),
        None => Ok(used.len()),
    }
}

/// The number of `$7`; none for any other way to write a parameter. At least 1.
fn parse_number(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('$')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

/// The text with `?` for the `$` of every parameter: of the same length, so that places in messages stay true.
fn rewrite(text: &str, tokens: &[Token<'_>]) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut done = 0;
    for token in tokens.iter().filter(|token| token.kind == Kind::Parameter) {
        rewritten.push_str(text.get(done..token.start).unwrap_or_default());
        rewritten.push('?');
        done = token.start + 1;
    }
    rewritten.push_str(text.get(done..).unwrap_or_default());
    rewritten
}

#[cfg(test)]
mod tests;
