//! What was answered is there after a kill, and a full disk is never taken for success.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chassis_capabilities::sql::{Outbox, SqlBackend, SqlError, Step, Value};

use crate::support::{event, keep, number, one_migration, open, place, policy, rows, run};

const SCHEMA: &str =
    "create table pairs (id integer not null, half integer not null, body text, primary key (id, half)) strict";
/// Names the database to a child process, which is this test program running the same test.
const CHILD: &str = "CHASSIS_TEST_DATABASE";

/// A batch of which a half would show.
fn pair(id: i64) -> Vec<Step> {
    let insert = "insert into pairs (id, half, body) values ($1, $2, $3)";
    let half = |half: i64| run(insert, &[Value::Integer(id), Value::Integer(half), Value::Text("x".repeat(200))]);
    vec![half(0), Step::Publish(event(&id.to_string())), half(1)]
}

fn child_of(test: &str, database: &Path, shell: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, database)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\n{line}").unwrap();
    stdout.flush().unwrap();
}

/// Eight tasks write without end and say what was answered.
async fn write_until_killed(path: &Path) {
    let database = open(path, &policy(), &one_migration(SCHEMA)).await;
    let start = number(&database, "select coalesce(max(id), 0) from pairs").await + 1000;
    say("ready");
    let tasks = (0..8_i64).map(|task| {
        let database = database.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let id = start + turn * 8 + task;
                say(&format!("asked {id}"));
                keep(&database, pair(id)).await;
                say(&format!("answered {id}"));
            }
        })
    });
    futures::future::join_all(tasks).await;
}

#[derive(Default)]
struct Said {
    asked: BTreeSet<i64>,
    answered: BTreeSet<i64>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let number = |prefix| line.strip_prefix(prefix).and_then(|rest: &str| rest.parse::<i64>().ok());
        self.asked.extend(number("asked "));
        self.answered.extend(number("answered "));
    }
}

#[test]
fn answered_batches_survive_a_kill_and_none_is_halved() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(path) = std::env::var_os(CHILD) {
        runtime.block_on(write_until_killed(Path::new(&path)));
        return;
    }
    let (_folder, path) = place();
    let mut said = Said::default();
    let mut interrupted = 0;
    for _ in 0..20 {
        let test = "durability::answered_batches_survive_a_kill_and_none_is_halved";
        let mut child = child_of(test, &path, "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "ready"), "the child did not start");
        let pause = Duration::from_millis(rand::random_range(20..200));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let before = (said.asked.len(), said.answered.len());
        for line in lines {
            said.hear(&line);
        }
        killer.join().unwrap();
        interrupted += usize::from(said.asked.len() - before.0 > said.answered.len() - before.1);
        runtime.block_on(check(&path, &said));
    }
    assert!(said.answered.len() > 100, "only {} batches were answered", said.answered.len());
    assert!(interrupted >= 10, "only {interrupted} kills interrupted a batch");
}

async fn check(path: &Path, said: &Said) {
    let policy = chassis_config::plan::SqlPolicy { rows: u32::MAX, result_bytes: 1 << 30, ..policy() };
    let database = open(path, &policy, &one_migration(SCHEMA)).await;
    let halves =
        number(&database, "select count(*) from (select id from pairs group by id having count(*) <> 2)").await;
    assert_eq!(halves, 0, "a batch is there in half");
    let integer = |row: Vec<Value>| if let [Value::Integer(id)] = row[..] { id } else { panic!("{row:?}") };
    let there: BTreeSet<i64> =
        rows(&database, "select distinct id from pairs").await.into_iter().map(integer).collect();
    let missing: Vec<_> = said.answered.difference(&there).collect();
    assert!(missing.is_empty(), "answered and lost: {missing:?}");
    let strange: Vec<_> = there.difference(&said.asked).collect();
    assert!(strange.is_empty(), "never asked for: {strange:?}");
    let events = database.pending(u32::MAX, u64::MAX).await.unwrap();
    let events: BTreeSet<i64> = events.iter().map(|event| event.id.parse().unwrap()).collect();
    assert_eq!(events, there, "data and events part");
    assert_eq!(rows(&database, "select 1").await.len(), 1);
    database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_is_busy_until_there_is_room() {
    let (_folder, path) = place();
    let database = open(&path, &policy(), &one_migration(SCHEMA)).await;
    keep(&database, pair(0)).await;
    database.limit_size(256 * 1024).await.unwrap();
    let (mut kept, mut refused) = (vec![0], 0);
    for id in (1..4000).step_by(8) {
        let answers = futures::future::join_all((id..id + 8).map(|id| database.batch(pair(id)))).await;
        for (id, answer) in (id..).zip(answers) {
            match answer {
                Ok(_) => kept.push(id),
                Err(SqlError::Busy(wait)) => {
                    assert!(!wait.is_zero());
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 100 && kept.len() > 100, "{refused} refused, {} kept", kept.len());
    let integers = kept.iter().map(|id| vec![Value::Integer(*id)]).collect::<Vec<_>>();
    let big = chassis_config::plan::SqlPolicy { rows: 100_000, ..policy() };
    assert_eq!(rows(&open(&path, &big, &[]).await, "select id from pairs where half = 0 order by id").await, integers);
    assert_eq!(database.pending(10_000, u64::MAX).await.unwrap().len(), kept.len());
    database.limit_size(1 << 30).await.unwrap();
    keep(&database, pair(9000)).await;
    assert_eq!(number(&database, "select count(*) from pairs").await, 2 * (i64::try_from(kept.len()).unwrap() + 1));
}

/// Writes until the limit on file sizes stops it, then lifts the limit and goes on in the same process.
async fn write_against_a_limit(path: &Path) {
    let database = open(path, &policy(), &one_migration(SCHEMA)).await;
    let mut refused = 0;
    for id in (0..100_000).step_by(8) {
        let answers = futures::future::join_all((id..id + 8).map(|id| {
            say(&format!("asked {id}"));
            database.batch(pair(id))
        }))
        .await;
        for (id, answer) in (id..).zip(answers) {
            match answer {
                Ok(_) => say(&format!("answered {id}")),
                Err(SqlError::Busy(_) | SqlError::Internal(_) | SqlError::OutcomeUnknown) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        if refused > 50 {
            break;
        }
    }
    assert!(refused > 50, "the limit was never reached");
    say("full");
    // Reading goes on.
    number(&database, "select count(*) from pairs").await;
    rustix::process::setrlimit(
        rustix::process::Resource::Fsize,
        rustix::process::Rlimit { current: None, maximum: None },
    )
    .unwrap();
    for id in 200_000..200_010 {
        say(&format!("asked {id}"));
        keep(&database, pair(id)).await;
        say(&format!("answered {id}"));
    }
    say("recovered");
    database.close().await;
}

#[test]
fn a_failing_disk_is_never_taken_for_success() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(path) = std::env::var_os(CHILD) {
        runtime.block_on(write_against_a_limit(Path::new(&path)));
        return;
    }
    let (_folder, path) = place();
    // 512 KiB per file; SIGXFSZ is ignored, so that writes fail instead.
    let test = "durability::a_failing_disk_is_never_taken_for_success";
    let mut child = child_of(test, &path, "trap '' XFSZ; ulimit -S -f 1024;");
    let mut said = Said::default();
    let mut words = BTreeSet::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        said.hear(&line);
        words.insert(line);
    }
    assert!(child.wait().unwrap().success(), "the child failed");
    assert!(words.contains("full") && words.contains("recovered"));
    assert!(said.answered.len() > 50);
    runtime.block_on(check(&path, &said));
}
