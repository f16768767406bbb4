//! Many at once: what one holds nobody else gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{Delivery, MessagingBackend, MessagingError, Outcome};
use chassis_config::plan::MessagingPolicy;
use rand::RngExt;
use tokio::task::JoinSet;

use crate::bench::{Factory, MAIL, Sqlite, about, event, policy, retry_after};

const TASKS: usize = 64;

const PUBLISHERS: usize = 4;
const CALLS: usize = 15;
const EVENTS: usize = 8;
const WORKERS: usize = 8;

fn unbounded() -> MessagingPolicy {
    MessagingPolicy { attempts: 1_000, queue_length: 100_000, ..policy() }
}

/// Run `work` in many tasks at a time; their answers.
async fn all_at_once<T, F>(
    backend: &Arc<dyn MessagingBackend>,
    work: impl Fn(Arc<dyn MessagingBackend>, usize) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(work(Arc::clone(backend), task));
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_that_many_publish_is_delivered_once() {
    let bench = Sqlite::open(unbounded()).await;
    all_at_once(&bench.backend, |backend, task| async move {
        let keyed = Envelope { dedup_key: Some("k".to_owned()), ..event(&format!("keyed {task}")) };
        backend.publish(vec![event("same"), keyed].into()).await.expect("published");
    })
    .await;
    let due = bench.due().await;
    assert_eq!(due.iter().filter(|id| *id == "same").count(), 1);
    assert_eq!(due.len(), 2, "one of the keyed: {due:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delivery_is_leased_to_one() {
    let bench = Sqlite::open(unbounded()).await;
    bench.publish((0..40).map(|n| event(&format!("{n:02}")))).await;
    let leased = all_at_once(&bench.backend, |backend, _| async move { backend.lease(MAIL, 1).await.expect("leases") });
    let leased: Vec<Delivery> = leased.await.concat();
    let ids: BTreeSet<&str> = leased.iter().map(|delivery| delivery.event.id.as_str()).collect();
    assert_eq!((leased.len(), ids.len()), (40, 40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delivery_is_completed_by_one() {
    let bench = Sqlite::open(unbounded()).await;
    bench.publish([event("a")]).await;
    let held = bench.one().await;
    let answers = all_at_once(&bench.backend, move |backend, task| {
        let (held, outcome) = (held.clone(), if task % 2 == 0 { Outcome::Ack } else { retry_after(Duration::ZERO) });
        async move { backend.complete(&held, outcome).await }
    });
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == Err(MessagingError::LeaseLost)).count(), TASKS - 1);
}

/// What all workers know of each other.
#[derive(Debug, Default)]
struct Floor {
    held: BTreeSet<String>,
    busy: BTreeSet<String>,
    done: BTreeMap<String, Vec<usize>>,
    acknowledged: usize,
}

impl Floor {
    fn begin(&mut self, delivery: &Delivery) {
        assert!(self.held.insert(delivery.event.id.clone()), "{delivery:?} is held twice");
        if let Some(subject) = &delivery.event.subject {
            assert!(self.busy.insert(subject.clone()), "two of {subject} at a time");
        }
    }

    fn end(&mut self, delivery: &Delivery, outcome: &Outcome) {
        self.held.remove(&delivery.event.id);
        if let Some(subject) = &delivery.event.subject {
            self.busy.remove(subject);
        }
        if *outcome == Outcome::Ack {
            self.acknowledged += 1;
            let subject = delivery.event.subject.clone().unwrap_or_default();
            self.done.entry(subject).or_default().push(delivery.event.data.parse().expect("a number"));
        }
    }
}

async fn work(backend: Arc<dyn MessagingBackend>, floor: Arc<Mutex<Floor>>) {
    while floor.lock().expect("sound").acknowledged < PUBLISHERS * CALLS * EVENTS {
        let waited = tokio::time::timeout(Duration::from_millis(20), backend.wait(MAIL)).await;
        if waited.is_err() {
            continue;
        }
        let limit = rand::rng().random_range(1..5);
        for delivery in backend.lease(MAIL, limit).await.expect("leases") {
            floor.lock().expect("sound").begin(&delivery);
            let effort = Duration::from_micros(rand::rng().random_range(0..500));
            tokio::time::sleep(effort).await;
            let outcome = if rand::rng().random_bool(0.8) { Outcome::Ack } else { retry_after(Duration::ZERO) };
            // Before the answer: another may have the next of the subject before we hear of it.
            floor.lock().expect("sound").end(&delivery, &outcome);
            backend.complete(&delivery, outcome).await.expect("held");
        }
    }
}

async fn publish(backend: Arc<dyn MessagingBackend>, publisher: usize) {
    for call in 0..CALLS {
        let events = (0..EVENTS).map(|n| {
            let (number, subject) = (call * EVENTS + n, n % 4);
            let id = format!("{publisher} {number}");
            let event = if subject == 0 { event(&id) } else { about(&id, &format!("{publisher}-{subject}")) };
            Envelope { data: number.to_string(), priority: u8::try_from(n % 10).expect("a digit"), ..event }
        });
        backend.publish(events.collect::<Vec<_>>().into()).await.expect("published");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn competing_workers_do_everything_once_and_in_order() {
    let bench = Sqlite::open(unbounded()).await;
    let (floor, mut tasks) = (Arc::new(Mutex::new(Floor::default())), JoinSet::new());
    for publisher in 0..PUBLISHERS {
        tasks.spawn(publish(Arc::clone(&bench.backend), publisher));
    }
    for _ in 0..WORKERS {
        tasks.spawn(work(Arc::clone(&bench.backend), Arc::clone(&floor)));
    }
    tasks.join_all().await;
    assert_eq!(bench.counts(MAIL).await, [0; 5]);
    let floor = floor.lock().expect("sound");
    for (subject, numbers) in floor.done.iter().filter(|(subject, _)| !subject.is_empty()) {
        assert!(numbers.is_sorted(), "{subject}: {numbers:?}");
        assert_eq!(numbers.len(), CALLS * EVENTS / 4, "{subject}");
    }
    let free: BTreeSet<usize> = floor.done[""].iter().copied().collect();
    assert_eq!((floor.done[""].len(), free.len()), (PUBLISHERS * CALLS * EVENTS / 4, CALLS * EVENTS / 4));
}
