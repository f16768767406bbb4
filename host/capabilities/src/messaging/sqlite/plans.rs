//! How SQLite answers the statements: by an index, never by reading a table that grows, and never by sorting one.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};

use super::{SCHEMA, complete, dead, lease, numbers, publish, status};

/// The tables that have as many rows as there are events.
const LARGE: [&str; 5] = ["delivery", "event", "known", "dedup", "dead_letter"];

async fn connection() -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(":memory:");
    let mut connection = options.connect().await.expect("opens");
    for step in SCHEMA {
        sqlx::raw_sql(*step).execute(&mut connection).await.expect("a valid schema");
    }
    connection
}

/// The steps of a plan, one per line.
async fn plan(connection: &mut SqliteConnection, statement: &str) -> String {
    let explain = AssertSqlSafe(format!("explain query plan {statement}"));
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(connection).await.expect("valid");
    steps.into_iter().map(|(.., step)| step).collect::<Vec<_>>().join("\n")
}

/// The table that a step reads from end to end, under its own name.
fn scanned<'a>(step: &'a str, statement: &'a str) -> Option<&'a str> {
    let name = step.strip_prefix("SCAN ")?.split(' ').next()?;
    let alias = LARGE.iter().find(|table| statement.contains(&format!("{table} {name}\n")));
    let large = LARGE.iter().find(|table| **table == name);
    large.or(alias).copied()
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let mut connection = connection().await;
    let statements = [
        lease::DUE,
        lease::WAKE,
        lease::FIRST_READY,
        lease::TAKE,
        lease::RENEW,
        lease::NEXT,
        lease::EXPIRE_ALL,
        numbers::RELEASE,
        complete::ACK,
        complete::FIND,
        status::STATUS,
        publish::REMEMBER,
        publish::FULL_QUEUE,
        publish::TOO_LATE,
        dead::PAGE_OF_QUEUE,
        dead::FORGET_LETTERS,
        dead::FORGET_KEYS,
    ];
    for statement in statements {
        let plan = plan(&mut connection, statement).await;
        let scanned: Vec<&str> = plan.lines().filter_map(|step| scanned(step, statement)).collect();
        assert!(scanned.is_empty(), "reads all of {scanned:?}:\n{statement}\n{plan}");
    }
}

#[tokio::test]
async fn what_is_taken_from_the_front_is_not_sorted() {
    let mut connection = connection().await;
    let fronts = [lease::DUE, lease::FIRST_READY, dead::PAGE_OF_ALL, dead::PAGE_OF_QUEUE, dead::FORGET_IDS];
    for statement in fronts {
        let plan = plan(&mut connection, statement).await;
        assert!(!plan.contains("TEMP B-TREE"), "sorts:\n{statement}\n{plan}");
    }
}

#[tokio::test]
async fn a_lease_and_the_order_of_a_subject_have_indices_of_their_own() {
    let mut connection = connection().await;
    let expected = [
        (lease::FIRST_READY, "delivery_ready"),
        (lease::DUE, "delivery_due"),
        (numbers::RELEASE, "delivery_subject"),
        (status::STATUS, "delivery_waiting"),
        (status::STATUS, "delivery_due"),
    ];
    for (statement, index) in expected {
        let plan = plan(&mut connection, statement).await;
        assert!(plan.contains(index), "{index}:\n{statement}\n{plan}");
    }
}

#[test]
fn a_scan_is_seen_under_the_name_of_an_alias() {
    let statement = "select 1 from delivery head\nwhere true";
    assert_eq!(scanned("SCAN head", statement), Some("delivery"));
    assert_eq!(scanned("SCAN delivery USING INDEX x", statement), Some("delivery"));
    assert_eq!(scanned("SEARCH delivery USING INDEX x (queue=?)", statement), None);
    assert_eq!(scanned("SCAN pair VIRTUAL TABLE INDEX 1:", statement), None);
}
