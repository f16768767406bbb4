//! Migrations of the embedded backend.

use std::path::Path;
use std::sync::Arc;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::sql::{Migration, OpenError, SqlBackend, SqlError, SqliteDatabase};

use crate::support::{keep, number, open, place, policy, rows, run, statement, text};

fn migrations(files: &[(&str, &str)]) -> Vec<Migration> {
    Migration::parse_all(files.iter().copied()).unwrap()
}

async fn try_open(path: &Path, files: &[(&str, &str)]) -> Result<SqliteDatabase, OpenError> {
    SqliteDatabase::open(path, &policy(), &migrations(files), Arc::new(SystemClock)).await
}

const START: (&str, &str) = ("0001_start.sql", "create table notes (id integer primary key, body text);");
const TAGS: (&str, &str) =
    ("0002_tags.sql", "create table tags (id integer primary key); insert into tags values (7);");
const LESS: (&str, &str) = ("0003_less.sql", "-- contract\nalter table notes drop column body;");

#[tokio::test]
async fn pending_ones_are_applied_once_and_in_order() {
    let (_folder, path) = place();
    let database = try_open(&path, &[START]).await.unwrap();
    keep(&database, vec![run("insert into notes (id, body) values (1, 'x')", &[])]).await;
    database.close().await;
    for _ in 0..2 {
        let database = try_open(&path, &[START, TAGS]).await.unwrap();
        assert_eq!(number(&database, "select count(*) from tags").await, 1);
        assert_eq!(number(&database, "select count(*) from notes").await, 1);
        database.close().await;
    }
}

#[tokio::test]
async fn a_database_in_use_is_migrated() {
    let (_folder, path) = place();
    let database = try_open(&path, &[START]).await.unwrap();
    keep(&database, vec![run("insert into notes (id, body) values (1, 'x')", &[])]).await;
    let all = statement("select * from notes where id = 99", &[]);
    assert_eq!(database.query(all.clone()).await.unwrap().columns, ["id", "body"]);
    database
        .migrate(&migrations(&[START, TAGS, ("0003_more.sql", "alter table notes add column more text;")]))
        .await
        .unwrap();
    assert_eq!(database.query(all).await.unwrap().columns, ["id", "body", "more"]);
    keep(&database, vec![run("insert into notes (id, more) values (2, 'y')", &[])]).await;
    assert_eq!(number(&database, "select id from tags").await, 7);
}

#[tokio::test]
async fn tables_that_check_their_rows_can_be_changed() {
    let (_folder, path) = place();
    let files = [
        ("0001_start.sql", "create table notes (id integer primary key, body text check (body <> '')) strict;"),
        ("0002_row.sql", "insert into notes (id, body) values (1, 'x');"),
        ("0003_more.sql", "alter table notes add column more text;"),
        ("0004_level.sql", "alter table notes add column level integer not null default 3 check (level > 0);"),
        ("0005_text.sql", "alter table notes rename column body to text; alter table notes rename to letters;"),
        ("0006_less.sql", "-- contract\nalter table letters drop column more;"),
    ];
    let database = try_open(&path, &files).await.unwrap();
    assert_eq!(number(&database, "select level from letters where text = 'x'").await, 3);
    database.close().await;
    // What does not fit the rows that are there is refused all the same.
    let unfit = ("0007_unfit.sql", "alter table letters add column high integer default 1 check (high > 1);");
    let error = try_open(&path, &[&files[..], &[unfit]].concat()).await.err().unwrap();
    assert!(error.to_string().contains("0007_unfit.sql: ") && error.to_string().contains("CHECK"), "{error}");
}

#[tokio::test]
async fn a_changed_one_is_refused_by_name() {
    let (_folder, path) = place();
    try_open(&path, &[START, TAGS]).await.unwrap().close().await;
    let edited = ("0002_tags.sql", "create table tags (id integer primary key, name text);");
    let renamed = ("0002_labels.sql", TAGS.1);
    for changed in [edited, renamed] {
        let error = try_open(&path, &[START, changed]).await.unwrap_err();
        assert!(matches!(error, OpenError::Changed { .. }), "{error}");
        assert!(error.to_string().contains(changed.0), "{error}");
    }
}

#[tokio::test]
async fn unknown_expands_are_fine_and_unknown_contracts_are_not() {
    let (_folder, path) = place();
    try_open(&path, &[START, TAGS]).await.unwrap().close().await;
    try_open(&path, &[START]).await.unwrap().close().await;
    try_open(&path, &[START, TAGS, LESS]).await.unwrap().close().await;
    let error = try_open(&path, &[START, TAGS]).await.unwrap_err();
    assert!(matches!(error, OpenError::UnknownContract { .. }), "{error}");
    assert!(error.to_string().contains("0003_less.sql"), "{error}");
    try_open(&path, &[START, TAGS, LESS]).await.unwrap();
}

#[tokio::test]
async fn a_broken_one_leaves_everything_as_it_was() {
    let (_folder, path) = place();
    let database = try_open(&path, &[START]).await.unwrap();
    keep(&database, vec![run("insert into notes (id, body) values (1, 'x')", &[])]).await;
    let broken = ("0003_broken.sql", "insert into notes (id) values (2); insert into nowhere values (1);");
    let error = database.migrate(&migrations(&[START, TAGS, broken])).await.unwrap_err();
    assert!(error.to_string().contains("0003_broken.sql") && error.to_string().contains("nowhere"), "{error}");
    assert_eq!(number(&database, "select count(*) from notes").await, 1);
    let tags = database.query(statement("select id from tags", &[])).await;
    assert!(matches!(tags, Err(SqlError::Syntax(_))), "0002 went with it: {tags:?}");
    keep(&database, vec![run("insert into notes (id, body) values (2, 'y')", &[])]).await;
    database.close().await;
    let error = try_open(&path, &[START, TAGS, broken]).await.unwrap_err();
    assert!(error.to_string().contains("0003_broken.sql"), "{error}");
    let database = try_open(&path, &[START, TAGS]).await.unwrap();
    assert_eq!(number(&database, "select count(*) from notes").await, 2);
}

#[tokio::test]
async fn a_migration_may_change_its_schema_and_nothing_else() {
    let (folder, path) = place();
    let copy = folder.path().join("copy.db").display().to_string();
    let (attach, vacuum) = (format!("attach '{copy}' as other"), format!("vacuum into '{copy}'"));
    for sql in [
        attach.as_str(),
        vacuum.as_str(),
        "vacuum",
        "commit",
        "create table half (id integer); commit; insert into nowhere values (1)",
        "begin",
        "savepoint mine",
        "release batch",
        "pragma journal_mode = delete",
        "pragma synchronous = off",
        "pragma user_version = 3",
        "pragma writable_schema = on",
        "create table chassis_more (id integer)",
        "create table mine (id integer); alter table mine rename to chassis_mine",
        "create index chassis_index on notes (body)",
        "create index mine on chassis_outbox (id)",
        "create trigger mine after insert on chassis_outbox begin delete from notes; end",
        "create trigger chassis_trigger after insert on notes begin delete from notes; end",
        "alter table chassis_outbox add column more text",
        "drop table chassis_outbox",
        "delete from chassis_migrations",
        "insert into chassis_outbox (id, envelope) values ('x', 'x')",
        "insert into notes (body) select name from chassis_migrations",
        "insert into sqlite_schema values ('table', 'x', 'x', 0, 'x')",
        "create virtual table words using fts5(body)",
        "create temp table mine (id integer)",
        "select load_extension('libc.so.6')",
    ] {
        let error = try_open(&path, &[START, ("0002_hostile.sql", sql)]).await;
        let error = error.err().unwrap_or_else(|| panic!("{sql} was applied"));
        assert!(error.to_string().contains("0002_hostile.sql"), "{sql}: {error}");
    }
    assert!(!folder.path().join("copy.db").exists());
    let database = try_open(&path, &[START]).await.unwrap();
    assert_eq!(number(&database, "select count(*) from notes").await, 0);
}

/// A view may name the host's tables; reading it is refused when it is read.
#[tokio::test]
async fn a_view_or_trigger_does_not_reach_the_hosts_tables() {
    let (_folder, path) = place();
    let peek = "create view peek as select envelope from chassis_outbox;
        create trigger erase after delete on notes begin delete from chassis_outbox; end;";
    let database = try_open(&path, &[START, ("0002_peek.sql", peek)]).await.unwrap();
    keep(&database, vec![run("insert into notes (id) values (1)", &[])]).await;
    let answer = database.query(statement("select * from peek", &[])).await;
    assert!(matches!(answer, Err(SqlError::Denied(_))), "{answer:?}");
    let answer = database.batch(vec![run("delete from notes", &[])]).await;
    assert!(matches!(answer, Err(SqlError::Denied(_))), "{answer:?}");
    assert_eq!(number(&database, "select count(*) from notes").await, 1);
}

#[tokio::test]
async fn a_table_is_rebuilt_without_losing_what_refers_to_it() {
    let (_folder, path) = place();
    let start = (
        "0001_start.sql",
        "create table users (id integer primary key, name text);
         create table pets (id integer primary key, owner integer not null references users (id) on delete cascade);
         insert into users values (1, 'a'); insert into pets values (1, 1);",
    );
    let rebuild = (
        "0002_rebuild.sql",
        "create table users_new (id integer primary key, name text not null);
         insert into users_new select id, name from users;
         drop table users;
         alter table users_new rename to users;",
    );
    let database = try_open(&path, &[start, rebuild]).await.unwrap();
    assert_eq!(rows(&database, "select name from users").await, [[text("a")]]);
    assert_eq!(number(&database, "select count(*) from pets").await, 1);
    keep(&database, vec![run("delete from users", &[])]).await;
    assert_eq!(number(&database, "select count(*) from pets").await, 0, "references hold again");
    let orphan = ("0003_orphan.sql", "insert into pets values (5, 99);");
    let error = database.migrate(&migrations(&[start, rebuild, orphan])).await.unwrap_err();
    assert!(error.to_string().contains("0003_orphan.sql") && error.to_string().contains("pets"), "{error}");
}

#[tokio::test]
async fn one_behind_those_that_are_applied_is_refused() {
    let (_folder, path) = place();
    try_open(&path, &[START, TAGS]).await.unwrap().close().await;
    // Another history took the number 2 away and put it back: only a file edited by hand looks so.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut foreign = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("delete from chassis_migrations where number = 1").execute(&mut foreign).await.unwrap();
    <sqlx::SqliteConnection as sqlx::Connection>::close(foreign).await.unwrap();
    let error = try_open(&path, &[START, TAGS]).await.unwrap_err();
    assert!(matches!(error, OpenError::OutOfOrder { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let (folder, path) = place();
    tokio::fs::write(&path, b"these are no pages of a database, but a letter to a friend").await.unwrap();
    let error = try_open(&path, &[START]).await.unwrap_err();
    assert!(error.to_string().contains("data.db"), "{error}");
    assert!(tokio::fs::read(&path).await.unwrap().starts_with(b"these are"));
    let nowhere = folder.path().join("data.db").join("below-a-file.db");
    assert!(try_open(&nowhere, &[START]).await.is_err());
}

#[tokio::test]
async fn the_file_is_the_hosts_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = place();
    let database = open(&path, &policy(), &migrations(&[START])).await;
    keep(&database, vec![run("insert into notes (id) values (1)", &[])]).await;
    for name in ["data.db", "data.db-wal", "data.db-shm"] {
        let mode = tokio::fs::metadata(path.with_file_name(name)).await.unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
