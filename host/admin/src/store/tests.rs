use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::{StoreError, TokenStore};
use crate::token::{Role, Secret};

async fn open(folder: &Path) -> Result<TokenStore, StoreError> {
    TokenStore::open(folder, Timestamp::UNIX_EPOCH).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_first_run_makes_a_token_that_later_runs_know() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let secret = fs::read_to_string(folder.path().join("admin-token")).unwrap();
    for name in ["admin-token", "tokens.json"] {
        assert_eq!(mode(&folder.path().join(name)), 0o600);
    }
    assert!(!fs::read_to_string(folder.path().join("tokens.json")).unwrap().contains(&secret));
    let again = open(folder.path()).await.unwrap();
    for store in [store, again] {
        let found = store.find(&Secret::presented(&secret)).unwrap();
        assert_eq!((found.name.as_str(), found.role), ("admin", Role::Admin));
        for wrong in ["", "chassis_", &secret[1..], &format!("{secret}x"), &secret.to_uppercase()] {
            assert_eq!(store.find(&Secret::presented(wrong)), None, "{wrong}");
        }
    }
    assert_eq!(fs::read_to_string(folder.path().join("admin-token")).unwrap(), secret, "it is written once");
}

#[tokio::test]
async fn a_first_run_that_was_cut_off_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("admin-token"), "chassis_half").unwrap();
    let store = open(folder.path()).await.unwrap();
    let secret = fs::read_to_string(folder.path().join("admin-token")).unwrap();
    assert!(store.find(&Secret::presented(&secret)).is_some());
    assert_eq!(store.find(&Secret::presented("chassis_half")), None);
    assert_eq!(mode(&folder.path().join("admin-token")), 0o600);
}

#[tokio::test]
async fn tokens_are_made_and_revoked_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let (made, secret) = store.create("ci", Role::Deploy, Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(matches!(store.create("ci", Role::Read, Timestamp::UNIX_EPOCH).await, Err(StoreError::Taken)));
    assert!(matches!(store.create("C I", Role::Read, Timestamp::UNIX_EPOCH).await, Err(StoreError::Name)));
    let again = open(folder.path()).await.unwrap();
    assert_eq!(again.find(&secret), Some(made.clone()));
    assert_eq!(again.revoke(&made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(again.revoke(&made.id).await.unwrap(), None);
    assert_eq!(again.find(&secret), None);
    assert_eq!(open(folder.path()).await.unwrap().find(&secret), None);
}

#[tokio::test]
async fn the_last_token_of_role_admin_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    store.create("ci", Role::Deploy, Timestamp::UNIX_EPOCH).await.unwrap();
    let first = store.list().remove(0);
    assert!(matches!(store.revoke(&first.id).await, Err(StoreError::Last)));
    store.create("other", Role::Admin, Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(store.revoke(&first.id).await.unwrap().is_some());
}

#[tokio::test]
async fn many_at_once_lose_nothing_and_stay_below_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).await.unwrap());
    let tasks: Vec<_> = (0..300)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(
                async move { store.create(&format!("t{number}"), Role::Read, Timestamp::UNIX_EPOCH).await.is_ok() },
            )
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap());
    }
    assert_eq!(made, 255);
    assert_eq!(open(folder.path()).await.unwrap().list(), store.list());
}

#[tokio::test]
async fn files_that_cannot_be_trusted_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap();
    let path = folder.path().join("tokens.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError::Exposed(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, r#"{"format": 2, "tokens": []}"#).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError::Format { found: 2, .. })));
    fs::write(&path, r#"{"format": 1, "tokens": [], "x": 1}"#).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError::Malformed { .. })));
    fs::remove_dir_all(folder.path()).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError::File { doing: "write", .. })));
}
