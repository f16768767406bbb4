//! Whoever gives a value to a store and leaves before it is written.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use chassis_capabilities::backlog::{Backlog, Weighed};
use futures::FutureExt as _;
use sqlx::{Connection as _, SqliteConnection};

/// All the room that there is.
pub(crate) const ROOM: u64 = 1 << 20;

/// Leave a write while another holds the lock of its file. What waits for the lock keeps its room until it is written.
pub(crate) async fn keeps_its_room<T, F: Future<Output: Debug>>(
    file: &Path,
    value: T,
    write: impl FnOnce(Weighed<T>) -> F,
) {
    let backlog = Backlog::new(ROOM);
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("opens");
    sqlx::raw_sql("begin immediate").execute(&mut other).await.expect("locks");
    let value = backlog.weigh(value, ROOM).expect("all the room");
    let early = write(value).now_or_never();
    assert!(early.is_none(), "{early:?} while another holds the lock");
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(backlog.weigh((), 1).is_none(), "its room is given back while it waits");
    }
    sqlx::raw_sql("rollback").execute(&mut other).await.expect("unlocks");
    room_comes_back(&backlog).await;
}

/// Wait until there is room again.
pub(crate) async fn room_comes_back(backlog: &Backlog) {
    let again = async {
        while backlog.weigh((), ROOM).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("its room comes back");
}
