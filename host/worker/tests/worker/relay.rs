//! From the outbox to the queues, whatever fails on the way.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{MessagingBackend, MessagingError};
use chassis_capabilities::sql::{Outbox, SqlError};
use chassis_config::plan::MessagingPolicy;
use chassis_worker::NamedOutbox;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::flaky::{FlakyMessaging, FlakyOutbox};
use crate::support::{Handler, Worker, World, answer, event, policy};

/// The numbers of the events that a handler was given; each must have come once.
fn numbers(handler: &Handler) -> BTreeSet<usize> {
    let calls = handler.calls();
    let numbers: BTreeSet<usize> = calls.iter().map(|call| call.number()).collect();
    assert_eq!(numbers.len(), calls.len(), "something came twice");
    numbers
}

async fn until_calls(handler: &Handler, count: usize) {
    for _ in 0..3000 {
        if handler.calls().len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} calls, not {count}", handler.calls().len());
}

#[tokio::test]
async fn a_published_event_is_on_its_way_at_once() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, _| async { answer(200) });
    let worker = world.start(&handler);
    // Long enough for the relay to rest; far less than its poll.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..5 {
        let begun = std::time::Instant::now();
        world.batch([event(number, None)]).await;
        until_calls(&handler, number + 1).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    worker.stop().await;
    assert_eq!(world.database.pending(10, u64::MAX).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_published_while_nobody_relayed_is_found() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    for number in 0..250 {
        world.batch([event(number, None)]).await;
    }
    let handler = Handler::new(|_, _| async { answer(200) });
    let worker = world.start(&handler);
    until_calls(&handler, 250).await;
    worker.stop().await;
    assert_eq!(numbers(&handler).len(), 250);
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let world = World::new(MessagingPolicy { queue_length: 120, ..policy() }, Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, _| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        answer(200)
    });
    for chunk in 0..20 {
        world.batch((0..30).map(|number| event(chunk * 30 + number, None))).await;
    }
    let worker = world.start(&handler);
    until_calls(&handler, 600).await;
    worker.stop().await;
    assert_eq!(numbers(&handler).len(), 600);
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_queue_that_is_full_is_told_once() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let messaging = FlakyMessaging {
        publish: |number, _| {
            let wait = Duration::from_millis(1);
            let full = |queue: &str| Some(MessagingError::QueueFull { queue: queue.to_owned(), wait });
            match number {
                0 | 2 => Some(MessagingError::Busy(wait)),
                1 | 3 => full("first"),
                4 | 5 => full("second"),
                _ => None,
            }
        },
        ..FlakyMessaging::new(Arc::clone(&world.messaging) as Arc<dyn MessagingBackend>)
    };
    let handler = Handler::new(|_, _| async { answer(200) });
    let mut parts = world.parts(&handler);
    parts.messaging = Arc::new(messaging);
    world.batch([event(1, None)]).await;
    let worker = Worker::start(parts, world.settings());
    until_calls(&handler, 1).await;
    worker.stop().await;
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let logged = logged.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told: Vec<_> = logged.filter_map(|line| Some(line.get("queue")?.as_str()?.to_owned())).collect();
    assert_eq!(told, ["first", "second"]);
}

#[tokio::test]
async fn large_events_are_moved_a_few_at_a_time() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let messaging = FlakyMessaging {
        publish: |_, events| {
            assert!(events < 8, "{events} events of a megabyte");
            None
        },
        ..FlakyMessaging::new(Arc::clone(&world.messaging) as Arc<dyn MessagingBackend>)
    };
    for number in 0..20 {
        let small = event(number, None);
        world.batch([Envelope { data: format!("{}{}", small.data, " ".repeat(1 << 20)), ..small }]).await;
    }
    let handler = Handler::new(|_, _| async { answer(200) });
    let mut parts = world.parts(&handler);
    parts.messaging = Arc::new(messaging);
    let worker = Worker::start(parts, world.settings());
    until_calls(&handler, 20).await;
    worker.stop().await;
    assert_eq!(numbers(&handler).len(), 20);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_where_every_step_fails_at_times() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let messaging = Arc::new(FlakyMessaging {
        publish: |number, events| match number % 6 {
            0 => Some(MessagingError::Internal("at times".to_owned())),
            1 => Some(MessagingError::Busy(Duration::from_millis(1))),
            _ => (events > 13).then(|| MessagingError::TooLarge("13 at most".to_owned())),
        },
        complete: |number, _| (number % 3 == 0).then_some(MessagingError::Busy(Duration::from_millis(1))),
        ..FlakyMessaging::new(Arc::clone(&world.messaging) as Arc<dyn MessagingBackend>)
    });
    let outbox = Arc::new(FlakyOutbox {
        inner: Arc::new(world.database.clone()),
        pending: |number, _| (number % 5 == 0).then_some(SqlError::Busy(Duration::from_millis(1))),
        confirm: |number, _| (number % 4 == 0).then_some(SqlError::OutcomeUnknown),
        looks: AtomicUsize::new(0),
        confirms: AtomicUsize::new(0),
    });
    for chunk in 0..4 {
        world.batch((0..50).map(|number| event(chunk * 50 + number, None))).await;
    }
    let handler = Handler::new(|_, _| async { answer(200) });
    let mut parts = world.parts(&handler);
    parts.messaging = Arc::clone(&messaging) as Arc<dyn MessagingBackend>;
    parts.outboxes = vec![NamedOutbox { name: "todos".to_owned(), outbox: outbox.clone() as Arc<dyn Outbox> }];
    let worker = Worker::start(parts, world.settings());
    until_calls(&handler, 200).await;
    // What was confirmed in vain is published again, and nobody is given it again.
    while !world.database.pending(1, u64::MAX).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.until("done", |status| status.ready + status.leased + status.delayed == 0).await;
    worker.stop().await;
    assert_eq!(numbers(&handler).len(), 200);
    assert!(outbox.confirms.load(Ordering::SeqCst) >= 16 && messaging.published.load(Ordering::SeqCst) >= 16);
}

#[tokio::test]
async fn a_relay_that_panics_is_begun_anew() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let messaging = FlakyMessaging {
        publish: |number, _| {
            assert!(number > 0, "a bug in a backend");
            None
        },
        ..FlakyMessaging::new(Arc::clone(&world.messaging) as Arc<dyn MessagingBackend>)
    };
    let handler = Handler::new(|_, _| async { answer(200) });
    let mut parts = world.parts(&handler);
    parts.messaging = Arc::new(messaging);
    let worker = Worker::start(parts, world.settings());
    world.batch([event(1, None)]).await;
    until_calls(&handler, 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_for_its_whole_time_is_given_up() {
    let lease = Duration::from_millis(300);
    let world = World::new(MessagingPolicy { lease, ..policy() }, Arc::new(SystemClock)).await;
    let messaging = FlakyMessaging {
        // The first one fails, and the next is in time; later none is.
        renew: |number, _| (number != 1).then(|| MessagingError::Internal("the disk is gone".to_owned())),
        ..FlakyMessaging::new(Arc::clone(&world.messaging) as Arc<dyn MessagingBackend>)
    };
    let handler = Handler::new(|number, _| async move {
        if number == 0 {
            return std::future::pending().await;
        }
        answer(200)
    });
    let mut parts = world.parts(&handler);
    parts.messaging = Arc::new(messaging);
    let begun = std::time::Instant::now();
    let worker = Worker::start(parts, world.settings());
    world.batch([event(1, None)]).await;
    until_calls(&handler, 2).await;
    assert!(begun.elapsed() > lease, "it was renewed once: {:?}", begun.elapsed());
    handler.until_running(0).await;
    worker.stop().await;
}

#[tokio::test]
async fn what_happens_can_be_watched() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let world =
        World::new(MessagingPolicy { backoff_base: Duration::from_secs(60), ..policy() }, Arc::new(SystemClock)).await;
    world
        .messaging
        .publish((10..13).map(|number| event(number, Some("same"))).collect::<Vec<_>>().into())
        .await
        .unwrap();
    let handler = Handler::new(|_, call| std::future::ready(answer([200, 503, 422][call.number() % 3])));
    let worker = world.start(&handler);
    world.batch([event(0, None), event(2, None)]).await;
    until_calls(&handler, 3).await;
    world.until("settled", |status| status.dead == 1 && status.leased == 0).await;
    worker.stop().await;
    let shown = metrics.render();
    for line in [
        r#"event_deliveries_total{component="notifications",outcome="ack"} 1"#,
        r#"event_deliveries_total{component="notifications",outcome="retry"} 1"#,
        r#"event_deliveries_total{component="notifications",outcome="reject"} 1"#,
        r#"event_delivery_duration_seconds_count{component="notifications"} 3"#,
        r#"outbox_events_relayed_total{outbox="todos"} 2"#,
        r#"outbox_lag_seconds{outbox="todos"}"#,
        r#"event_queue_deliveries{queue="notifications",state="blocked"} 2"#,
        r#"event_queue_oldest_ready_seconds{queue="notifications"}"#,
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
}
