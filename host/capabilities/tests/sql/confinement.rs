//! What hostile SQL tries on the embedded backend, one by one: each is refused, in a query and in a batch, and whoever
//! uses the database beside it does not notice.

use std::time::{Duration, Instant};

use chassis_capabilities::sql::{ConstraintKind, Outbox, SqlBackend, SqlError, SqliteDatabase, Step, Value};
use chassis_config::plan::SqlPolicy;
use futures::future::join_all;
use sqlx::Connection as _;

use crate::escapes::{ESCAPES, NAMES_OF_OTHERS};
use crate::support::{
    event, is_syntax, is_too_large, keep, number, one_migration, open, place, policy, rows, run, statement, text,
};

const NOTES: &str = "create table notes (id integer primary key, body text) strict;
    create table counted (id integer primary key autoincrement) strict;
    create view bodies as select body from notes;";

/// A database with one note and one event, and its folder.
async fn database() -> (tempfile::TempDir, SqliteDatabase) {
    let (folder, path) = place();
    let database = open(&path, &policy(), &one_migration(NOTES)).await;
    let note = run("insert into notes (id, body) values (1, 'kept')", &[]);
    keep(&database, vec![note, Step::Publish(event("kept"))]).await;
    (folder, database)
}

/// Run a text by both doors; the batch also holds a good insert, of which nothing may remain.
async fn both(database: &SqliteDatabase, sql: &str) -> [Result<(), SqlError>; 2] {
    let query = database.query(statement(sql, &[])).await.map(drop);
    let good = run("insert into notes (id, body) values (50, 'lost')", &[]);
    let batch = database.batch(vec![good, run(sql, &[])]).await.map(drop);
    [query, batch]
}

async fn assert_untouched(database: &SqliteDatabase, sql: &str) {
    let all = rows(database, "select id, body from notes order by id").await;
    assert_eq!(all, [[Value::Integer(1), text("kept")]], "{sql}");
    assert_eq!(database.pending(10, u64::MAX).await.unwrap(), [event("kept")], "{sql}");
    let round =
        vec![run("insert into notes (id, body) values (2, 'x')", &[]), run("delete from notes where id = 2", &[])];
    keep(database, round).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_escape_is_denied() {
    let (folder, database) = database().await;
    let other = folder.path().join("other.db");
    open(&other, &policy(), &one_migration("create table secrets (word text)")).await.close().await;
    let (other, copy) = (other.display().to_string(), folder.path().join("copy.db").display().to_string());
    let attach = format!("attach database '{other}' as other");
    let vacuum_into = format!("vacuum into '{copy}'");
    let vacuum_main_into = format!("vacuum main into '{copy}'");
    let with_files = [attach.as_str(), vacuum_into.as_str(), vacuum_main_into.as_str()];
    for sql in with_files.iter().chain(ESCAPES).chain(NAMES_OF_OTHERS).copied() {
        for answer in both(&database, sql).await {
            // A few of them SQLite finds wrong before it asks whether they are permitted.
            let refused = matches!(answer, Err(SqlError::Denied(_))) || is_syntax(&answer);
            assert!(refused, "{sql}: {answer:?}");
            let is_known = !NAMES_OF_OTHERS.contains(&sql);
            if is_known && !sql.contains(';') && !sql.contains("sqlite_") && !sql.contains("returning") {
                assert!(matches!(answer, Err(SqlError::Denied(_))), "{sql}: {answer:?}");
            }
        }
        assert_untouched(&database, sql).await;
    }
    assert!(!folder.path().join("copy.db").exists());
}

#[tokio::test]
async fn what_a_guest_needs_is_permitted() {
    let (_folder, database) = database().await;
    for sql in [
        "select value from json_each('[1,2]')",
        "select json_extract('{\"a\":1}', '$.a')",
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 5) select sum(i) from n",
        "select body from bodies",
        "select count(*) over (order by id) from notes",
        "select id from notes where body like '%k%' order by id limit 1 offset 0",
        "select strftime('%Y', '2026-01-01'), lower('A'), coalesce(null, 1), length('rollback')",
        "values (1), (2)",
        "select 'chassis_outbox', \"id\" from notes",
    ] {
        for answer in both(&database, sql).await {
            assert_eq!(answer, Ok(()), "{sql}");
        }
        keep(&database, vec![run("delete from notes where id = 50", &[])]).await;
    }
    let upsert = "insert into notes (id, body) values ($1, $2) on conflict (id) do update set body = excluded.body returning body";
    let answers = keep(
        &database,
        vec![
            run(upsert, &[Value::Integer(1), text("new")]),
            run("replace into notes (id, body) values (1, 'newer')", &[]),
        ],
    )
    .await;
    assert_eq!(answers[0].rows, [[text("new")]]);
    keep(&database, vec![run("insert into counted default values", &[])]).await;
    assert_eq!(number(&database, "select count(*) from counted").await, 1);
}

#[tokio::test]
async fn a_boolean_is_stored_as_a_number() {
    let (_folder, database) = database().await;
    let found = database.query(statement("select $1, $2, typeof($1)", &[Value::Boolean(true), Value::Boolean(false)]));
    assert_eq!(found.await.unwrap().rows, [[Value::Integer(1), Value::Integer(0), text("integer")]]);
}

#[tokio::test]
async fn values_that_would_fill_the_memory_are_refused() {
    let (_folder, database) = database().await;
    let deep = format!("select {}1{}", "abs(".repeat(1000), ")".repeat(1000));
    let wide = format!("select {}", vec!["1"; 3000].join(", "));
    let long = format!("select 1 {}", "union all select 1 ".repeat(500));
    let sum = format!("select 1{}", " + 1".repeat(2000));
    for sql in [
        "select zeroblob(1000000000)",
        "select length(zeroblob(1000000000))",
        "select hex(randomblob(1000000000))",
        "with recursive s (t) as (select 'xxxxxxxx' union all select t || t from s) select max(length(t)) from s",
        "select group_concat(a.value || b.value || c.value) from json_each('[1,2,3,4,5,6,7,8,9,0]') a, json_each('[11,22,33,44,55]') b, (with recursive n (value) as (select 100000 union all select value + 1 from n where value < 200000) select value from n) c",
        &wide,
        &long,
        &sum,
    ] {
        for answer in both(&database, sql).await {
            assert!(is_too_large(&answer), "{}: {answer:?}", &sql[..sql.len().min(60)]);
        }
        assert_untouched(&database, &sql[..sql.len().min(60)]).await;
    }
    let padded = "select coalesce(length(printf('%.*c', 900000000, 'x')), 0)";
    assert_eq!(number(&database, padded).await, 0, "SQLite answers null where `printf` exceeds the limit");
    for answer in both(&database, &deep).await {
        assert!(is_too_large(&answer) || is_syntax(&answer), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn endless_statements_time_out_and_their_neighbours_do_not() {
    let (_folder, path) = place();
    let policy = SqlPolicy { timeout: Duration::from_millis(300), ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    keep(&database, vec![run("insert into notes (id, body) values (1, 'kept')", &[])]).await;
    let endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";
    let endless_insert =
        "insert into notes (body) with recursive n (i) as (select 1 union all select i + 1 from n) select 'x' from n";
    let endless_where = "update notes set body = 'x' where id in (with recursive n (i) as (select 2 union all select i + 1 from n) select i from n where i < 0)";
    let began = Instant::now();
    assert_eq!(database.query(statement(endless, &[])).await, Err(SqlError::Timeout));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let neighbours = (100..120).map(|id| {
        let database = database.clone();
        tokio::spawn(async move {
            let insert = run("insert into notes (id, body) values ($1, 'neighbour')", &[Value::Integer(id)]);
            database.batch(vec![insert]).await
        })
    });
    for answer in join_all(neighbours).await {
        assert!(answer.unwrap().is_ok());
    }
    for hog in [endless, endless_insert, endless_where] {
        let insert = run("insert into notes (id, body) values (50, 'lost')", &[]);
        assert_eq!(database.batch(vec![insert, run(hog, &[])]).await, Err(SqlError::Timeout), "{hog}");
    }
    assert_eq!(number(&database, "select count(*) from notes").await, 21);
    // All readers at once, and then they still read.
    let hogs = (0..8).map(|_| database.query(statement(endless, &[])));
    for answer in join_all(hogs).await {
        assert!(matches!(answer, Err(SqlError::Timeout | SqlError::Busy(_))), "{answer:?}");
    }
    assert_eq!(number(&database, "select count(*) from notes").await, 21);
}

/// SQLite's own functions of these names take minutes to hours here, and no deadline reaches into them.
#[tokio::test]
async fn one_call_of_a_function_does_not_outlast_the_deadline() {
    let (_folder, database) = database().await;
    let long = "with a (x) as (select printf('%.*c', 1000000, 'a')), b (y) as (select printf('%.*c', 500000, 'b'))";
    let began = Instant::now();
    for (sql, expected) in [
        (format!("{long} select instr(x, substr(x, 1, 500000) || 'b') from a"), 0),
        (format!("{long} select length(replace(x, substr(x, 1, 500000) || 'b', y)) from a, b"), 1_000_000),
        (format!("{long} select length(trim(x, y || 'c')) from a, b"), 1_000_000),
        (format!("{long} select length(trim(x, y || 'a')) from a, b"), 0),
        (format!("{long} select length(ltrim(x, y || 'a')) + length(rtrim(x, y || 'a')) from a, b"), 0),
        ("select instr('hällo', 'l') * 100 + instr(x'0102', x'02') * 10 + instr(1234, 34)".to_owned(), 323),
    ] {
        assert_eq!(number(&database, &sql).await, expected, "{sql}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let grown = database.query(statement(&format!("{long} select length(replace(x, 'a', y)) from a, b"), &[])).await;
    assert!(is_too_large(&grown), "{grown:?}");
}

/// Of SQLite's own, each of these calls takes seconds.
#[tokio::test]
async fn a_pattern_does_not_outlast_the_deadline() {
    let (_folder, path) = place();
    let policy = SqlPolicy { timeout: Duration::from_millis(200), ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    for compare in ["like", "glob"] {
        let pattern = "'%*' || substr(x, 1, 990) || 'b'";
        let calls = vec![format!("x {compare} {pattern}"); 10].join(" or ");
        let long = format!("with a (x) as materialized (select printf('%.*c', 2000000, 'a')) select {calls} from a");
        let began = Instant::now();
        for answer in both(&database, &long.replace("%*'", if compare == "like" { "%'" } else { "*'" })).await {
            assert_eq!(answer, Err(SqlError::Timeout));
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
    assert_eq!(number(&database, "select count(*) from notes").await, 0);
}

/// SQLite looks at the deadline where it jumps. Here it does not, and is done when it should have ended long before.
#[tokio::test]
async fn what_ends_after_its_deadline_is_a_timeout() {
    let (_folder, path) = place();
    let policy = SqlPolicy { timeout: Duration::from_millis(100), ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    let text = "'[' || replace(printf('%.*c', 900000, 'a'), 'a', '1,') || '1]'";
    // Each of another text, since SQLite remembers those that it has read.
    let calls: Vec<String> = (0..30).map(|spaces| format!("json_valid(x || '{}')", " ".repeat(spaces))).collect();
    let calls = calls.join(" + ");
    let late = format!("with a (x) as materialized (select {text}) select {calls} from a");
    for answer in both(&database, &late).await {
        assert_eq!(answer, Err(SqlError::Timeout));
    }
    // With the time that a look needs on a machine that is busy.
    let calm = open(&path, &self::policy(), &[]).await;
    assert_eq!(number(&calm, "select count(*) from notes").await, 0);
}

#[tokio::test]
async fn what_a_statement_does_between_two_jumps_is_bounded() {
    let (_folder, database) = database().await;
    let calls = |number: usize| format!("select {} from notes", vec!["length(body)"; number].join(", "));
    let list = |number: usize| format!("select id from notes where 1 in ({})", vec!["body"; number].join(", "));
    for sql in [calls(101), list(20_000)] {
        for answer in both(&database, &sql).await {
            assert!(is_too_large(&answer), "{}: {answer:?}", &sql[..60]);
        }
        assert_untouched(&database, &sql[..60]).await;
    }
    assert_eq!(rows(&database, &calls(100)).await.len(), 1);
    assert_eq!(rows(&database, &list(1000)).await.len(), 0);
}

#[tokio::test]
async fn a_component_does_not_fill_the_disk() {
    let (_folder, path) = place();
    let policy = SqlPolicy { database_bytes: 1 << 20, ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    let insert = || database.batch(vec![run("insert into notes (body) values (printf('%.*c', 100000, 'x'))", &[])]);
    let mut kept = 0;
    let refused = loop {
        match insert().await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 20, "{kept} notes of 100 kB in a database of a megabyte");
    };
    assert!(matches!(refused, SqlError::Busy(_)), "{refused:?}");
    assert!(kept > 5 && std::fs::metadata(&path).unwrap().len() <= 1 << 20);
    assert_eq!(number(&database, "select count(*) from notes").await, kept);
    keep(&database, vec![run("delete from notes", &[])]).await;
    assert!(insert().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_query_that_nobody_waits_for_frees_its_connection() {
    let (_folder, path) = place();
    let policy = SqlPolicy { readers: 1, timeout: Duration::from_secs(60), ..policy() };
    let database = open(&path, &policy, &one_migration(NOTES)).await;
    let endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";
    let abandoned = tokio::time::timeout(Duration::from_millis(100), database.query(statement(endless, &[]))).await;
    assert!(abandoned.is_err());
    let began = Instant::now();
    assert_eq!(number(&database, "select count(*) from notes").await, 0);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn references_left_open_are_refused() {
    let (_folder, path) = place();
    let schema = "create table parents (id integer primary key) strict;
        create table children (
            id integer primary key,
            parent integer references parents (id) deferrable initially deferred
        ) strict;";
    let database = open(&path, &policy(), &one_migration(schema)).await;
    let parent = |id: i64| run("insert into parents (id) values ($1)", &[Value::Integer(id)]);
    let child = |id: i64| run("insert into children (id, parent) values ($1, $1)", &[Value::Integer(id)]);
    // Violated in between, and not at the end.
    keep(&database, vec![child(1), parent(1)]).await;
    let good = database.batch(vec![parent(2)]);
    let bad = database.batch(vec![child(3), Step::Publish(event("lost"))]);
    let good_too = database.batch(vec![child(2)]);
    let (good, bad, good_too) = tokio::join!(good, bad, good_too);
    assert!(good.is_ok() && good_too.is_ok());
    assert!(matches!(bad, Err(SqlError::Constraint { kind: ConstraintKind::ForeignKey, .. })), "{bad:?}");
    assert_eq!(number(&database, "select count(*) from children").await, 2);
    assert_eq!(database.pending(10, u64::MAX).await.unwrap(), []);
}

/// A schema that was made before it came under the host's care may hold what a migration may not.
#[tokio::test]
async fn a_schema_that_rolls_back_harms_no_neighbour() {
    let (_folder, path) = place();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut foreign = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let schema = "create table notes (id integer primary key on conflict rollback, body text);
        create table orders (id integer);
        create trigger refuse before insert on orders when new.id < 0 begin select raise(rollback, 'negative'); end;";
    sqlx::raw_sql(schema).execute(&mut foreign).await.unwrap();
    foreign.close().await.unwrap();
    let database = open(&path, &policy(), &[]).await;
    let note = |id: i64| run("insert into notes (id, body) values ($1, 'x')", &[Value::Integer(id)]);
    let order = |id: i64| run("insert into orders (id) values ($1)", &[Value::Integer(id)]);
    keep(&database, vec![note(1), order(1)]).await;
    let batches = vec![
        vec![note(2)],
        vec![note(3), note(1)],
        vec![note(4), Step::Publish(event("kept"))],
        vec![order(5), order(-1)],
        vec![note(6)],
        vec![note(7), note(7)],
    ];
    let answers = join_all(batches.into_iter().map(|steps| database.batch(steps))).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false, true, false]);
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(matches!(answer, Err(SqlError::Constraint { .. })), "{answer:?}");
    }
    let ids = rows(&database, "select id from notes order by id").await;
    assert_eq!(ids, [1, 2, 4, 6].map(|id| vec![Value::Integer(id)]));
    assert_eq!(number(&database, "select count(*) from orders").await, 1);
    assert_eq!(database.pending(10, u64::MAX).await.unwrap().len(), 1);
}
