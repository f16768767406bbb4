//! What one component's SQL may take of the disk and the memory that all share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chassis_capabilities::sql::{SqlBackend, SqlError, SqliteDatabase, Value};
use chassis_config::plan::SqlPolicy;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{keep, number, one_migration, open, place, policy, run, statement, text};

const NOTES: &str = "create table notes (id integer primary key, body text) strict";
const MIB: u64 = 1 << 20;

fn log_bytes(database: &Path) -> u64 {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(PathBuf::from(log)).unwrap().len()
}

/// Whoever reads and writes the file beside its host.
async fn foreign(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
}

/// Queries that end by their deadline alone, and so that there is always one that reads an older state.
async fn read_for_ever(database: &SqliteDatabase, is_over: &AtomicBool) {
    let endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from notes, n";
    let readers = (0..4).map(|turn| async move {
        tokio::time::sleep(turn * Duration::from_millis(125)).await;
        while !is_over.load(Ordering::SeqCst) {
            let answer = database.query(statement(endless, &[])).await;
            // The second, where the connection of the one before has not yet come to rest.
            assert!(matches!(answer, Err(SqlError::Timeout | SqlError::Busy(_))), "{answer:?}");
        }
    });
    join_all(readers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_does_not_fill_the_disk_while_somebody_always_reads() {
    let (_folder, path) = place();
    let policy = SqlPolicy { timeout: Duration::from_millis(500), wal_bytes: 8 * MIB, ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    keep(&database, vec![run("insert into notes (id, body) values (1, '')", &[])]).await;
    let (is_over, mut longest) = (AtomicBool::new(false), 0);
    let write = async {
        let mut kept = 0;
        while kept < 40 {
            match database.batch(vec![run("update notes set body = hex(randomblob(500000))", &[])]).await {
                Ok(_) => kept += 1,
                // The second, where it has waited for almost all of its time.
                Err(error) => assert!(matches!(error, SqlError::Busy(_) | SqlError::Timeout), "{error:?}"),
            }
            longest = longest.max(log_bytes(&path));
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(write, read_for_ever(&database, &is_over));
    assert!(longest < 10 * MIB, "{longest} bytes of 8 MiB, and a batch of one");
    assert!(longest > 4 * MIB, "it was read all the time, and never longer than {longest} bytes");
}

#[tokio::test]
async fn nothing_is_written_while_the_log_is_full() {
    let (_folder, path) = place();
    let policy = SqlPolicy { timeout: Duration::from_millis(200), wal_bytes: MIB, ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    let mut reader = foreign(&path).await;
    sqlx::raw_sql("begin; select count(*) from notes").execute(&mut reader).await.unwrap();
    let insert = || database.batch(vec![run("insert into notes (body) values (hex(randomblob(50000)))", &[])]);
    let mut kept = 0;
    let refused = loop {
        match insert().await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 20, "{kept} notes of 100 kB in a log of a megabyte");
    };
    assert!(matches!(refused, SqlError::Busy(_)), "{refused:?}");
    assert!(kept > 5 && log_bytes(&path) < 2 * MIB, "{kept} notes, {} bytes", log_bytes(&path));
    assert_eq!(number(&database, "select count(*) from notes").await, kept);
    sqlx::raw_sql("commit").execute(&mut reader).await.unwrap();
    let again = tokio::time::timeout(Duration::from_secs(60), async { while insert().await.is_err() {} });
    again.await.expect("nobody reads any more");
    assert!(log_bytes(&path) < MIB, "{} bytes", log_bytes(&path));
}

/// All that SQLite writes beside the database. Each of these would go on until its deadline, and fill the disk.
const HOARDERS: [&str; 4] = [
    "select x from (select randomblob(100000) as x from n) order by x",
    "select count(*) from (select distinct randomblob(100000) from n)",
    "select count(*) from (select randomblob(100000) as x, count(*) from n group by 1)",
    "select count(*) from kept a join kept b on a.x = b.x",
];

async fn hoard(database: &SqliteDatabase, hoarder: &str) {
    let hoarder = format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n),
            kept (x) as materialized (select randomblob(100000) from n) {hoarder}"
    );
    let query = database.query(statement(&hoarder, &[])).await.map(drop);
    let batch = database.batch(vec![run("insert into notes (body) values ('lost')", &[]), run(&hoarder, &[])]);
    for answer in [query, batch.await.map(drop)] {
        let Err(SqlError::TooLarge(why)) = &answer else { panic!("{hoarder}: {answer:?}") };
        assert!(why.contains("sql.temporary_bytes"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn temporary_files_do_not_fill_the_disk() {
    let (_folder, path) = place();
    let policy = SqlPolicy { timeout: Duration::from_secs(120), temporary_bytes: 16 * MIB, ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    for hoarder in HOARDERS {
        hoard(&database, hoarder).await;
    }
    // All readers at once, with neighbours whose batches share the commit.
    let neighbours =
        (1..=20).map(|id| database.batch(vec![run("insert into notes (id) values ($1)", &[Value::Integer(id)])]));
    let (_, kept) = tokio::join!(join_all(HOARDERS.map(|hoarder| hoard(&database, hoarder))), join_all(neighbours));
    assert!(kept.iter().all(Result::is_ok), "{kept:?}");
    assert_eq!(number(&database, "select count(*) from notes").await, 20);
    // Room comes back with each statement that ends: all of these together need several times as much as there is.
    let modest = "with recursive n (i) as (select 1 union all select i + 1 from n limit 100)
        select count(*) from (select i, row_number() over (order by x) from (select i, randomblob(100000) as x from n))";
    for _ in 0..10 {
        assert_eq!(number(&database, modest).await, 100);
    }
}

/// An index over a table is made by sorting it, and a migration is the operator's will.
#[tokio::test]
async fn a_migration_has_as_much_room_as_its_database() {
    let (_folder, path) = place();
    let policy = SqlPolicy { temporary_bytes: MIB, ..policy() };
    let sorted = "create table notes (id integer primary key, body blob) strict;
        insert into notes (body)
            with recursive n (i) as (select 1 union all select i + 1 from n limit 80) select randomblob(100000) from n;
        create index notes_body on notes (body);";
    let database = open(&path, &policy, &one_migration(sorted)).await;
    assert_eq!(number(&database, "select count(*) from notes").await, 80);
    let refused = database.query(statement("select body from notes not indexed order by body", &[])).await;
    assert!(matches!(refused, Err(SqlError::TooLarge(_))), "{refused:?}");
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let (_folder, path) = place();
    let policy = SqlPolicy { timeout: Duration::from_secs(60), queue_bytes: MIB, ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    let body = text(&"x".repeat(200_000));
    let insert = "insert into notes (body) values ($1)";
    keep(&database, vec![run(insert, std::slice::from_ref(&body))]).await;
    let mut other = foreign(&path).await;
    sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
    let mut waiting: FuturesUnordered<_> =
        (0..20).map(|_| database.batch(vec![run(insert, std::slice::from_ref(&body))])).collect();
    for _ in 0..15 {
        let answer = waiting.next().await.unwrap();
        assert!(matches!(answer, Err(SqlError::Busy(_))), "a megabyte holds five of 200 kB: {answer:?}");
    }
    let query = database.query(statement("select length($1)", std::slice::from_ref(&body))).await;
    assert!(matches!(query, Err(SqlError::Busy(_))), "{query:?}");
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    while let Some(answer) = waiting.next().await {
        assert!(answer.is_ok(), "{answer:?}");
    }
    assert_eq!(number(&database, "select count(*) from notes").await, 6);
    // What is larger than the bound is taken where it is alone.
    keep(&database, (0..10).map(|_| run(insert, std::slice::from_ref(&body))).collect()).await;
    assert_eq!(number(&database, "select count(*) from notes").await, 16);
}
