//! What stands behind the labels of a plan, as a whole.

use std::sync::Arc;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::key_value::{KeyValueError, SetMode};
use chassis_capabilities::lender::Lender;
use chassis_capabilities::sql::{Statement, Step};
use chassis_config::Options;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "notebook"
[[trigger.http]]
route = "/..."
component = "notes"
[component.notes]
source = "notes.wasm"
key_value_stores = ["notes"]
sqlite_databases = ["notes"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_every_database_and_every_durable_store() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), MANIFEST).unwrap();
    std::fs::write(folder.path().join("notes.wasm"), b"\0asm").unwrap();
    let mut options = Options::new(folder.path().to_owned());
    options.state_dir = Some(folder.path().join("state"));
    let (plan, _warnings) = chassis_config::load(&options, []).unwrap();
    let lender = Lender::open(&plan, Arc::new(SystemClock)).await.unwrap();
    let lent = lender.lend(plan.components.values().next().unwrap(), None).await.unwrap();
    let (store, database) = (&lent.stores["notes"], &lent.databases["notes"]);
    let note = async || store.set("note", b"kept".to_vec().into(), None, SetMode::Always).await;
    let count = || Statement { text: "select count(*) from (select 1)".to_owned(), params: Vec::new() };
    note().await.unwrap();
    database.batch(vec![Step::Run(count(), None)]).await.unwrap();
    lender.close().await;
    assert!(matches!(note().await, Err(KeyValueError::Internal(_))));
    assert!(database.batch(vec![Step::Run(count(), None)]).await.is_err());
    // Whoever closes a write-ahead log as the last one takes it away.
    assert!(!plan.state_dir.join("key-value").join("notes.db-wal").exists());
}
