//! The time of a batch counts from when it is accepted: one that has not begun by then is never run.

use std::time::Duration;

use chassis_capabilities::sql::{SqlBackend, SqlError, Value};
use chassis_config::plan::SqlPolicy;
use futures::future::join_all;
use sqlx::Connection as _;

use crate::support::{keep, number, one_migration, open, place, policy, run};

const NOTES: &str = "create table notes (id integer primary key) strict";
const ENDLESS: &str = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";

fn impatient() -> SqlPolicy {
    SqlPolicy { timeout: Duration::from_millis(600), ..policy() }
}

#[tokio::test]
async fn batches_behind_an_endless_one_are_refused_and_not_run() {
    let (_folder, path) = place();
    let database = open(&path, &impatient(), &one_migration(NOTES)).await;
    let insert = |id: i64| database.batch(vec![run("insert into notes (id) values ($1)", &[Value::Integer(id)])]);
    insert(0).await.unwrap();
    assert_eq!(database.batch(vec![run(ENDLESS, &[])]).await, Err(SqlError::Timeout));
    // One thread: all are accepted before the writer sees the first.
    let endless = join_all((0..10).map(|_| database.batch(vec![run(ENDLESS, &[])])));
    let (endless, good) = tokio::join!(endless, join_all((1..20).map(insert)));
    assert_eq!(endless.first(), Some(&Err(SqlError::Timeout)));
    assert!(endless.iter().skip(1).all(|answer| matches!(answer, Err(SqlError::Busy(_)))), "{endless:?}");
    assert!(good.iter().all(|answer| matches!(answer, Err(SqlError::Busy(_)))), "{good:?}");
    insert(100).await.unwrap();
    assert_eq!(number(&database, "select count(*) from notes").await, 2);
}

#[tokio::test]
async fn batches_behind_a_writer_that_hangs_are_refused_and_not_run() {
    let (_folder, path) = place();
    let database = open(&path, &impatient(), &one_migration(NOTES)).await;
    let insert = |id: i64| database.batch(vec![run("insert into notes (id) values ($1)", &[Value::Integer(id)])]);
    insert(0).await.unwrap();
    // Another process holds the lock, for longer than a batch has, and lets go of it while the writer tries for the second time.
    let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
    let first = insert(1);
    let late = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        join_all((2..20).map(insert)).await
    };
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    };
    let (first, late, ()) = tokio::join!(first, late, release);
    assert!(matches!(first, Err(SqlError::Busy(_))), "{first:?}");
    assert!(late.iter().all(|answer| matches!(answer, Err(SqlError::Busy(_)))), "{late:?}");
    keep(&database, vec![run("insert into notes (id) values (100)", &[])]).await;
    assert_eq!(number(&database, "select count(*) from notes").await, 2);
}
