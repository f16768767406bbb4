//! What the embedded backend promises beyond the contract.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{MessagingBackend, MessagingError, Outcome, SqliteMessaging};
use chassis_config::plan::MessagingPolicy;

use crate::abandoned::keeps_its_room;
use crate::bench::{
    AUDIT, DAY, Factory, HOUR, MAIL, SECOND, Sqlite, about, event, ids, policy, reject, subscription, subscriptions,
};

#[tokio::test]
async fn a_restart_keeps_everything_and_ends_the_leases_of_the_process_before() {
    let bench = Sqlite::open(policy()).await;
    let delayed = Envelope { not_before: Some(bench.now() + SECOND), ..event("delayed") };
    bench.publish([about("s1", "s"), about("s2", "s"), event("dead"), event("done"), delayed]).await;
    let leased = bench.lease(MAIL, 10).await;
    assert_eq!(ids(&leased), ["s1", "dead", "done"]);
    bench.complete(&leased[1], reject()).await;
    bench.complete(&leased[2], Outcome::Ack).await;
    let bench = Sqlite::restart(bench, policy()).await;
    assert_eq!(bench.counts(MAIL).await, [1, 1, 1, 0, 1]);
    let again = bench.one().await;
    assert_eq!((again.event.id.as_str(), again.attempt), ("s1", 1));
    bench.is_lost(&leased[0]).await;
    bench.publish([event("done"), event("dead")]).await;
    bench.pass(SECOND);
    assert_eq!(bench.due().await, ["delayed"]);
}

#[tokio::test]
async fn a_queue_whose_component_is_gone_keeps_what_it_has() {
    let bench = Sqlite::open(policy()).await;
    let created = |id: &str| Envelope { event_type: "todo.created".to_owned(), ..event(id) };
    bench.publish([created("a"), created("b"), created("c")]).await;
    bench.complete(&bench.lease(AUDIT, 1).await[0], reject()).await;
    let others = vec![subscription(MAIL, &["todo.*"]), subscription("search", &["todo.created"])];
    let bench = bench.restarted(policy(), others).await;
    bench.publish([created("d")]).await;
    assert_eq!(bench.counts(AUDIT).await, [2, 0, 0, 0, 1], "seen, and nothing new");
    assert_eq!(bench.counts("search").await, [1, 0, 0, 0, 0], "only what came after it");
    assert_eq!(bench.counts(MAIL).await, [4, 0, 0, 0, 0]);
    let bench = bench.restarted(policy(), subscriptions()).await;
    assert_eq!(ids(&bench.lease(AUDIT, 10).await), ["b", "c"]);
}

#[tokio::test]
async fn several_subscriptions_of_a_queue_are_one() {
    let twice = vec![subscription(MAIL, &["todo.*"]), subscription(MAIL, &["todo.updated", "user.*"])];
    let bench = Sqlite::open(policy()).await.restarted(policy(), twice).await;
    bench.publish([event("a"), Envelope { event_type: "user.login".to_owned(), ..event("b") }]).await;
    assert_eq!(bench.due().await, ["a", "b"]);
}

#[tokio::test]
async fn a_subject_may_hold_any_text() {
    let bench = Sqlite::open(policy()).await;
    let subjects = ["a\0b", "a\0c", "a", "a'b", "a\"b", "a\\b", "", "\u{10ffff}"];
    let events = subjects.iter().enumerate().map(|(n, subject)| about(&format!("first {n}"), subject));
    bench.publish(events).await;
    bench.publish(subjects.iter().enumerate().map(|(n, subject)| about(&format!("second {n}"), subject))).await;
    let first = bench.lease(MAIL, 100).await;
    assert_eq!(first.len(), subjects.len());
    for (n, delivery) in first.iter().enumerate() {
        assert_eq!(delivery.event.id, format!("first {n}"));
        bench.complete(delivery, Outcome::Ack).await;
        assert_eq!(bench.due().await, [format!("second {n}")]);
    }
}

#[tokio::test]
async fn an_id_is_remembered_for_the_window_and_while_its_event_waits() {
    let bench = Sqlite::open(policy()).await;
    bench.publish([event("done"), event("waits")]).await;
    bench.complete(&bench.lease(MAIL, 1).await[0], Outcome::Ack).await;
    bench.pass(DAY - SECOND);
    bench.forget().await;
    bench.publish([event("done")]).await;
    assert_eq!(bench.counts(MAIL).await[0], 1, "within the window");
    bench.pass(SECOND);
    bench.forget().await;
    bench.publish([event("done"), event("waits")]).await;
    assert_eq!(bench.counts(MAIL).await[0], 2, "after it, but for what waits");
}

#[tokio::test]
async fn what_nobody_wants_leaves_no_trace() {
    let bench = Sqlite::open(policy()).await;
    let unwanted = |n: u32| Envelope {
        event_type: "user.login".to_owned(),
        dedup_key: Some(format!("key {n}")),
        ..event(&n.to_string())
    };
    bench.publish((0..100).map(unwanted)).await;
    assert_eq!((bench.rows("known").await, bench.rows("dedup").await, bench.rows("event").await), (0, 0, 0));
    // One that is wanted is remembered beside those that are not.
    bench.publish((100..110).map(unwanted).chain([event("wanted")])).await;
    bench.publish([event("wanted")]).await;
    assert_eq!((bench.rows("known").await, bench.due().await), (1, vec!["wanted".to_owned()]));
}

#[tokio::test]
async fn events_do_not_fill_the_disk() {
    let bench = Sqlite::open(MessagingPolicy { database_bytes: 1 << 20, ..policy() }).await;
    let long = |id: u32| Envelope { data: format!("\"{}\"", "x".repeat(100_000)), ..event(&id.to_string()) };
    let mut kept = 0;
    let refused = loop {
        match bench.backend.publish(vec![long(kept)].into()).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 20, "{kept} events of 100 kB in a megabyte");
    };
    assert!(matches!(refused, MessagingError::Busy(_)), "{refused:?}");
    assert!(kept > 3);
    for delivery in bench.lease(MAIL, 100).await {
        bench.complete(&delivery, Outcome::Ack).await;
    }
    bench.publish([long(100)]).await;
    assert_eq!(bench.due().await, ["100"]);
}

#[tokio::test]
async fn too_many_events_at_once_are_refused() {
    let bench = Sqlite::open(policy()).await;
    let refused = bench.backend.publish(vec![event("a"); 10_001].into()).await;
    assert!(matches!(refused, Err(MessagingError::TooLarge(_))), "{refused:?}");
}

#[tokio::test]
async fn a_publish_that_nobody_waits_for_is_done_and_wakes() {
    let bench = Sqlite::open(policy()).await;
    let backend = Arc::clone(&bench.backend);
    let waiter = tokio::spawn(async move { backend.wait(MAIL).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let dropped = tokio::time::timeout(Duration::ZERO, bench.backend.publish(vec![event("a")].into())).await;
    drop(dropped);
    tokio::time::timeout(Duration::from_secs(5), waiter).await.expect("woken").expect("waits");
    assert_eq!(bench.due().await, ["a"]);
}

#[tokio::test]
async fn events_that_nobody_waits_for_keep_their_room_until_they_are_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("messaging.db");
    let opened = SqliteMessaging::open(&path, policy(), subscriptions(), Arc::new(SystemClock), 7).await;
    let backend = opened.expect("opens");
    keeps_its_room(&path, vec![event("a")], |events| backend.publish(events)).await;
    assert_eq!(ids(&backend.lease(MAIL, 10).await.expect("leases")), ["a"]);
}

#[tokio::test]
async fn a_delay_ends_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("messaging.db");
    let opened = SqliteMessaging::open(&path, policy(), subscriptions(), Arc::new(SystemClock), 7).await;
    let backend = opened.expect("opens");
    let delay = Duration::from_millis(300);
    let began = Instant::now();
    let delayed = Envelope { not_before: Some(jiff::Timestamp::now() + delay), ..event("a") };
    backend.publish(vec![delayed].into()).await.expect("published");
    tokio::time::timeout(Duration::from_secs(5), backend.wait(MAIL)).await.expect("woken");
    assert!(began.elapsed() >= delay);
    assert_eq!(ids(&backend.lease(MAIL, 10).await.expect("leases")), ["a"]);
}

/// The quickest of a few: what a busy machine adds is not counted.
async fn quickest<F: Future>(work: impl Fn() -> F) -> Duration {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        work().await;
        quickest = quickest.min(began.elapsed());
    }
    quickest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_as_quick_as_a_short_one() {
    const ROWS: usize = 100_000;
    let bench = Sqlite::open(MessagingPolicy { queue_length: 1 << 30, max_age: HOUR, ..policy() }).await;
    for call in 0..ROWS / 5_000 {
        // A fifth each: free, delayed, and behind one another in a hundred subjects.
        let events = (0..5_000).map(|n| {
            let id = format!("{call} {n}");
            match n % 5 {
                0 => event(&id),
                1 => Envelope { not_before: Some(bench.now() + DAY), ..event(&id) },
                _ => about(&id, &format!("s{}", n % 100)),
            }
        });
        bench.publish(events).await;
    }
    let counts = bench.counts(MAIL).await;
    assert_eq!((counts.iter().sum::<u64>(), counts[2]), (ROWS as u64, ROWS as u64 / 5));
    let limit = Duration::from_millis(20);
    let status = quickest(|| bench.backend.status()).await;
    let lease = quickest(|| async {
        let held = bench.lease(MAIL, 1).await.remove(0);
        bench.complete(&held, Outcome::Ack).await;
    })
    .await;
    let publish = quickest(|| bench.publish([about(&format!("{:?}", Instant::now()), "s2")])).await;
    assert!(status < limit && lease < limit && publish < limit, "{status:?}, {lease:?}, {publish:?}");
}
