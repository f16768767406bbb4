use proptest::prelude::*;

use self::escapes::{ESCAPES, NAMES_OF_OTHERS};
use super::*;

// What Chassis's own backend is tried with.
#[path = "../../../../../tests/sql_escapes.rs"]
mod escapes;

fn checked(text: &str, params: usize) -> Result<Checked, Error> {
    check(Statement { text: text.to_owned(), params: vec![Value::Null; params] })
}

#[test]
fn parameters_are_rewritten_and_nothing_else() {
    for (text, params, expected) in [
        ("select $1", 1, "select ?1"),
        ("select $2, $1, $2", 2, "select ?2, ?1, ?2"),
        ("select '$1', \"$2\", `$3`, [$4], $1 -- $5", 1, "select '$1', \"$2\", `$3`, [$4], ?1 -- $5"),
        ("select /* $9 */ a$1 from t where b=$1;", 1, "select /* $9 */ a$1 from t where b=?1;"),
        ("select 'it''s $1', 'ä', $1", 1, "select 'it''s $1', 'ä', ?1"),
        ("insert into t values ($1,$2)", 2, "insert into t values (?1,?2)"),
        ("select $10,$9,$8,$7,$6,$5,$4,$3,$2,$1", 10, "select ?10,?9,?8,?7,?6,?5,?4,?3,?2,?1"),
    ] {
        assert_eq!(checked(text, params).unwrap().text, expected, "{text}");
    }
}

#[test]
fn parameters_are_numbers_without_gap_and_all_given() {
    for (text, params) in [
        ("select $0", 1),
        ("select $01", 1),
        ("select $2", 2),
        ("select $1, $3", 3),
        ("select :name", 1),
        ("select @a", 1),
        ("select $a", 1),
        ("select ?1", 1),
        ("select ?", 1),
        ("select $1::x", 1),
        ("select $1(x)", 1),
        ("select $", 1),
        ("select $1", 0),
        ("select 1", 1),
    ] {
        assert!(matches!(checked(text, params), Err(Error::Syntax(_))), "{text}");
    }
}

#[test]
fn a_text_holds_one_statement() {
    for text in ["select 1;", "select 1 ; -- ;", "select ';'", "select 1;;"] {
        assert!(checked(text, 0).is_ok(), "{text}");
    }
    for text in ["", " ", "-- x", ";", "select 1; select 2", "select 1; commit", "select 'a", "select 1\0"] {
        assert!(matches!(checked(text, 0), Err(Error::Syntax(_))), "{text:?}");
    }
}

#[test]
fn what_reads_and_what_writes() {
    for text in [
        "select 1",
        "VALUES (1)",
        "with a as (select 1) select * from a",
        "with recursive a(n) as (select 1 union all select n + 1 from a), b as not materialized (values (1)) select 1",
        "with recursive as (select 1) select * from recursive",
        "with replace as (select 1) select replace('a', 'b', 'c') from replace",
        "/* insert */ select 'insert'",
    ] {
        assert_eq!(checked(text, 0).unwrap().verb, Verb::Read, "{text}");
    }
    for text in [
        "insert into t values (1)",
        "replace into t values (1)",
        "UPDATE t set a = 1",
        "delete from t",
        "with a as (select 1) insert into t select * from a",
        "with a(n) as materialized (select 1), b as (select 2) delete from t returning *",
    ] {
        assert_eq!(checked(text, 0).unwrap().verb, Verb::Write, "{text}");
    }
}

#[test]
fn escapes_are_denied() {
    for text in [
        "attach 'other.db' as other",
        "detach other",
        "vacuum into 'copy.db'",
        "vacuum",
        "pragma journal_mode = off",
        "begin",
        "commit",
        "end",
        "rollback",
        "savepoint a",
        "release a",
        "explain select 1",
        "create table t (a)",
        "drop table t",
        "alter table t add column a",
        "analyze",
        "reindex",
        "with a as (select 1) pragma x",
        "with a",
        "insert or rollback into t values (1)",
        "insert or/**/RollBack into t values (1)",
        "select * from chassis_outbox",
        "select * from \"Chassis_Outbox\"",
        "select * from [chassis_outbox]",
        "select * from 'chassis_outbox'",
        "delete from main.chassis_migrations",
        "select * from sqlite_schema",
        "select * from pragma_table_info('t')",
        "select * from dbstat",
        "select load_extension('x')",
        "select unhex('00', ' ')",
    ] {
        assert!(matches!(checked(text, 0), Err(Error::Denied(_))), "{text}");
    }
    for text in ["select edit from t", "select sqlite_version()", "select 'rollback'", "select my_chassis_ from t"] {
        assert!(checked(text, 0).is_ok(), "{text}");
    }
}

#[test]
fn what_chassis_refuses_is_denied() {
    for text in ESCAPES.iter().chain(NAMES_OF_OTHERS) {
        let answer = checked(text, 0);
        let is_several = text.contains(';') && matches!(answer, Err(Error::Syntax(_)));
        assert!(is_several || matches!(answer, Err(Error::Denied(_))), "{text}: {answer:?}");
    }
}

#[test]
fn sizes_have_bounds() {
    let long = format!("select '{}'", "x".repeat(1 << 20));
    assert!(matches!(checked(&long, 0), Err(Error::TooLarge(_))));
    assert!(matches!(checked("select 1", limits::PARAMS_MAX + 1), Err(Error::TooLarge(_))));
    let nan = Statement { text: "select $1".to_owned(), params: vec![Value::Real(f64::NAN)] };
    assert!(matches!(check(nan), Err(Error::Syntax(_))));
}

/// Pieces of which a text may be put together, with the number of the parameter that a piece is.
fn pieces() -> impl Strategy<Value = Vec<(String, Option<usize>)>> {
    let hidden =
        prop_oneof!["'[$0-9a-z ;?]{0,6}'", "\"[$0-9a-z ;?]{0,6}\"", "--[$0-9';]{0,6}\n", "/\\*[$0-9'\"]{0,6}\\*/"];
    let plain = prop_oneof!["[a-z]{1,4}", "[0-9]{1,3}", "[,()+]"];
    let piece = prop_oneof![
        hidden.prop_map(|text| (text, None)),
        plain.prop_map(|text| (text, None)),
        (1_usize..9).prop_map(|number| (format!("${number}"), Some(number))),
    ];
    proptest::collection::vec(piece, 0..20)
}

proptest! {
    #[test]
    fn only_parameters_outside_of_quotes_are_touched(pieces in pieces()) {
        let text: String = pieces.iter().map(|(text, _)| format!("{text} ")).collect();
        let expected: String = pieces
            .iter()
            .map(|(text, number)| number.map_or(format!("{text} "), |number| format!("?{number} ")))
            .collect();
        prop_assert_eq!(rewrite(&text, &tokens(&text)), expected);
    }

    /// SQLite itself is the judge of what is a parameter: whatever text it takes, it finds the same ones.
    #[test]
    fn sqlite_finds_the_same_parameters(pieces in pieces()) {
        let body: String = pieces.iter().map(|(text, number)| match (text.as_str(), number) {
            (text, None) if text.starts_with(['-', '/']) => format!("{text} "),
            (text, _) if text.starts_with([',', '(', ')', '+']) => String::new(),
            (text, _) if text.starts_with(|c: char| c.is_ascii_lowercase()) => format!(" + \"{text}\" "),
            (text, _) => format!(" + {text} "),
        }).collect();
        let text = format!("select 0 {body}");
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let prepared = connection.prepare(&text);
        if let Ok(statement) = prepared {
            let mut expected: Vec<String> = (1..=statement.parameter_count())
                .filter_map(|index| statement.parameter_name(index).map(str::to_owned))
                .collect();
            expected.sort();
            let all = tokens(&text);
            let mut found: Vec<String> =
                all.iter().filter(|token| token.kind == Kind::Parameter).map(|token| token.text.to_owned()).collect();
            found.sort();
            found.dedup();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,60}", params in 0_usize..3) {
        let _checked_or_refused = checked(&text, params);
    }
}
