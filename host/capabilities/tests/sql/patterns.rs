//! `like` and `glob` are the host's own for guests, and answer as SQLite's do.

use chassis_capabilities::sql::{SqlBackend, SqlError, Value};
use proptest::prelude::*;
use sqlx::Connection as _;

use crate::support::{is_syntax, one_migration, open, place, policy, statement, text};

/// Made of what means something in a pattern, and of characters of every length.
fn words(characters: &'static str, most: usize) -> impl Strategy<Value = String> {
    let one = prop::sample::select(characters.chars().collect::<Vec<_>>());
    prop::collection::vec(one, 0..most).prop_map(|characters| characters.into_iter().collect())
}

const CALLS: [&str; 3] = ["select $1 like $2", "select $1 like $2 escape $3", "select $1 glob $2"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn patterns_fit_what_they_fit_in_sqlite(
        cases in prop::collection::vec(
            (words("aAbBäÄ€𝄞%-]^", 8), words("aAbä€𝄞%%_**??[[]^-!\\", 10), words("!\\%_aä", 2)), 200,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let (_folder, path) = place();
            let database = open(&path, &policy(), &one_migration("create table t (a)")).await;
            let mut sqlite = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
            for (subject, pattern, escape) in &cases {
                for call in CALLS {
                    let given = [subject, pattern, escape];
                    let given = &given[..if call.contains("$3") { 3 } else { 2 }];
                    let mut query = sqlx::query_scalar::<_, i64>(call);
                    for value in given {
                        query = query.bind((*value).clone());
                    }
                    let expected = query.fetch_one(&mut sqlite).await;
                    let params: Vec<Value> = given.iter().map(|value| text(value)).collect();
                    let answer = database.query(statement(call, &params)).await;
                    match (&expected, &answer) {
                        (Ok(number), Ok(rows)) => {
                            prop_assert_eq!(&rows.rows, &[[Value::Integer(*number)]], "{} {:?}", call, given);
                        }
                        (Err(_), Err(SqlError::Syntax(_))) => {}
                        _ => prop_assert!(false, "{call} {given:?}: {expected:?} {answer:?}"),
                    }
                }
            }
            Ok(())
        });
        outcome?;
    }
}

#[tokio::test]
async fn other_values_are_compared_as_text() {
    let (_folder, path) = place();
    let database = open(&path, &policy(), &one_migration("create table t (a)")).await;
    let one = async |sql: &str| database.query(statement(sql, &[])).await.unwrap().rows[0][0].clone();
    assert_eq!(one("select 1234 like '1%4'").await, Value::Integer(1));
    assert_eq!(one("select x'6162' like 'A_'").await, Value::Integer(1));
    assert_eq!(one("select 'a' || char(0) || 'b' like 'a'").await, Value::Integer(1));
    assert_eq!(one("select null like 'a'").await, Value::Null);
    assert_eq!(one("select 'a' glob null").await, Value::Null);
    assert_eq!(one("select 'a' like 'a' escape null").await, Value::Null);
    assert_eq!(one("select 'a' not like 'b'").await, Value::Integer(1));
    let long = database.query(statement("select 'a' like printf('%.*c', 1001, 'a')", &[])).await;
    assert!(is_syntax(&long) || matches!(long, Err(SqlError::TooLarge(_))), "{long:?}");
}
