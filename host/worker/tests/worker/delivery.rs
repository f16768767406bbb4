//! What an answer leads to, and who holds a delivery meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chassis_capabilities::clock::{ManualClock, SystemClock};
use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{MessagingBackend, Outcome};
use chassis_config::plan::MessagingPolicy;
use chassis_engine::api::{Body, DispatchError};
use chassis_worker::Drained;
use futures::StreamExt;
use http_body_util::StreamBody;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::support::{Answer, Handler, QUEUE, World, answer, event, policy, said};

const NOON: &str = "2025-06-15T12:00:00Z";

fn noon() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOON.parse().unwrap()))
}

/// What became of an event whose first try was answered in some way.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Gone,
    /// It is tried again, as the try with this number.
    Again(u32),
    Dead(String),
}

async fn fate(script: impl Fn() -> Answer + Send + Sync + 'static) -> Fate {
    let clock = noon();
    // Nothing is tried again before the clock is advanced.
    let world = World::new(MessagingPolicy { backoff_base: Duration::from_secs(60), ..policy() }, clock.clone()).await;
    let handler = Handler::new(move |_, _| std::future::ready(script()));
    let worker = world.start(&handler);
    world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
    while handler.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = world.until("settled", |status| status.ready + status.leased == 0).await;
    assert_eq!(worker.stop().await, Drained::Whole);
    assert_eq!(handler.calls().len(), 1);
    if status.dead == 1 {
        let letters = world.messaging.dead_letters(None, None, 10).await.unwrap();
        return Fate::Dead(letters.items[0].reason.clone());
    }
    clock.advance(Duration::from_secs(700));
    match world.messaging.lease(QUEUE, 1).await.unwrap().first() {
        Some(delivery) => Fate::Again(delivery.attempt),
        None => Fate::Gone,
    }
}

#[tokio::test]
async fn the_answer_decides_what_becomes_of_an_event() {
    for status in [200, 202, 204] {
        assert_eq!(fate(move || answer(status)).await, Fate::Gone, "{status}");
    }
    for status in [429, 500, 503, 307] {
        assert_eq!(fate(move || answer(status)).await, Fate::Again(2), "{status}");
    }
    for status in [400, 401, 404, 422] {
        let Fate::Dead(reason) = fate(move || said(status, "{\"title\":\"no such todo\"}")).await else {
            panic!("{status}")
        };
        assert!(reason.starts_with(&status.to_string()) && reason.contains("no such todo"), "{reason}");
    }
}

#[tokio::test]
async fn a_failure_of_the_host_uses_up_no_attempt() {
    let late = DispatchError::DeadlineExceeded(Duration::from_secs(1));
    let full = DispatchError::Overloaded { retry_after: Duration::from_secs(1) };
    for (error, again) in [
        (full, 1),
        (DispatchError::InstanceLost, 1),
        (DispatchError::ShuttingDown, 1),
        (DispatchError::UnknownComponent(QUEUE.to_owned()), 1),
        (late, 2),
        (DispatchError::Trapped("unreachable".to_owned()), 2),
        (DispatchError::BadResponse("internal-error".to_owned()), 2),
    ] {
        let expected = error.clone();
        assert_eq!(fate(move || Err(error.clone())).await, Fate::Again(again), "{expected}");
    }
}

#[tokio::test]
async fn overload_is_survived_however_often_it_comes() {
    let world = World::new(MessagingPolicy { attempts: 2, ..policy() }, Arc::new(SystemClock)).await;
    let handler = Handler::new(|number, _| {
        let full = DispatchError::Overloaded { retry_after: Duration::from_secs(1) };
        std::future::ready(if number < 12 { Err(full) } else { answer(200) })
    });
    let worker = world.start(&handler);
    world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
    world.until("done", |status| status.ready + status.leased + status.delayed == 0).await;
    assert_eq!((handler.calls().len(), world.status().await.dead), (13, 0));
    worker.stop().await;
}

#[tokio::test]
async fn attempts_end_in_the_dead_letters() {
    let world = World::new(MessagingPolicy { attempts: 3, ..policy() }, Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, _| std::future::ready(said(500, "out of\nstock")));
    let worker = world.start(&handler);
    world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
    world.until("dead", |status| status.dead == 1).await;
    assert_eq!(handler.calls().len(), 3);
    let letter = world.messaging.dead_letters(None, None, 1).await.unwrap().items.remove(0);
    assert_eq!((letter.attempts, letter.reason.as_str()), (3, "500 Internal Server Error: out of stock"));
    worker.stop().await;
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    for (value, wait) in [("120", 120), ("Sun, 15 Jun 2025 12:03:20 GMT", 200)] {
        let clock = noon();
        let world = World::new(policy(), clock.clone()).await;
        let handler = Handler::new(move |number, _| {
            let mut response = answer(if number == 0 { 503 } else { 200 }).unwrap();
            response.headers_mut().insert("retry-after", value.parse().unwrap());
            std::future::ready(Ok(response))
        });
        let worker = world.start(&handler);
        world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
        world.until("put off", |status| status.delayed == 1).await;
        clock.advance(Duration::from_secs(wait - 1));
        world.messaging.poke();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(handler.calls().len(), 1, "{value}: it is too early");
        clock.advance(Duration::from_secs(2));
        world.messaging.poke();
        world.until("done", |status| status.ready + status.leased + status.delayed == 0).await;
        assert_eq!(handler.calls().len(), 2);
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_slow_handler_keeps_its_lease() {
    let lease = Duration::from_millis(300);
    let world = World::new(MessagingPolicy { lease, ..policy() }, Arc::new(SystemClock)).await;
    let handler = Handler::new(move |_, _| async move {
        tokio::time::sleep(lease * 5).await;
        answer(200)
    });
    let worker = world.start(&handler);
    world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
    handler.until_running(1).await;
    while handler.running() == 1 {
        assert_eq!(world.messaging.lease(QUEUE, 1).await.unwrap(), [], "nobody else gets it meanwhile");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.until("done", |status| status.ready + status.leased + status.delayed == 0).await;
    assert_eq!(handler.calls().len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn who_lost_a_lease_is_stopped_and_decides_nothing() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let clock = noon();
    let world = World::new(MessagingPolicy { lease: Duration::from_millis(600), ..policy() }, clock.clone()).await;
    let handler = Handler::new(|_, _| std::future::pending());
    let worker = world.start(&handler);
    world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
    handler.until_running(1).await;
    // The host was asleep for longer than a lease; another one takes over.
    let taken = loop {
        clock.advance(Duration::from_secs(1));
        if let Some(taken) = world.messaging.lease(QUEUE, 1).await.unwrap().pop() {
            break taken;
        }
    };
    handler.until_running(0).await;
    assert_eq!(world.status().await.leased, 1, "the new lease stands");
    world.messaging.complete(&taken, Outcome::Ack).await.unwrap();
    assert_eq!(world.status().await.leased, 0);
    while !metrics.render().contains(r#"outcome="lease_lost"} 1"#) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(handler.calls().len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_lease() {
    let lease = Duration::from_millis(300);
    let world = World::new(MessagingPolicy { lease, ..policy() }, Arc::new(SystemClock)).await;
    let handler = Handler::new(|number, _| async move {
        assert!(number > 0, "a bug in the engine");
        answer(200)
    });
    let worker = world.start(&handler);
    world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
    world.until("done", |status| status.ready + status.leased + status.delayed == 0).await;
    assert_eq!(handler.calls().len(), 2);
    worker.stop().await;
}

#[tokio::test]
async fn an_endless_body_is_let_go() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, _| async {
        let flood = futures::stream::repeat(Bytes::from_static(&[b'x'; 1024]));
        let body = Body::new(StreamBody::new(flood.map(|bytes| Ok(http_body::Frame::data(bytes)))));
        Ok(http::Response::new(body))
    });
    let worker = world.start(&handler);
    world.messaging.publish(vec![event(1, None)].into()).await.unwrap();
    world.until("done", |status| status.ready + status.leased + status.delayed == 0).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_subject_is_kept_and_subjects_do_not_wait_for_each_other() {
    const SUBJECTS: usize = 6;
    const EACH: usize = 40;
    let world = World::new(MessagingPolicy { attempts: 100, ..policy() }, Arc::new(SystemClock)).await;
    let handled: Arc<Mutex<BTreeMap<String, Vec<usize>>>> = Arc::default();
    let busy: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (log, at_work) = (Arc::clone(&handled), Arc::clone(&busy));
    let handler = Handler::new(move |number, call| {
        let (log, at_work) = (Arc::clone(&log), Arc::clone(&at_work));
        async move {
            let subject = call.event()["subject"].as_str().unwrap().to_owned();
            let others = std::mem::replace(at_work.lock().unwrap().entry(subject.clone()).or_default(), 1);
            assert_eq!(others, 0, "two of {subject} at a time");
            tokio::time::sleep(Duration::from_millis(number as u64 * 7 % 5)).await;
            at_work.lock().unwrap().insert(subject.clone(), 0);
            // Every seventh try fails, and what is behind it has to wait.
            if number % 7 == 3 {
                return answer(503);
            }
            log.lock().unwrap().entry(subject).or_default().push(call.number());
            answer(200)
        }
    });
    let worker = world.start(&handler);
    let all: Vec<Envelope> =
        (0..SUBJECTS * EACH).map(|number| event(number, Some(&format!("todo_{}", number % SUBJECTS)))).collect();
    for some in all.chunks(24) {
        world.batch(some.to_vec()).await;
    }
    world.until("all done", |status| status.ready + status.blocked + status.leased + status.delayed == 0).await;
    while handled.lock().unwrap().values().map(Vec::len).sum::<usize>() < SUBJECTS * EACH {
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.until("all done", |status| status.ready + status.blocked + status.leased + status.delayed == 0).await;
    }
    worker.stop().await;
    for (subject, numbers) in handled.lock().unwrap().iter() {
        assert!(numbers.is_sorted(), "{subject}: {numbers:?}");
        assert_eq!(numbers.len(), EACH);
    }
    assert!((2..=8).contains(&handler.most()), "{} at a time", handler.most());
}

#[tokio::test]
async fn no_more_run_at_a_time_than_there_may() {
    let world = World::new(MessagingPolicy { concurrency: 3, ..policy() }, Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, _| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        answer(200)
    });
    let worker = world.start(&handler);
    world.messaging.publish((0..60).map(|number| event(number, None)).collect::<Vec<_>>().into()).await.unwrap();
    world.until("done", |status| status.ready + status.leased == 0).await;
    assert_eq!((handler.calls().len(), handler.most()), (60, 3));
    worker.stop().await;
}
