//! What every SQL backend promises. Each function is one promise; `main.rs` makes a test of it per backend. The SQL in
//! here is such that every backend takes it.

use std::time::Duration;

use chassis_capabilities::event::Envelope;
use chassis_capabilities::sql::{ConstraintKind, Expectation, Outbox, SqlBackend, SqlError, Step, Value};
use chassis_config::plan::SqlPolicy;
use futures::future::join_all;

use crate::support::{
    Factory, event, guarded, is_syntax, is_too_large, keep, number, policy, rows, run, statement, text,
};

const NOTES: &str = "create table notes (id bigint primary key, body text)";
const INSERT_NOTE: &str = "insert into notes (id, body) values ($1, $2)";
const COUNT_NOTES: &str = "select count(*) from notes";

fn note(id: i64) -> Step {
    run(INSERT_NOTE, &[Value::Integer(id), text("a note")])
}

pub(crate) async fn a_batch_is_kept_whole_or_not_at_all(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    assert_eq!(database.batch(vec![]).await, Ok(vec![]));
    let kept = keep(&*database, vec![note(1), note(2)]).await;
    assert_eq!(kept.iter().map(|set| set.affected).collect::<Vec<_>>(), [1, 1]);
    let refused = database.batch(vec![note(3), note(4), note(1), note(5)]).await;
    assert!(matches!(refused, Err(SqlError::Constraint { .. })), "{refused:?}");
    let refused = database.batch(vec![note(3), run("insert into nowhere values (1)", &[])]).await;
    assert!(is_syntax(&refused), "{refused:?}");
    assert_eq!(number(&*database, COUNT_NOTES).await, 2);
    keep(&*database, vec![note(3)]).await;
}

pub(crate) async fn a_guard_that_is_not_met_keeps_nothing(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    keep(&*database, vec![note(1), note(2)]).await;
    let touch = "update notes set body = 'touched' where id <= $1";
    let find = "select id from notes where id = $1";
    let cases = [
        (touch, 2, Expectation::Affected(2), true),
        (touch, 2, Expectation::Affected(1), false),
        (touch, 2, Expectation::Affected(3), false),
        (touch, 0, Expectation::Affected(0), true),
        (touch, 2, Expectation::AffectedAtLeast(1), true),
        (touch, 2, Expectation::AffectedAtLeast(2), true),
        (touch, 2, Expectation::AffectedAtLeast(3), false),
        (find, 1, Expectation::SomeRows, true),
        (find, 9, Expectation::SomeRows, false),
        (find, 9, Expectation::NoRows, true),
        (find, 1, Expectation::NoRows, false),
    ];
    for (index, (sql, id, expect, met)) in cases.into_iter().enumerate() {
        let before = number(&*database, COUNT_NOTES).await;
        let new = 100 + i64::try_from(index).unwrap();
        let steps =
            vec![note(new), Step::Publish(event(&format!("e{index}"))), guarded(sql, &[Value::Integer(id)], expect)];
        let answer = database.batch(steps).await;
        if met {
            assert_eq!(answer.unwrap().len(), 2, "{expect:?}");
        } else {
            assert_eq!(answer, Err(SqlError::Guard(2)), "{expect:?}");
        }
        assert_eq!(number(&*database, COUNT_NOTES).await, before + i64::from(met), "{expect:?}");
    }
}

/// A phantom: both look, find nothing, and insert.
pub(crate) async fn one_of_many_claims_wins(factory: &impl Factory) {
    let database = factory.make("create table claims (seat bigint, owner bigint)", policy()).await;
    for seat in 0..40 {
        let claims = (0..8).map(|owner| {
            let database = database.database.clone();
            tokio::spawn(async move {
                let steps = vec![
                    guarded("select 1 from claims where seat = $1", &[Value::Integer(seat)], Expectation::NoRows),
                    run(
                        "insert into claims (seat, owner) values ($1, $2)",
                        &[Value::Integer(seat), Value::Integer(owner)],
                    ),
                ];
                database.batch(steps).await
            })
        });
        let mut won = 0;
        for answer in join_all(claims).await {
            match answer.unwrap() {
                Ok(_) => won += 1,
                Err(SqlError::Guard(0) | SqlError::Conflict) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won, 1, "seat {seat}");
    }
    assert_eq!(number(&*database, "select count(*) from claims").await, 40);
}

/// Each of two doctors may leave only if another stays.
pub(crate) async fn write_skew_does_not_happen(factory: &impl Factory) {
    let schema = "create table doctors (shift bigint, name bigint, on_call bigint, primary key (shift, name))";
    let database = factory.make(schema, policy()).await;
    for shift in 0..40 {
        let enter = "insert into doctors (shift, name, on_call) values ($1, $2, 1)";
        let both = (0..2).map(|name| run(enter, &[Value::Integer(shift), Value::Integer(name)])).collect();
        keep(&*database, both).await;
        let leavers = (0..2).map(|name| {
            let database = database.database.clone();
            tokio::spawn(async move {
                let who = [Value::Integer(shift), Value::Integer(name)];
                let stays = "select 1 from doctors where shift = $1 and name <> $2 and on_call = 1";
                let leaves = "update doctors set on_call = 0 where shift = $1 and name = $2";
                database
                    .batch(vec![
                        guarded(stays, &who, Expectation::SomeRows),
                        guarded(leaves, &who, Expectation::Affected(1)),
                    ])
                    .await
            })
        });
        let left = join_all(leavers).await.into_iter().filter(|answer| answer.as_ref().unwrap().is_ok()).count();
        assert_eq!(left, 1, "shift {shift}");
    }
    assert_eq!(number(&*database, "select count(*) from doctors where on_call = 1").await, 40);
}

/// Many tasks move money between accounts; guards forbid an overdraft.
pub(crate) async fn money_is_neither_made_nor_lost(factory: &impl Factory) {
    const ACCOUNTS: i64 = 5;
    let schema = "create table accounts (id bigint primary key, balance bigint not null);
        create table transfers (task bigint, turn bigint, amount bigint, primary key (task, turn));";
    let database = factory.make(schema, policy()).await;
    for id in 0..ACCOUNTS {
        keep(&*database, vec![run("insert into accounts (id, balance) values ($1, 100)", &[Value::Integer(id)])]).await;
    }
    let tasks = (0..8_i64).map(|task| {
        let database = database.database.clone();
        tokio::spawn(async move {
            let (mut moved, mut refused) = (0_i64, 0_i64);
            for turn in 0..60_i64 {
                let from = (task + turn) % ACCOUNTS;
                let to = (from + 1 + (task * turn) % (ACCOUNTS - 1)) % ACCOUNTS;
                let amount = Value::Integer(1 + (task * 7 + turn * 13) % 60);
                let take = "update accounts set balance = balance - $1 where id = $2 and balance >= $1";
                let give = "update accounts set balance = balance + $1 where id = $2";
                let note = "insert into transfers (task, turn, amount) values ($1, $2, $3)";
                let steps = vec![
                    guarded(take, &[amount.clone(), Value::Integer(from)], Expectation::Affected(1)),
                    guarded(give, &[amount.clone(), Value::Integer(to)], Expectation::Affected(1)),
                    run(note, &[Value::Integer(task), Value::Integer(turn), amount]),
                ];
                match database.batch(steps).await {
                    Ok(_) => moved += 1,
                    Err(SqlError::Guard(0) | SqlError::Conflict) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
                assert_eq!(
                    number(&database, "select cast(sum(balance) as bigint) from accounts").await,
                    ACCOUNTS * 100
                );
            }
            (moved, refused)
        })
    });
    let (mut moved, mut refused) = (0, 0);
    for task in join_all(tasks).await {
        let (task_moved, task_refused) = task.unwrap();
        moved += task_moved;
        refused += task_refused;
    }
    assert!(moved > 0 && refused > 0, "the property needs both: {moved} moved, {refused} refused");
    assert_eq!(number(&*database, "select count(*) from transfers").await, moved);
    assert_eq!(number(&*database, "select count(*) from accounts where balance < 0").await, 0);
}

pub(crate) async fn a_query_sees_every_batch_answered_before_it(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    let tasks = (0..8_i64).map(|task| {
        let database = database.database.clone();
        tokio::spawn(async move {
            for turn in 0..50_i64 {
                let id = Value::Integer(task * 1000 + turn);
                keep(&database, vec![run(INSERT_NOTE, &[id.clone(), text("x")])]).await;
                let found = database.query(statement("select body from notes where id = $1", &[id])).await.unwrap();
                assert_eq!(found.rows.len(), 1);
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(number(&*database, COUNT_NOTES).await, 400);
}

pub(crate) async fn an_accepted_batch_is_kept_although_nobody_waits(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    keep(&*database, vec![note(0)]).await;
    // Long enough that the batches behind it are accepted and not yet run when their futures are dropped.
    let slow = "insert into notes (id, body) with recursive n (i) as (select 1 union all select i + 1 from n where i < 1500000)
        select 1, cast(count(*) as text) from n";
    let blocker = tokio::spawn({
        let database = database.database.clone();
        async move { database.batch(vec![run(slow, &[])]).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let steps = vec![note(2), Step::Publish(event("forgotten")), note(3)];
    let dropped = tokio::time::timeout(Duration::from_millis(20), database.batch(steps)).await;
    let in_time = dropped.is_err();
    blocker.await.unwrap().unwrap();
    keep(&*database, vec![note(4)]).await;
    assert_eq!(number(&*database, COUNT_NOTES).await, 5);
    assert_eq!(database.pending(10, u64::MAX).await.unwrap().len(), 1);
    assert!(in_time, "the batch was answered before its future was dropped: nothing was shown");
}

pub(crate) async fn answers_are_bounded(factory: &impl Factory) {
    let policy = SqlPolicy { rows: 10, result_bytes: 1000, ..policy() };
    let database = factory.make(NOTES, policy).await;
    for id in 0..11 {
        keep(&*database, vec![note(id)]).await;
    }
    let ten = database.query(statement("select id from notes order by id limit 10", &[])).await;
    assert_eq!(ten.unwrap().rows.len(), 10);
    assert!(is_too_large(&database.query(statement("select id from notes", &[])).await));
    let endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select i from n";
    assert!(is_too_large(&database.query(statement(endless, &[])).await));
    assert!(is_too_large(&database.batch(vec![note(20), run(endless, &[])]).await));
    let long = Value::Text("x".repeat(600));
    keep(&*database, vec![run("update notes set body = $1 where id < 2", &[long])]).await;
    assert!(database.query(statement("select body from notes where id = 1", &[])).await.is_ok());
    assert!(is_too_large(&database.query(statement("select body from notes where id < 2", &[])).await));
    let one = run("select body from notes where id = 1", &[]);
    assert!(is_too_large(&database.batch(vec![note(20), one.clone(), one.clone()]).await), "a batch has one answer");
    assert!(is_too_large(&database.batch(vec![run("update notes set body = body || 'y' returning body", &[])]).await));
    // Nothing of all that was kept, and everything still works.
    assert_eq!(number(&*database, "select count(*) from notes where id = 20 or body like '%y'").await, 0);
    keep(&*database, vec![note(20), one]).await;
}

pub(crate) async fn requests_are_bounded(factory: &impl Factory) {
    let policy = SqlPolicy { steps: 3, params: 4, statement_bytes: 500, ..policy() };
    let database = factory.make(NOTES, policy).await;
    assert!(is_too_large(&database.batch((0..4).map(note).collect()).await));
    keep(&*database, (0..3).map(note).collect()).await;
    let five = statement("select $1, $2, $3, $4, $5", &vec![Value::Integer(1); 5]);
    assert!(is_too_large(&database.query(five.clone()).await));
    assert!(is_too_large(&database.batch(vec![Step::Run(five, None)]).await));
    let long = statement("select id from notes where body = $1", &[Value::Text("x".repeat(500))]);
    assert!(is_too_large(&database.query(long.clone()).await));
    assert!(is_too_large(&database.batch(vec![Step::Run(long, None)]).await));
    let long = statement(&format!("select id from notes where body = '{}'", "x".repeat(500)), &[]);
    assert!(is_too_large(&database.query(long).await));
    assert_eq!(number(&*database, COUNT_NOTES).await, 3);
}

pub(crate) async fn values_come_back_as_they_were_stored(factory: &impl Factory) {
    let schema = "create table things (id bigint primary key, i bigint, r double precision, t text, b blob)";
    let database = factory.make(schema, policy()).await;
    let insert = "insert into things (id, i, r, t, b) values ($1, $2, $3, $4, $5)";
    let cases = [
        (Value::Integer(i64::MIN), Value::Real(f64::MIN), text(""), Value::Blob(vec![])),
        (
            Value::Integer(i64::MAX),
            Value::Real(f64::MAX),
            text("größer 🙂 'quoted' $1 ; --"),
            Value::Blob(vec![0, 255, 39]),
        ),
        (Value::Integer(0), Value::Real(-0.5), text("null"), Value::Blob((0..=255).collect())),
        (Value::Null, Value::Null, Value::Null, Value::Null),
    ];
    for (id, (i, r, t, b)) in (0_i64..).zip(cases) {
        let params = [Value::Integer(id), i.clone(), r.clone(), t.clone(), b.clone()];
        keep(&*database, vec![run(insert, &params)]).await;
        let found =
            database.query(statement("select i, r, t, b from things where id = $1", &[Value::Integer(id)])).await;
        let found = found.unwrap();
        assert_eq!(found.columns, ["i", "r", "t", "b"]);
        assert_eq!(found.rows, [[i, r, t, b]]);
    }
    // The same within a batch.
    let answers = keep(&*database, vec![run("select t from things where id = 1", &[])]).await;
    assert_eq!(answers[0].rows, [[text("größer 🙂 'quoted' $1 ; --")]]);
    let nan = statement("select id from things where r = $1", &[Value::Real(f64::NAN)]);
    assert!(is_syntax(&database.query(nan).await));
    // Columns are named also where there are no rows.
    let none = database.query(statement("select id, t as title from things where id = 99", &[])).await.unwrap();
    assert_eq!((none.columns, none.rows.len()), (vec!["id".to_owned(), "title".to_owned()], 0));
}

pub(crate) async fn parameters_are_checked(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    keep(&*database, vec![note(1)]).await;
    // In any order of use, and repeated.
    let swapped = "insert into notes (body, id) values ($2, $1)";
    keep(&*database, vec![run(swapped, &[Value::Integer(2), text("second")])]).await;
    let repeated = "select body from notes where id = $1 and (body = $2 or id = $1)";
    let found = database.query(statement(repeated, &[Value::Integer(2), text("other")])).await.unwrap();
    assert_eq!(found.rows, [[text("second")]]);
    let one = [Value::Integer(1)];
    let wrong: [(&str, &[Value]); 11] = [
        ("select id from notes where id = $1", &[]),
        ("select id from notes", &one),
        ("select id from notes where id = $2", &one),
        ("select id from notes where id = $2", &[Value::Integer(1), Value::Integer(1)]),
        ("select id from notes where id = $0", &one),
        ("select id from notes where id = $01", &one),
        ("select id from notes where id = ?", &one),
        ("select id from notes where id = ?1", &one),
        ("select id from notes where id = :id", &one),
        ("select id from notes where id = @id", &one),
        ("select id from notes where id = $id", &one),
    ];
    for (sql, params) in wrong {
        let answer = database.query(statement(sql, params)).await;
        assert!(is_syntax(&answer), "{sql} with {params:?}: {answer:?}");
        let answer = database.batch(vec![note(9), run(sql, params)]).await;
        assert!(is_syntax(&answer), "{sql} with {params:?}: {answer:?}");
    }
    assert_eq!(number(&*database, COUNT_NOTES).await, 2);
}

pub(crate) async fn a_text_is_one_statement(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    keep(&*database, vec![note(1)]).await;
    for good in
        ["select 1;", "select 1 ; -- end", "select 1 /* ; select 2 */", " -- first\n select 1 ;\n", "select ';'"]
    {
        assert_eq!(database.query(statement(good, &[])).await.unwrap().rows.len(), 1, "{good}");
    }
    let wrong = [
        "",
        "  ",
        ";",
        "-- only a comment",
        "/* */",
        "select 1; select 2",
        "select 1; delete from notes",
        "select 1;; select 2",
        "select 1; nonsense",
        "delete from notes; select 1",
        "selec 1",
        "select",
        "select from where",
        "select 1 'a",
        "select 'a",
        "select 1\0",
        "select 1;\0delete from notes",
    ];
    for sql in wrong {
        let answer = database.query(statement(sql, &[])).await;
        assert!(is_syntax(&answer), "{sql:?}: {answer:?}");
        let answer = database.batch(vec![run(sql, &[])]).await;
        assert!(is_syntax(&answer), "{sql:?}: {answer:?}");
    }
    assert_eq!(number(&*database, COUNT_NOTES).await, 1);
}

pub(crate) async fn a_query_does_not_write(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    keep(&*database, vec![note(1)]).await;
    for sql in [
        "insert into notes (id, body) values (2, 'x')",
        "insert into notes (id, body) values (2, 'x') returning id",
        "update notes set body = 'y'",
        "delete from notes returning id",
        "with one as (select 1 as id) insert into notes (id) select id + 1 from one",
    ] {
        assert_eq!(database.query(statement(sql, &[])).await, Err(SqlError::ReadOnly), "{sql}");
    }
    assert_eq!(rows(&*database, "select id, body from notes").await, [[Value::Integer(1), text("a note")]]);
}

pub(crate) async fn violations_are_named(factory: &impl Factory) {
    let schema = "create table users (
            id bigint primary key, tenant bigint not null, email text not null, age bigint check (age >= 0),
            unique (tenant, email));
        create unique index users_email_any_case on users (tenant, lower(email));
        create table pets (id bigint primary key, owner bigint not null references users (id));";
    let database = factory.make(schema, policy()).await;
    let user = "insert into users (id, tenant, email, age) values ($1, $2, $3, $4)";
    let person = |id: i64, email: Value, age: i64| {
        run(user, &[Value::Integer(id), Value::Integer(7), email, Value::Integer(age)])
    };
    keep(&*database, vec![person(1, text("a@example.org"), 3)]).await;
    let pet = run("insert into pets (id, owner) values (1, 99)", &[]);
    let owned = vec![run("insert into pets (id, owner) values (2, 1)", &[])];
    keep(&*database, owned).await;
    let cases = [
        (person(1, text("b@example.org"), 3), ConstraintKind::Unique, Some(("users", vec!["id"]))),
        (person(2, text("a@example.org"), 3), ConstraintKind::Unique, None),
        (person(2, text("A@example.org"), 3), ConstraintKind::Unique, Some(("users", vec!["tenant"]))),
        (person(2, Value::Null, 3), ConstraintKind::NotNull, Some(("users", vec!["email"]))),
        (person(2, text("c@example.org"), -1), ConstraintKind::Check, None),
        (pet, ConstraintKind::ForeignKey, None),
        (run("delete from users where id = 1", &[]), ConstraintKind::ForeignKey, None),
    ];
    for (step, expected, place) in cases {
        let shown = format!("{step:?}");
        match database.batch(vec![step]).await {
            Err(SqlError::Constraint { kind, table, columns }) => {
                assert_eq!(kind, expected, "{shown}");
                if let Some((expected_table, expected_columns)) = place {
                    assert_eq!(
                        (table.as_str(), columns),
                        (expected_table, expected_columns.iter().map(|c| (*c).to_owned()).collect()),
                        "{shown}"
                    );
                }
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
    assert_eq!(number(&*database, "select count(*) from users").await, 1);
}

pub(crate) async fn affected_counts_changed_rows_only(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    let steps = vec![
        note(1),
        note(2),
        run("update notes set body = 'x'", &[]),
        run("select id from notes", &[]),
        run("update notes set body = 'y' where id = 77", &[]),
        run("insert into notes (id) values (1) on conflict (id) do nothing", &[]),
        run("delete from notes where id = 2 returning id, body", &[]),
    ];
    let answers = keep(&*database, steps).await;
    assert_eq!(answers.iter().map(|set| set.affected).collect::<Vec<_>>(), [1, 1, 2, 0, 0, 0, 1]);
    assert_eq!(answers[6].rows, [[Value::Integer(2), text("x")]]);
    assert_eq!(database.query(statement("select id from notes", &[])).await.unwrap().affected, 0);
    let impossible = guarded("select id from notes", &[], Expectation::AffectedAtLeast(1));
    assert_eq!(database.batch(vec![note(5), impossible]).await, Err(SqlError::Guard(1)));
}

pub(crate) async fn an_event_is_published_with_its_data_or_not_at_all(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    let never = || guarded("select id from notes where id = 99", &[], Expectation::SomeRows);
    let refused = database.batch(vec![note(1), Step::Publish(event("a")), never()]).await;
    assert_eq!(refused, Err(SqlError::Guard(2)));
    let refused = database.batch(vec![Step::Publish(event("b")), note(1), note(1)]).await;
    assert!(matches!(refused, Err(SqlError::Constraint { .. })));
    assert_eq!(database.pending(10, u64::MAX).await.unwrap(), []);
    let answers = keep(&*database, vec![Step::Publish(event("c")), note(1), Step::Publish(event("d"))]).await;
    assert_eq!(answers.len(), 1, "only statements have row sets");
    assert_eq!(database.pending(10, u64::MAX).await.unwrap(), [event("c"), event("d")]);
    // The same event once more is an error of the host, and undoes the batch.
    let again = database.batch(vec![note(2), Step::Publish(event("c"))]).await;
    assert!(matches!(again, Err(SqlError::Internal(_))), "{again:?}");
    assert_eq!(number(&*database, COUNT_NOTES).await, 1);
}

pub(crate) async fn the_outbox_rings_and_keeps_order(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    let silence = tokio::time::timeout(Duration::from_millis(50), database.published()).await;
    assert!(silence.is_err(), "nothing was published");
    keep(&*database, vec![note(1)]).await;
    let silence = tokio::time::timeout(Duration::from_millis(50), database.published()).await;
    assert!(silence.is_err(), "nothing was published");
    let waiting = tokio::spawn({
        let database = database.database.clone();
        async move { database.published().await }
    });
    let ids: Vec<String> = (0..20).map(|number| format!("event-{number:02}")).collect();
    for id in &ids {
        keep(&*database, vec![Step::Publish(event(id))]).await;
    }
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    // The later ones rang too: at once.
    tokio::time::timeout(Duration::from_secs(5), database.published()).await.unwrap();
    let first = database.pending(5, u64::MAX).await.unwrap();
    assert_eq!(first.iter().map(|event| event.id.clone()).collect::<Vec<_>>(), ids[..5]);
    database.confirm(&ids[..5]).await.unwrap();
    database.confirm(&["unknown".to_owned()]).await.unwrap();
    database.confirm(&[]).await.unwrap();
    let rest = database.pending(100, u64::MAX).await.unwrap();
    assert_eq!(rest.iter().map(|event| event.id.clone()).collect::<Vec<_>>(), ids[5..]);
}

pub(crate) async fn a_full_queue_answers_busy(factory: &impl Factory) {
    let policy = SqlPolicy { queue: 4, group: 2, ..policy() };
    let database = factory.make(NOTES, policy).await;
    keep(&*database, vec![note(-1)]).await;
    let tasks = (0..200).map(|id| {
        let database = database.database.clone();
        tokio::spawn(async move { database.batch(vec![note(id)]).await })
    });
    let (mut kept, mut busy) = (1, 0);
    for answer in join_all(tasks).await {
        match answer.unwrap() {
            Ok(_) => kept += 1,
            Err(SqlError::Busy(wait)) => {
                assert!(!wait.is_zero());
                busy += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(busy > 0, "200 batches at once found room in a queue of 4");
    assert_eq!(number(&*database, COUNT_NOTES).await, kept);
}

pub(crate) async fn what_is_taken_from_the_outbox_is_bounded_in_bytes(factory: &impl Factory) {
    let database = factory.make(NOTES, policy()).await;
    for (id, length) in [("a", 1000), ("b", 1000), ("c", 100_000), ("d", 1000)] {
        let data = format!("\"{}\"", "x".repeat(length));
        keep(&*database, vec![Step::Publish(Envelope { data, ..event(id) })]).await;
    }
    let taken = async |limit: u32, bytes: u64| {
        let events = database.pending(limit, bytes).await.unwrap();
        events.into_iter().map(|event| event.id).collect::<String>()
    };
    assert_eq!(taken(10, 50_000).await, "ab");
    assert_eq!(taken(1, 50_000).await, "a");
    assert_eq!(taken(10, 1).await, "a", "the first always");
    database.confirm(&["a".to_owned(), "b".to_owned()]).await.unwrap();
    assert_eq!(taken(10, 50_000).await, "c");
    assert_eq!(taken(10, 150_000).await, "cd");
}
