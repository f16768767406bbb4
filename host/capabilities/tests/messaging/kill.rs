//! A process that dies at any moment loses nothing that it answered for, and does nothing again that it has ended.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::messaging::{MessagingBackend, Outcome, SqliteMessaging};
use chassis_config::plan::MessagingPolicy;
use tokio::task::JoinSet;

use crate::bench::{DAY, MAIL, about, event, policy, subscriptions};
use crate::victim;

const KILLS: u64 = 12;
const PUBLISHERS: usize = 4;
const WORKERS: usize = 3;

async fn open(folder: &Path) -> Arc<SqliteMessaging> {
    let path = folder.join("messaging.db");
    let policy = MessagingPolicy { queue_length: 1 << 30, lease: DAY, ..policy() };
    let opened = SqliteMessaging::open(&path, policy, subscriptions(), Arc::new(SystemClock), 7).await;
    Arc::new(opened.expect("opens"))
}

/// Publish and acknowledge for ever, and tell each step.
async fn work_until_killed(folder: &Path) {
    let backend = open(folder).await;
    let (life, mut tasks) = (std::process::id(), JoinSet::new());
    for publisher in 0..PUBLISHERS {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            for number in 0_u64.. {
                let id = format!("{life}/{publisher}/{number}");
                let event = if number % 2 == 0 { event(&id) } else { about(&id, &publisher.to_string()) };
                victim::say(&format!("publishing {id}"));
                backend.publish(vec![event].into()).await.expect("published");
                victim::say(&format!("published {id}"));
            }
        });
    }
    for _ in 0..WORKERS {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            loop {
                backend.wait(MAIL).await;
                for delivery in backend.lease(MAIL, 2).await.expect("leases") {
                    let id = &delivery.event.id;
                    victim::say(&format!("got {id}"));
                    victim::say(&format!("ending {id}"));
                    backend.complete(&delivery, Outcome::Ack).await.expect("held");
                    victim::say(&format!("ended {id}"));
                }
            }
        });
    }
    tasks.join_all().await;
}

/// What was said so far, over all lives.
#[derive(Debug, Default)]
struct Record {
    publishing: BTreeSet<String>,
    published: BTreeSet<String>,
    ending: BTreeSet<String>,
    ended: BTreeSet<String>,
}

impl Record {
    fn hear(&mut self, line: &str) {
        let (what, id) = line.split_once(' ').expect("what and which");
        match what {
            "publishing" => self.publishing.insert(id.to_owned()),
            "published" => self.published.insert(id.to_owned()),
            "ending" => self.ending.insert(id.to_owned()),
            "ended" => self.ended.insert(id.to_owned()),
            "got" => self.got(id),
            other => panic!("{other}"),
        };
    }

    fn got(&self, id: &str) -> bool {
        assert!(!self.ended.contains(id), "{id} was delivered again after its end was answered");
        assert!(self.publishing.contains(id), "{id} was never published");
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    if let Some(folder) = victim::folder() {
        return work_until_killed(&folder).await;
    }
    let (folder, mut record) = (tempfile::tempdir().expect("a folder"), Record::default());
    for kill in 0..KILLS {
        let life = Duration::from_millis(15 + 19 * kill);
        for line in victim::live_and_die("kill::what_was_answered_survives_a_kill", folder.path(), life) {
            record.hear(&line);
        }
    }
    assert!(record.published.len() > 50 && record.ended.len() > 20, "there was work");
    let (backend, mut left) = (open(folder.path()).await, BTreeSet::new());
    loop {
        let due = backend.lease(MAIL, 1_000).await.expect("leases");
        if due.is_empty() {
            break;
        }
        for delivery in due {
            record.got(&delivery.event.id);
            backend.complete(&delivery, Outcome::Ack).await.expect("held");
            assert!(left.insert(delivery.event.id), "delivered twice");
        }
    }
    let lost: Vec<&String> =
        record.published.iter().filter(|id| !record.ending.contains(*id) && !left.contains(*id)).collect();
    assert!(lost.is_empty(), "published and gone: {lost:?}");
    let status = backend.status().await.expect("counts");
    assert!(status.iter().all(|queue| queue.ready + queue.blocked + queue.delayed + queue.leased + queue.dead == 0));
}
