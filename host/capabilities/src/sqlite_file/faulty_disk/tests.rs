//! The disk itself: a test that loses too little would prove nothing.

use std::path::{Path, PathBuf};

use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::unsynced::{Store, Unsynced as HeldBack};
use super::{NAME, Unsynced, Use, install};

impl Store for Vec<u8> {
    type Error = std::convert::Infallible;

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
        let at = usize::try_from(at).unwrap();
        into.copy_from_slice(&self[at..at + into.len()]);
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        let (at, end) = (usize::try_from(at).unwrap(), usize::try_from(at).unwrap() + bytes.len());
        if self.len() < end {
            self.resize(end, 0);
        }
        self[at..end].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> Result<(), Self::Error> {
        self.resize(self.len().min(usize::try_from(size).unwrap()), 0);
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Deed {
    Write(u16, Vec<u8>),
    Truncate(u16),
    Sync,
}

fn deed() -> impl Strategy<Value = Deed> {
    let bytes = proptest::collection::vec(any::<u8>(), 1..9000);
    prop_oneof![
        4 => (0..20_000_u16, bytes).prop_map(|(at, bytes)| Deed::Write(at, bytes)),
        1 => (0..20_000_u16).prop_map(Deed::Truncate),
        1 => proptest::strategy::Just(Deed::Sync),
    ]
}

proptest! {
    #[test]
    fn readers_see_every_write_and_the_store_has_those_before_the_last_sync(
        deeds in proptest::collection::vec(deed(), 1..40)
    ) {
        let mut stored = vec![7_u8; 5000];
        let (mut seen, mut durable) = (stored.clone(), stored.clone());
        let mut held = HeldBack::new(5000);
        for deed in deeds {
            match deed {
                Deed::Write(at, bytes) => {
                    // SQLite leaves no hole behind the end of a file.
                    let at = u64::from(at).min(seen.len() as u64);
                    let Ok(()) = held.write(&mut stored, at, &bytes);
                    let Ok(()) = seen.write(at, &bytes);
                }
                Deed::Truncate(size) => {
                    let size = u64::from(size).min(seen.len() as u64);
                    held.truncate(size);
                    let Ok(()) = Store::truncate(&mut seen, size);
                }
                Deed::Sync => {
                    let half = held.len() / 2;
                    let Ok(()) = held.write_back(&mut stored, half);
                    let Ok(()) = held.write_back(&mut stored, usize::MAX);
                    held.synced();
                    durable.clone_from(&seen);
                }
            }
            let mut read = vec![1; seen.len() + 10];
            let Ok(there) = held.read(&mut stored, 0, &mut read);
            prop_assert_eq!(there, seen.len());
            prop_assert_eq!(&read[..there], &seen[..]);
            prop_assert_eq!(&read[there..], &[0; 10][..]);
            prop_assert_eq!(&stored, &durable);
        }
    }
}

async fn open(path: &Path, synchronous: SqliteSynchronous) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).vfs(NAME.to_str().unwrap());
    let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
    options.connect().await.unwrap()
}

/// What is stored at this moment, copied to a place of its own: all that would be left if the power failed now.
fn after_power_loss(path: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).unwrap();
    for ending in ["db", "db-wal"] {
        let _missing = std::fs::copy(path.with_extension(ending), to.join("a").with_extension(ending));
    }
    to.join("a.db")
}

/// Numbers of the rows that are there, in a database that is sound; none where there is not even a table.
async fn rows(path: &Path) -> Vec<i64> {
    let mut left = SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap();
    let sound: String = sqlx::query_scalar("pragma integrity_check").fetch_one(&mut left).await.unwrap();
    assert_eq!(sound, "ok");
    let rows = sqlx::query_scalar("select id from t order by id").fetch_all(&mut left).await;
    left.close().await.unwrap();
    rows.unwrap_or_default()
}

/// Adds rows until checkpoints have happened, and compares what is answered with what is left at each moment.
async fn answered_and_left(synchronous: SqliteSynchronous) -> Vec<(i64, Vec<i64>)> {
    install(Unsynced::Lost, Use::ByName).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut connection = open(&path, synchronous).await;
    sqlx::raw_sql("create table t (id integer primary key, x blob) strict").execute(&mut connection).await.unwrap();
    let mut moments = Vec::new();
    for id in 1..=600_i64 {
        let insert = sqlx::query("insert into t (id, x) values ($1, randomblob(9000))").bind(id);
        insert.execute(&mut connection).await.unwrap();
        if id % 50 == 0 {
            let left = after_power_loss(&path, &folder.path().join(id.to_string()));
            moments.push((id, rows(&left).await));
        }
    }
    let all: i64 = sqlx::query_scalar("select count(*) from t").fetch_one(&mut connection).await.unwrap();
    assert_eq!(all, 600);
    connection.close().await.unwrap();
    moments
}

#[tokio::test]
async fn what_was_committed_with_a_sync_outlives_the_power() {
    for (answered, left) in answered_and_left(SqliteSynchronous::Full).await {
        assert_eq!(left, (1..=answered).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_was_committed_without_a_sync_does_not() {
    let moments = answered_and_left(SqliteSynchronous::Off).await;
    assert!(moments.iter().all(|(_, left)| left.is_empty()), "{moments:?}");
    // Syncs at checkpoints alone leave what the last checkpoint had, and lose what came later.
    let moments = answered_and_left(SqliteSynchronous::Normal).await;
    assert!(moments.iter().all(|(answered, left)| left.len() < usize::try_from(*answered).unwrap()));
    assert!(moments.last().is_some_and(|(_, left)| !left.is_empty()));
}
