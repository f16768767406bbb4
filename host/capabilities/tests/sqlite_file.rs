//! The file under every embedded backend of the host.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::path::PathBuf;
use std::time::Duration;

use chassis_capabilities::sqlite_file::{FileBounds, FileError, SqliteFile};
use futures::FutureExt;
use futures::future::join_all;
use tempfile::TempDir;

const SCHEMA: &[&str] =
    &["create table counts (id integer primary key, n integer not null); insert into counts values (1, 0)"];

async fn file(bounds: FileBounds) -> (TempDir, PathBuf, SqliteFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below").join("host.db");
    let file = SqliteFile::open(&path, SCHEMA, bounds).await.unwrap();
    (folder, path, file)
}

async fn number(file: &SqliteFile, sql: &'static str) -> i64 {
    let number: Result<i64, FileError> = file
        .read(move |connection| async move { Ok(sqlx::query_scalar(sql).fetch_one(connection).await?) }.boxed())
        .await;
    number.unwrap()
}

async fn write(file: &SqliteFile, sql: &'static str) -> Result<u64, FileError> {
    file.write(move |connection| async move { Ok(sqlx::query(sql).execute(connection).await?.rows_affected()) }.boxed())
        .await
}

#[tokio::test]
async fn its_connections_are_durable_and_its_readers_only_read() {
    let (_folder, _path, file) = file(FileBounds::default()).await;
    let settings: Result<(String, i64, i64), FileError> = file
        .write(|connection| {
            async move {
                let journal = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *connection).await?;
                let synchronous = sqlx::query_scalar("pragma synchronous").fetch_one(&mut *connection).await?;
                let references = sqlx::query_scalar("pragma foreign_keys").fetch_one(connection).await?;
                Ok((journal, synchronous, references))
            }
            .boxed()
        })
        .await;
    assert_eq!(settings.unwrap(), ("wal".to_owned(), 2, 1));
    assert_eq!(number(&file, "pragma query_only").await, 1);
    let written: Result<(), FileError> = file
        .read(|connection| {
            async move { Ok(sqlx::query("update counts set n = 9").execute(connection).await.map(drop)?) }.boxed()
        })
        .await;
    assert!(matches!(written, Err(FileError::Sqlite(_))), "{written:?}");
    assert_eq!(number(&file, "select n from counts").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn work_is_kept_whole_and_seen_at_once() {
    let (_folder, _path, file) = file(FileBounds::default()).await;
    let tasks = (0..40).map(|task| {
        let file = file.clone();
        tokio::spawn(async move {
            let done: Result<(), FileError> = file
                .write(move |connection| {
                    async move {
                        sqlx::query("update counts set n = n + 1").execute(&mut *connection).await?;
                        if task % 4 == 0 {
                            sqlx::query("insert into counts values (1, 1)").execute(connection).await?;
                        }
                        Ok(())
                    }
                    .boxed()
                })
                .await;
            assert_eq!(done.is_ok(), task % 4 != 0);
            done.is_ok()
        })
    });
    let kept = join_all(tasks).await.into_iter().filter(|done| *done.as_ref().unwrap()).count();
    assert_eq!(kept, 30);
    assert_eq!(number(&file, "select n from counts").await, 30);
}

#[tokio::test]
async fn its_queue_is_bounded_and_accepted_work_outlives_its_future() {
    let (_folder, _path, file) = file(FileBounds { queue: 2, group: 1, ..FileBounds::default() }).await;
    // One thread: the writer does not run between these calls.
    let answers = join_all((0..5).map(|_| write(&file, "update counts set n = n + 1"))).await;
    let refused =
        answers.iter().filter(|answer| matches!(answer, Err(FileError::Busy(wait)) if !wait.is_zero())).count();
    assert_eq!(refused, 3, "{answers:?}");
    let dropped = write(&file, "update counts set n = n + 10").now_or_never();
    assert!(dropped.is_none());
    assert_eq!(write(&file, "update counts set n = n + 100").await.unwrap(), 1);
    assert_eq!(number(&file, "select n from counts").await, 112);
}

#[tokio::test]
async fn its_schema_goes_forward_only() {
    let (_folder, path, file) = file(FileBounds::default()).await;
    write(&file, "update counts set n = 5").await.unwrap();
    file.close().await;
    let two = [SCHEMA, &["alter table counts add column more text"]].concat();
    let broken = [two.as_slice(), &["create table half (id integer); nonsense"]].concat();
    assert!(SqliteFile::open(&path, &broken, FileBounds::default()).await.is_err());
    let file = SqliteFile::open(&path, &two, FileBounds::default()).await.unwrap();
    assert_eq!(number(&file, "select n from counts where more is null").await, 5);
    assert_eq!(number(&file, "select count(*) from sqlite_schema").await, 1, "the broken version left something");
    file.close().await;
    let newer = SqliteFile::open(&path, SCHEMA, FileBounds::default()).await;
    assert!(matches!(newer, Err(FileError::Newer { found: 2, known: 1, .. })), "{newer:?}");
}

#[tokio::test]
async fn closing_finishes_what_was_accepted_and_refuses_the_rest() {
    let (_folder, path, file) = file(FileBounds::default()).await;
    let accepted = (0..10).map(|_| write(&file, "update counts set n = n + 1"));
    let (answers, ()) = tokio::join!(join_all(accepted), file.close());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let late = write(&file, "update counts set n = n + 1").await;
    assert!(matches!(late, Err(FileError::Closed)), "{late:?}");
    let late: Result<(), FileError> = file.read(|_| async { Ok(()) }.boxed()).await;
    assert!(matches!(late, Err(FileError::Closed)), "{late:?}");
    let again = SqliteFile::open(&path, SCHEMA, FileBounds::default()).await.unwrap();
    assert_eq!(number(&again, "select n from counts").await, 10);
}

#[tokio::test]
async fn another_process_that_holds_the_lock_is_waited_for_and_then_busy() {
    let bounds = FileBounds { wait: Duration::from_millis(200), ..FileBounds::default() };
    let (_folder, path, file) = file(bounds).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
    let refused = write(&file, "update counts set n = 1").await;
    assert!(matches!(refused, Err(FileError::Busy(_))), "{refused:?}");
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    assert_eq!(write(&file, "update counts set n = 1").await.unwrap(), 1);
}

#[tokio::test]
async fn who_reads_while_the_log_is_full_is_waited_for_by_the_next_write_alone() {
    let bounds = FileBounds { wait: Duration::from_secs(3600), log_bytes: 1 << 20, ..FileBounds::default() };
    let (_folder, path, file) = file(bounds).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut reader = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("begin; select n from counts").execute(&mut reader).await.unwrap();
    write(&file, "update counts set n = zeroblob(2000000)").await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(60), file.close()).await;
    closed.expect("the log is left to the next write, which there is none of");
}
