//! At which priority SQL runs. A thread is born with the priority of the one that makes it, and is only ever set back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chassis_capabilities::conduct::Conduct;
use chassis_capabilities::sql::{SqlBackend, SqlError, SqliteDatabase};
use chassis_config::plan::SqlPolicy;
use tokio::sync::Mutex;

use crate::support::{number, one_migration, open, place, policy, run, statement};

const NOTES: &str = "create table notes (id integer primary key) strict";
const ENDLESS: &str = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";
const LOWEST: i32 = 19;

/// These tests look at all threads of the process, and set some of them back.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The niceness of the threads whose name begins so.
fn niceness(name: &str) -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| {
            // A thread may end meanwhile.
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).ok()?;
            let (head, fields) = stat.rsplit_once(") ")?;
            let (_, thread) = head.split_once('(')?;
            // The 19th field; the state, which is the third, is the first here.
            thread.starts_with(name).then(|| fields.split(' ').nth(16).unwrap().parse().unwrap())
        })
        .collect()
}

fn set_back(name: &str) -> usize {
    niceness(name).into_iter().filter(|nice| *nice == LOWEST).count()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[derive(Debug, Default)]
struct Standing {
    burned: AtomicUsize,
    slow: AtomicBool,
}

impl Conduct for Standing {
    fn burst(&self) -> Duration {
        Duration::from_millis(30)
    }

    fn burned(&self) {
        self.burned.fetch_add(1, Ordering::SeqCst);
        self.slow.store(true, Ordering::SeqCst);
    }

    fn is_slow(&self) -> bool {
        self.slow.load(Ordering::SeqCst)
    }
}

async fn watched(path: &Path) -> (SqliteDatabase, Arc<Standing>) {
    let policy = SqlPolicy { timeout: Duration::from_millis(500), ..policy() };
    let database = open(path, &policy, &one_migration(NOTES)).await;
    let standing = Arc::new(Standing::default());
    database.watch(Arc::clone(&standing) as _);
    (database, standing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_slow_lane_needs_do_not_stay_in_it() {
    let _alone = ALONE.lock().await;
    let (_folder, path) = place();
    let database = open(&path, &policy(), &one_migration(NOTES)).await;
    let slow = std::thread::spawn(move || {
        rustix::process::setpriority_process(None, LOWEST).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            number(&database, "select count(*) from notes").await;
            database.batch(vec![run("insert into notes (id) values (1)", &[])]).await.unwrap();
        });
        database
    });
    let _database = tokio::task::spawn_blocking(|| slow.join().unwrap()).await.unwrap();
    let (readers, writers) = (niceness("sqlite-reader"), niceness("sqlite-writer"));
    assert!(!readers.is_empty() && !writers.is_empty());
    assert!(readers.iter().chain(&writers).all(|nice| *nice == 0), "{readers:?} {writers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_burns_cpu_goes_on_at_the_lowest_priority() {
    let _alone = ALONE.lock().await;
    let (_folder, path) = place();
    let (database, standing) = watched(&path).await;
    for _ in 0..50 {
        number(&database, "select count(*) from notes").await;
    }
    assert_eq!((standing.burned.load(Ordering::SeqCst), set_back("sqlite-reader")), (0, 0));
    let hog = database.clone();
    let hog = tokio::spawn(async move { hog.query(statement(ENDLESS, &[])).await });
    until("no thread was set back", || set_back("sqlite-reader") == 1).await;
    assert!(!hog.is_finished(), "the query ended before its thread was set back");
    assert_eq!(hog.await.unwrap(), Err(SqlError::Timeout));
    assert_eq!(standing.burned.load(Ordering::SeqCst), 1);
    // As long as it is in bad standing, the thread is good enough; then it goes.
    number(&database, "select count(*) from notes").await;
    assert_eq!(set_back("sqlite-reader"), 1);
    standing.slow.store(false, Ordering::SeqCst);
    number(&database, "select count(*) from notes").await;
    until("a thread of low priority stays", || set_back("sqlite-reader") == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sql_of_a_component_in_bad_standing_has_the_lowest_priority() {
    let _alone = ALONE.lock().await;
    let (_folder, path) = place();
    let (database, standing) = watched(&path).await;
    standing.slow.store(true, Ordering::SeqCst);
    // Far below a burst.
    let count = "with recursive n (i) as (select 1 union all select i + 1 from n limit 1000) select count(*) from n";
    assert_eq!(number(&database, count).await, 1000);
    assert_eq!((standing.burned.load(Ordering::SeqCst), set_back("sqlite-reader")), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_burns_cpu_goes_on_at_the_lowest_priority() {
    let _alone = ALONE.lock().await;
    let (_folder, path) = place();
    let (database, standing) = watched(&path).await;
    let insert = |id: i64| database.batch(vec![run(&format!("insert into notes (id) values ({id})"), &[])]);
    insert(1).await.unwrap();
    let hog = database.clone();
    let hog = tokio::spawn(async move { hog.batch(vec![run(ENDLESS, &[])]).await });
    until("no thread was set back", || set_back("sqlite-writer") == 1).await;
    assert!(!hog.is_finished(), "the batch ended before its thread was set back");
    assert_eq!(hog.await.unwrap(), Err(SqlError::Timeout));
    assert_eq!(standing.burned.load(Ordering::SeqCst), 1);
    insert(2).await.unwrap();
    assert_eq!(set_back("sqlite-writer"), 1);
    standing.slow.store(false, Ordering::SeqCst);
    insert(3).await.unwrap();
    until("a thread of low priority stays", || set_back("sqlite-writer") == 0).await;
    assert_eq!(number(&database, "select count(*) from notes").await, 3);
}
