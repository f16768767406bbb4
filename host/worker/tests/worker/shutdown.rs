//! How the work ends.

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::messaging::MessagingBackend;
use chassis_config::plan::MessagingPolicy;
use chassis_worker::Drained;

use crate::support::{Handler, QUEUE, World, answer, event, policy};

#[tokio::test]
async fn what_runs_is_finished_and_nothing_new_is_begun() {
    let world = World::new(MessagingPolicy { concurrency: 2, ..policy() }, Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, _| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        answer(200)
    });
    let worker = world.start(&handler);
    world.messaging.publish((0..10).map(|number| event(number, None)).collect::<Vec<_>>().into()).await.unwrap();
    handler.until_running(2).await;
    assert_eq!(worker.stop().await, Drained::Whole);
    let status = world.status().await;
    assert_eq!((handler.calls().len(), status.ready, status.leased), (2, 8, 0));
    // Nothing is in the way of the next one.
    let worker = world.start(&handler);
    world.until("done", |status| status.ready + status.leased == 0).await;
    worker.stop().await;
    assert_eq!(handler.calls().len(), 10);
}

#[tokio::test]
async fn what_takes_too_long_goes_back_to_its_queue() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, call| async move {
        if call.number() == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            return answer(200);
        }
        std::future::pending().await
    });
    let worker = world.start(&handler);
    world.messaging.publish((0..4).map(|number| event(number, None)).collect::<Vec<_>>().into()).await.unwrap();
    handler.until_running(4).await;
    assert_eq!(worker.stop().await, Drained::Cut(3));
    assert_eq!(handler.running(), 0, "no handler is left alone");
    let status = world.until("due again", |status| status.ready == 3).await;
    assert_eq!(status.leased, 0);
    let leased = world.messaging.lease(QUEUE, 10).await.unwrap();
    assert!(leased.iter().all(|delivery| delivery.attempt == 1), "it was not their fault: {leased:?}");
    assert_eq!(leased.len(), 3);
}

#[tokio::test]
async fn an_idle_worker_ends_at_once() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let worker = world.start(&Handler::new(|_, _| async { answer(200) }));
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Whoever waited for the drain deadline would have been cut.
    assert_eq!(worker.stop().await, Drained::Whole);
}
