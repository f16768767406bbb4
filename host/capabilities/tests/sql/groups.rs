//! Batches that share a commit do not feel each other: random groups of good and bad ones.

use std::time::Duration;

use chassis_capabilities::sql::{Expectation, Outbox, SqlBackend, SqlError, SqliteDatabase, Step, Value};
use chassis_config::plan::SqlPolicy;
use futures::future::join_all;
use proptest::prelude::*;

use crate::support::{event, guarded, number, one_migration, open, place, policy, rows, run, statement};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    Publishing,
    GuardFails,
    Violates,
    /// Its error makes SQLite roll back everything.
    RollsBack,
    LeavesReferenceOpen,
    WritesEndlessly,
    ReadsEndlessly,
    TooLarge,
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop_oneof![
        6 => Just(Kind::Good),
        3 => Just(Kind::Publishing),
        2 => Just(Kind::GuardFails),
        2 => Just(Kind::Violates),
        2 => Just(Kind::RollsBack),
        1 => Just(Kind::LeavesReferenceOpen),
        1 => Just(Kind::WritesEndlessly),
        1 => Just(Kind::ReadsEndlessly),
        1 => Just(Kind::TooLarge),
    ];
    prop::collection::vec(kind, 1..24)
}

const ENDLESS: &str = "with recursive n (i) as (select 1 union all select i + 1 from n)";

fn steps(kind: Kind, id: i64) -> Vec<Step> {
    let insert = |id: i64| run("insert into entries (id) values ($1)", &[Value::Integer(id)]);
    // Two rows per batch: half a batch would show.
    let mut steps = vec![insert(2 * id), insert(2 * id + 1)];
    match kind {
        Kind::Good => {}
        Kind::Publishing => steps.push(Step::Publish(event(&id.to_string()))),
        Kind::GuardFails => steps.push(guarded("select id from entries where id = -1", &[], Expectation::SomeRows)),
        Kind::Violates => steps.push(insert(2 * id)),
        Kind::RollsBack => steps.push(run("insert into fragile (id) values (0)", &[])),
        Kind::LeavesReferenceOpen => steps.push(run("insert into children (parent) values (-1)", &[])),
        Kind::WritesEndlessly => {
            steps.push(run(&format!("insert into children (note) {ENDLESS} select i from n"), &[]))
        }
        Kind::ReadsEndlessly => steps.push(run(&format!("{ENDLESS} select max(i) from n"), &[])),
        Kind::TooLarge => steps.push(run(&format!("{ENDLESS} select i from n"), &[])),
    }
    if kind != Kind::Publishing {
        // A bad batch publishes too: that must go with it.
        steps.insert(1, Step::Publish(event(&id.to_string())));
    }
    steps
}

type Answer = Result<Vec<chassis_capabilities::sql::RowSet>, SqlError>;

/// What is answered to a batch after one that has used up the time of all that wait.
fn is_refused(answer: &Answer) -> bool {
    matches!(answer, Err(SqlError::Busy(_)))
}

fn is_expected(kind: Kind, answer: &Answer) -> bool {
    match kind {
        Kind::Good | Kind::Publishing => answer.is_ok(),
        Kind::GuardFails => matches!(answer, Err(SqlError::Guard(3))),
        Kind::Violates | Kind::RollsBack | Kind::LeavesReferenceOpen => {
            matches!(answer, Err(SqlError::Constraint { .. }))
        }
        Kind::WritesEndlessly | Kind::ReadsEndlessly => *answer == Err(SqlError::Timeout),
        Kind::TooLarge => matches!(answer, Err(SqlError::TooLarge(_))),
    }
}

async fn database(path: &std::path::Path) -> SqliteDatabase {
    // `on conflict rollback` cannot come in by a migration; it is put there behind the host's back.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut foreign = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let fragile = "create table fragile (id integer primary key on conflict rollback); insert into fragile values (0)";
    sqlx::raw_sql(fragile).execute(&mut foreign).await.unwrap();
    <sqlx::SqliteConnection as sqlx::Connection>::close(foreign).await.unwrap();
    let schema = "create table entries (id integer primary key) strict;
        create table children (
            parent integer references entries (id) deferrable initially deferred, note integer
        ) strict;";
    let policy = SqlPolicy { timeout: Duration::from_millis(500), group: 16, rows: 50, ..policy() };
    let database = open(path, &policy, &one_migration(schema)).await;
    // Every text is compiled once beforehand, so that the batches of a case are queued in one go and share commits.
    for kind in [
        Kind::Good,
        Kind::GuardFails,
        Kind::RollsBack,
        Kind::LeavesReferenceOpen,
        Kind::WritesEndlessly,
        Kind::ReadsEndlessly,
        Kind::TooLarge,
    ] {
        let _ = database.batch(steps(kind, 1_000_000 + kind as i64)).await;
    }
    database
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn no_batch_feels_what_its_neighbours_do(kinds in kinds()) {
        // One thread: all batches are queued before the writer sees the first.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let (_folder, path) = place();
            let database = database(&path).await;
            let before = number(&database, "select count(*) from entries").await;
            let published = database.pending(1000, u64::MAX).await.unwrap().len();
            let batches = (0_i64..).zip(&kinds).map(|(id, kind)| database.batch(steps(*kind, id)));
            let answers = join_all(batches).await;
            let (mut kept, mut endless) = (0, false);
            for ((id, kind), answer) in (0_i64..).zip(&kinds).zip(&answers) {
                prop_assert!(if endless { is_refused(answer) } else { is_expected(*kind, answer) }, "{:?} of {:?}: {:?}", kind, kinds, answer);
                let pair = statement("select id from entries where id in ($1, $2)", &[Value::Integer(2 * id), Value::Integer(2 * id + 1)]);
                let found = database.query(pair).await.unwrap().rows.len();
                prop_assert_eq!(found, if answer.is_ok() { 2 } else { 0 }, "{:?} of {:?}", kind, kinds);
                kept += i64::from(answer.is_ok());
                endless |= matches!(kind, Kind::WritesEndlessly | Kind::ReadsEndlessly);
            }
            prop_assert_eq!(number(&database, "select count(*) from entries").await, before + 2 * kept);
            prop_assert_eq!(rows(&database, "select parent from children").await.len(), 0);
            let events = database.pending(1000, u64::MAX).await.unwrap();
            prop_assert_eq!(events.len() - published, usize::try_from(kept).unwrap());
            Ok(())
        });
        outcome?;
    }
}

/// A commit writes each page that it changed to the log once: many small batches that share one write few pages.
#[tokio::test]
async fn batches_that_wait_together_share_one_commit() {
    let (_folder, path) = place();
    let schema = "create table entries (id integer primary key) strict";
    let database = open(&path, &policy(), &one_migration(schema)).await;
    let insert = |id: i64| database.batch(vec![run("insert into entries (id) values ($1)", &[Value::Integer(id)])]);
    let log_bytes = || std::fs::metadata(path.with_file_name("data.db-wal")).unwrap().len();
    let frame_bytes = 4096 + 24;
    insert(0).await.unwrap();
    let before = log_bytes();
    for id in 1..=60 {
        insert(id).await.unwrap();
    }
    let one_by_one = log_bytes() - before;
    // One thread: all are queued before the writer sees the first.
    let answers = join_all((61..=120).map(insert)).await;
    assert!(answers.iter().all(Result::is_ok));
    let together = log_bytes() - before - one_by_one;
    assert!(one_by_one >= 60 * frame_bytes, "{one_by_one} bytes for 60 commits");
    assert!(together <= 6 * frame_bytes, "{together} bytes for 60 batches in one go");
}
