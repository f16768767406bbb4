//! Batches on SQLite itself, opened and read in the way of Spin: the same library, the same messages.

use std::cell::{Cell, RefCell};
use std::path::Path;

use futures::executor::block_on;
use jiff::Timestamp;
use proptest::prelude::*;

use super::super::connection::{take_row, to_spin};
use super::*;
use crate::bindings::sql::{ConstraintKind, Guarded};
use crate::bindings::sqlite;
use crate::bindings::types::Event;

/// A connection like those of Spin, which can be told to fail.
struct Native {
    connection: rusqlite::Connection,
    texts: RefCell<Vec<String>>,
    /// What the commit answers in place of being done, once.
    commit_fails: RefCell<Option<String>>,
    /// Whether what fails is nevertheless done.
    commit_is_done: Cell<bool>,
}

impl Native {
    fn open(path: &Path) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(std::time::Duration::from_millis(50)).unwrap();
        Self {
            connection,
            texts: RefCell::default(),
            commit_fails: RefCell::default(),
            commit_is_done: Cell::default(),
        }
    }

    fn rows(&self, text: &str, params: &[Value], budget: &mut Budget) -> Result<Answer, Failure> {
        let io = |error: rusqlite::Error| Failure::Spin(sqlite::Error::Io(error.to_string()));
        let mut statement = self.connection.prepare(text).map_err(io)?;
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let params = params.iter().map(|value| match to_spin(value) {
            sqlite::Value::Null => rusqlite::types::Value::Null,
            sqlite::Value::Integer(integer) => rusqlite::types::Value::Integer(integer),
            sqlite::Value::Real(real) => rusqlite::types::Value::Real(real),
            sqlite::Value::Text(text) => rusqlite::types::Value::Text(text),
            sqlite::Value::Blob(blob) => rusqlite::types::Value::Blob(blob),
        });
        let mut found = statement.query(rusqlite::params_from_iter(params)).map_err(io)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(io)? {
            let values = (0..columns.len()).map(|index| match row.get_ref_unwrap(index) {
                rusqlite::types::ValueRef::Null => sqlite::Value::Null,
                rusqlite::types::ValueRef::Integer(integer) => sqlite::Value::Integer(integer),
                rusqlite::types::ValueRef::Real(real) => sqlite::Value::Real(real),
                rusqlite::types::ValueRef::Text(text) => sqlite::Value::Text(String::from_utf8(text.to_vec()).unwrap()),
                rusqlite::types::ValueRef::Blob(blob) => sqlite::Value::Blob(blob.to_vec()),
            });
            rows.push(take_row(values.collect(), budget)?);
        }
        Ok(Answer { columns, rows })
    }

    /// What one statement of ours answers, by a connection of its own.
    fn ask(path: &Path, text: &str) -> Vec<Vec<Value>> {
        Self::open(path).rows(text, &[], &mut Budget::full()).unwrap().rows
    }
}

impl Connection for Native {
    async fn execute(&self, text: &str, params: &[Value], budget: &mut Budget) -> Result<Answer, Failure> {
        self.texts.borrow_mut().push(text.to_owned());
        if text == "commit"
            && let Some(message) = self.commit_fails.take()
        {
            if self.commit_is_done.get() {
                self.rows(text, params, budget)?;
            }
            return Err(Failure::Spin(sqlite::Error::Io(message)));
        }
        self.rows(text, params, budget)
    }

    async fn changes(&self) -> u64 {
        self.connection.changes()
    }
}

const SCHEMA: &str = "
create table account (id text primary key, free integer not null check (free >= 0), email text) strict;
create unique index account_email on account (lower(email));
create table booking (
    id integer primary key, account text references account (id), note text unique,
    later text references account (id) deferrable initially deferred
) strict;
insert into account values ('a', 10, 'A@example.com'), ('b', 0, null);
create table audit (what text) strict;
create trigger forbidden before insert on booking when new.note = 'no' begin select raise(abort, 'not this one'); end;
create trigger undone before insert on booking when new.note = 'undo' begin select raise(rollback, 'all of it'); end;";

struct Database {
    folder: tempfile::TempDir,
}

impl Database {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Self { folder };
        Native::open(&database.path()).connection.execute_batch(SCHEMA).unwrap();
        database
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("test.db")
    }

    fn open(&self) -> Native {
        Native::open(&self.path())
    }

    fn batch(&self, steps: Vec<Step>) -> Result<Vec<RowSet>, Error> {
        block_on(batch(&self.open(), &checked(steps)?))
    }

    fn query(&self, text: &str, params: Vec<Value>) -> Result<RowSet, Error> {
        block_on(query(&self.open(), Statement { text: text.to_owned(), params }))
    }

    /// Everything that a batch could have changed.
    fn content(&self) -> Vec<Vec<Vec<Value>>> {
        let all = ["select * from account order by id", "select * from booking", "select * from audit"];
        let mut content: Vec<_> = all.iter().map(|text| Native::ask(&self.path(), text)).collect();
        content.push(Native::ask(&self.path(), "select name from sqlite_schema order by name"));
        content
    }
}

fn at() -> Stamp {
    Stamp { now: "2026-03-01T12:00:00.25Z".parse().unwrap(), random: [7; 10] }
}

fn checked(steps: Vec<Step>) -> Result<Vec<CheckedStep>, Error> {
    let mut count = 0;
    check_steps("shop", steps, || {
        count += 1;
        Ok(Stamp { random: [count; 10], ..at() })
    })
}

fn run_step(text: &str, params: Vec<Value>) -> Step {
    Step::Run(Guarded { statement: Statement { text: text.to_owned(), params }, expect: None })
}

fn expecting(text: &str, expect: Expectation) -> Step {
    let statement = Statement { text: text.to_owned(), params: Vec::new() };
    Step::Run(Guarded { statement, expect: Some(expect) })
}

fn event(event_type: &str) -> Event {
    Event {
        event_type: event_type.to_owned(),
        subject: Some("a".to_owned()),
        data: "{\"free\":9}".to_owned(),
        delay_ms: None,
        priority: None,
        dedup_key: None,
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn a_batch_is_kept_as_a_whole_with_its_events() {
    let database = Database::new();
    let answers = database
        .batch(vec![
            run_step(
                "update account set free = free - $2 where id = $1 and free >= $2",
                vec![text("a"), Value::Integer(1)],
            ),
            Step::Publish(event("account.booked")),
            run_step(
                "insert into booking (account, note) values ($1, $2) returning id, note",
                vec![text("a"), text("x")],
            ),
            expecting("select free from account where id = 'a'", Expectation::SomeRows),
            Step::Publish(Event { delay_ms: Some(1500), priority: Some(9), ..event("account.later") }),
        ])
        .unwrap();
    let affected: Vec<u64> = answers.iter().map(|answer| answer.affected).collect();
    assert_eq!(affected, [1, 1, 0]);
    assert_eq!(answers[1].columns, ["id", "note"]);
    assert_eq!(answers[1].rows, [[Value::Integer(1), text("x")]]);
    assert_eq!(answers[2].rows, [[Value::Integer(9)]]);
    let rows = Native::ask(&database.path(), "select sequence, id, envelope from chassis_outbox order by sequence");
    let [first, second] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(first[0], Value::Integer(1));
    let (Value::Text(id), Value::Text(envelope)) = (&first[1], &first[2]) else { panic!("{first:?}") };
    let envelope: serde_json::Value = serde_json::from_str(envelope).unwrap();
    assert_eq!(
        envelope,
        serde_json::json!({
            "id": id, "source": "/components/shop", "event_type": "account.booked", "subject": "a",
            "time": "2026-03-01T12:00:00.25Z", "data": "{\"free\":9}", "not_before": null, "priority": 4,
            "dedup_key": null, "traceparent": null,
        })
    );
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7);
    let Value::Text(envelope) = &second[2] else { panic!("{second:?}") };
    assert!(envelope.contains("\"not_before\":\"2026-03-01T12:00:01.75Z\",\"priority\":9"), "{envelope}");
}

/// Whatever ends a batch, nothing of it is kept: neither rows, nor events, nor the outbox's table.
#[test]
fn a_batch_that_fails_at_any_step_keeps_nothing() {
    let constraint = |kind, table: &str, columns: &[&str]| {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Error::Constraint(ConstraintViolation { kind, table: table.to_owned(), columns })
    };
    let none = |kind| constraint(kind, "", &[]);
    for (last, expected) in [
        (expecting("delete from account where id = 'z'", Expectation::Affected(1)), Error::Guard(2)),
        (expecting("delete from account where id = 'z'", Expectation::AffectedAtLeast(1)), Error::Guard(2)),
        (expecting("select 1", Expectation::NoRows), Error::Guard(2)),
        (expecting("select 1 where 0", Expectation::SomeRows), Error::Guard(2)),
        (
            run_step("insert into account values ('a', 1, null)", vec![]),
            constraint(ConstraintKind::Unique, "account", &["id"]),
        ),
        (
            run_step("insert into booking (note) values ('x'), ('x')", vec![]),
            constraint(ConstraintKind::Unique, "booking", &["note"]),
        ),
        (
            run_step("insert into account values ('c', 1, 'a@EXAMPLE.com')", vec![]),
            constraint(ConstraintKind::Unique, "account", &[]),
        ),
        (
            run_step("insert into account values ('c', null, null)", vec![]),
            constraint(ConstraintKind::NotNull, "account", &["free"]),
        ),
        (run_step("update account set free = free - 20", vec![]), none(ConstraintKind::Check)),
        (run_step("insert into booking (account) values ('nobody')", vec![]), none(ConstraintKind::ForeignKey)),
        (run_step("insert into booking (later) values ('nobody')", vec![]), none(ConstraintKind::ForeignKey)),
        (
            run_step("insert into account values ('c', 'x', null)", vec![]),
            constraint(ConstraintKind::Check, "account", &["free"]),
        ),
        (run_step("insert into booking (note) values ('no')", vec![]), Error::Internal("not this one".to_owned())),
        (run_step("insert into booking (note) values ('undo')", vec![]), Error::Internal("all of it".to_owned())),
        (run_step("insert into nowhere values (1)", vec![]), Error::Syntax("no such table: nowhere".to_owned())),
        (run_step("insert into account valyes (1)", vec![]), Error::Syntax("near \"valyes\": syntax error".to_owned())),
    ] {
        let database = Database::new();
        let before = database.content();
        let first = run_step("update account set free = free - 1 where id = 'a'", vec![]);
        let answer = database.batch(vec![first, Step::Publish(event("account.booked")), last.clone()]);
        assert_eq!(answer, Err(expected), "{last:?}");
        assert_eq!(database.content(), before, "{last:?}");
    }
}

/// Spin may hand the connection on: it is not only its closing that ends what was begun.
#[test]
fn a_batch_that_fails_leaves_no_transaction_behind() {
    let database = Database::new();
    let connection = database.open();
    let failing = expecting("select 1", Expectation::NoRows);
    let steps = checked(vec![run_step("delete from booking", vec![]), failing]).unwrap();
    assert_eq!(block_on(batch(&connection, &steps)), Err(Error::Guard(1)));
    assert!(connection.connection.is_autocommit());
    database.batch(vec![run_step("delete from booking", vec![])]).unwrap();
    connection.commit_fails.replace(Some("database is locked".to_owned()));
    let steps = checked(vec![run_step("delete from booking", vec![])]).unwrap();
    assert!(matches!(block_on(batch(&connection, &steps)), Err(Error::Busy(_))));
    assert!(connection.connection.is_autocommit());
}

#[test]
fn what_cannot_run_is_refused_before_anything_is_begun() {
    let database = Database::new();
    for last in [
        run_step("commit", vec![]),
        run_step("select 1; select 2", vec![]),
        run_step("select $1", vec![]),
        Step::Publish(Event { data: "{".to_owned(), ..event("x") }),
        Step::Publish(event("")),
        Step::Publish(event("no spaces")),
        Step::Publish(Event { priority: Some(10), ..event("x") }),
        Step::Publish(Event { delay_ms: Some(u64::MAX), ..event("x") }),
        Step::Publish(Event { subject: Some("x".repeat(257)), ..event("x") }),
        Step::Publish(Event { data: format!("\"{}\"", "x".repeat(256 << 10)), ..event("x") }),
    ] {
        let steps = vec![run_step("delete from booking", vec![]), last];
        let answer = database.batch(steps.clone());
        assert!(
            matches!(answer, Err(Error::Syntax(_) | Error::Denied(_) | Error::TooLarge(_))),
            "{steps:?}: {answer:?}"
        );
    }
    let many = vec![run_step("select 1", vec![]); STEPS_MAX + 1];
    assert!(matches!(database.batch(many), Err(Error::TooLarge(_))));
    assert_eq!(database.batch(vec![]), Ok(vec![]));
}

#[test]
fn parameters_are_found_by_their_number() {
    let database = Database::new();
    let answer = database.query("select $2, $1, $2", vec![text("one"), Value::Integer(2)]).unwrap();
    assert_eq!(answer.rows, [[Value::Integer(2), text("one"), Value::Integer(2)]]);
}

#[test]
fn values_keep_their_types() {
    let database = Database::new();
    let values = vec![
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Real(0.1),
        text("ä\u{1f600}'\0"),
        Value::Blob(vec![0, 255, 0]),
        text(""),
    ];
    let answer = database.query("select $1, $2, $3, $4, $5, $6", values.clone()).unwrap();
    assert_eq!(answer.rows, [values]);
    let answer = database.query("select $1, $2", vec![Value::Boolean(true), Value::Boolean(false)]).unwrap();
    assert_eq!(answer.rows, [[Value::Integer(1), Value::Integer(0)]]);
}

#[test]
fn a_query_reads() {
    let database = Database::new();
    let before = database.content();
    for statement in [
        "delete from account",
        "with a as (select 1) delete from account returning id",
        "insert into account values ('c', 1, null) returning id",
        "replace into account values ('a', 1, null)",
    ] {
        assert_eq!(database.query(statement, vec![]), Err(Error::ReadOnly), "{statement}");
    }
    assert_eq!(database.content(), before);
    let empty = database.query("select id, free from account where 0", vec![]).unwrap();
    assert_eq!((empty.columns, empty.rows), (vec!["id".to_owned(), "free".to_owned()], vec![]));
}

#[test]
fn answers_have_bounds() {
    let database = Database::new();
    let count = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
    assert!(matches!(database.query(count, vec![]), Err(Error::TooLarge(_))));
    let wide = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20) select hex(zeroblob(500000)) from n";
    assert!(matches!(database.query(wide, vec![]), Err(Error::TooLarge(_))));
    // The bounds are those of a batch, not those of a step.
    let half = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 6000) select i from n";
    let before = database.content();
    let steps =
        vec![run_step("delete from account where id = 'b'", vec![]), run_step(half, vec![]), run_step(half, vec![])];
    assert!(matches!(database.batch(steps), Err(Error::TooLarge(_))));
    assert_eq!(database.content(), before);
}

#[test]
fn another_writer_makes_a_batch_busy() {
    let database = Database::new();
    let other = database.open();
    other.connection.execute_batch("begin immediate").unwrap();
    let answer = database.batch(vec![run_step("delete from booking", vec![])]);
    assert!(matches!(answer, Err(Error::Busy(_))), "{answer:?}");
    other.connection.execute_batch("commit").unwrap();
    database.batch(vec![run_step("delete from booking", vec![])]).unwrap();
}

#[test]
fn a_reader_in_the_way_of_a_commit_makes_it_busy_and_nothing_is_kept() {
    let database = Database::new();
    let before = database.content();
    let reader = database.open();
    reader.connection.execute_batch("begin; select * from account").unwrap();
    let answer = database.batch(vec![run_step("delete from account where id = 'b'", vec![])]);
    assert!(matches!(answer, Err(Error::Busy(_))), "{answer:?}");
    reader.connection.execute_batch("commit").unwrap();
    assert_eq!(database.content(), before);
}

#[test]
fn a_commit_without_an_answer_is_said_to_be_unknown() {
    for done in [false, true] {
        let database = Database::new();
        let connection = database.open();
        connection.commit_fails.replace(Some("disk I/O error".to_owned()));
        connection.commit_is_done.set(done);
        let steps = checked(vec![run_step("delete from account where id = 'b'", vec![])]).unwrap();
        assert_eq!(block_on(batch(&connection, &steps)), Err(Error::OutcomeUnknown));
        let left = Native::ask(&database.path(), "select count(*) from account");
        assert_eq!(left, [[Value::Integer(if done { 1 } else { 2 })]], "there is no transaction left open");
    }
}

#[test]
fn a_batch_is_one_transaction_that_takes_the_lock_first() {
    let database = Database::new();
    let connection = database.open();
    let steps = checked(vec![run_step("delete from booking", vec![]), run_step("delete from audit", vec![])]).unwrap();
    block_on(batch(&connection, &steps)).unwrap();
    assert_eq!(*connection.texts.borrow(), ["begin immediate", "delete from booking", "delete from audit", "commit"]);
}

#[test]
fn a_full_outbox_is_busy_and_lets_other_batches_through() {
    let database = Database::new();
    database.batch(vec![Step::Publish(event("first"))]).unwrap();
    let fill = format!(
        "insert into chassis_outbox (sequence, id, envelope) values ({}, 'x', '{{}}')",
        outbox::EVENTS_WAITING_MAX
    );
    database.open().connection.execute_batch(&fill).unwrap();
    let answer = database.batch(vec![run_step("delete from account", vec![]), Step::Publish(event("more"))]);
    assert!(matches!(answer, Err(Error::Busy(_))), "{answer:?}");
    database.batch(vec![run_step("delete from booking", vec![])]).unwrap();
    database.open().connection.execute_batch("delete from chassis_outbox where sequence = 1").unwrap();
    database.batch(vec![Step::Publish(event("more"))]).unwrap();
}

#[test]
fn an_event_is_taken_back_while_it_is_delayed() {
    let database = Database::new();
    let steps =
        checked(vec![Step::Publish(event("now")), Step::Publish(Event { delay_ms: Some(250), ..event("later") })])
            .unwrap();
    let ids: Vec<String> = steps.iter().cloned().filter_map(CheckedStep::into_event_id).collect();
    block_on(batch(&database.open(), &steps)).unwrap();
    let take_back = |index: usize, now: &str| {
        let now: Timestamp = now.parse().unwrap();
        block_on(outbox::take_back(&database.open(), ids[index].clone(), now)).unwrap()
    };
    assert!(!take_back(0, "2026-03-01T12:00:00.25Z"), "it was never delayed");
    assert!(!take_back(1, "2026-03-01T12:00:00.5Z"), "it is due");
    assert!(!take_back(1, "2026-03-01T12:00:01Z"), "it is due");
    assert!(take_back(1, "2026-03-01T12:00:00.25Z"));
    assert!(!take_back(1, "2026-03-01T12:00:00.25Z"), "it is gone");
}

#[test]
fn two_batches_do_not_pass_the_same_guard() {
    let database = Database::new();
    let take = || {
        let path = database.path();
        std::thread::spawn(move || {
            let statement = "update account set free = free - 1 where id = 'a' and free >= 1";
            let steps = checked(vec![expecting(statement, Expectation::Affected(1))]).unwrap();
            let mut taken = 0;
            for _ in 0..10 {
                let connection = Native::open(&path);
                connection.connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                match block_on(batch(&connection, &steps)) {
                    Ok(_) => taken += 1,
                    Err(Error::Guard(0)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            taken
        })
    };
    let threads: Vec<_> = (0..4).map(|_| take()).collect();
    let taken: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(taken, 10);
}

/// A step that adds, refuses or publishes.
#[derive(Debug, Clone)]
enum Act {
    Add(i64),
    Publish,
    Fail,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any sequence of batches, there is what those that were answered with success have done, and nothing else.
    #[test]
    fn data_and_events_are_kept_together(
        batches in proptest::collection::vec(
            proptest::collection::vec(
                prop_oneof![4 => (0..50_i64).prop_map(Act::Add), 2 => Just(Act::Publish), 1 => Just(Act::Fail)], 0..5),
            0..8),
    ) {
        let database = Database::new();
        let (mut sum, mut events) = (10, 0);
        for (number, acts) in batches.iter().enumerate() {
            let steps = acts.iter().map(|act| match act {
                Act::Add(more) => run_step("update account set free = free + $1 where id = 'a'", vec![Value::Integer(*more)]),
                Act::Publish => Step::Publish(event("account.changed")),
                Act::Fail => expecting("select 1", Expectation::NoRows),
            });
            let mut count = 0_u8;
            let steps = check_steps("shop", steps.collect(), || {
                count += 1;
                Ok(Stamp { random: [u8::try_from(number).unwrap(), count, 0, 0, 0, 0, 0, 0, 0, 0], ..at() })
            }).unwrap();
            let fails = acts.iter().any(|act| matches!(act, Act::Fail));
            let answer = block_on(batch(&database.open(), &steps));
            prop_assert_eq!(answer.is_err(), fails);
            if !fails {
                sum += acts.iter().map(|act| if let Act::Add(more) = act { *more } else { 0 }).sum::<i64>();
                events += acts.iter().filter(|act| matches!(act, Act::Publish)).count();
            }
        }
        let free = Native::ask(&database.path(), "select free from account where id = 'a'");
        prop_assert_eq!(free, vec![vec![Value::Integer(sum)]]);
        let has_outbox = Native::ask(&database.path(), "select 1 from sqlite_schema where name = 'chassis_outbox'");
        let waiting = if has_outbox.is_empty() { 0 } else {
            Native::ask(&database.path(), "select * from chassis_outbox").len()
        };
        prop_assert_eq!(waiting, events);
    }
}
