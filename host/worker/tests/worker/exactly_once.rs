//! From many batches to one effect each, with a relay that dies at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::messaging::MessagingBackend;
use chassis_capabilities::sql::Outbox;
use chassis_config::plan::MessagingPolicy;
use chassis_worker::relay::Relay;
use tokio_util::sync::CancellationToken;

use crate::support::{Handler, Worker, World, answer, event, policy};

const EVENTS: usize = 10_000;
const OF_A_BATCH: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_have_their_effect_once_though_the_relay_dies_again_and_again() {
    let world = World::new(MessagingPolicy { concurrency: 64, ..policy() }, Arc::new(SystemClock)).await;
    // The handler's inbox: an effect is had where the id is new.
    let effects: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let inbox = Arc::clone(&effects);
    let handler = Handler::new(move |number, call| {
        let id = call.event()["id"].as_str().unwrap().to_owned();
        *inbox.lock().unwrap().entry(id).or_default() += 1;
        // Some answers are lost behind the effect: those events come again.
        std::future::ready(answer(if number % 101 == 100 { 500 } else { 200 }))
    });
    let mut parts = world.parts(&handler);
    parts.outboxes.clear();
    let worker = Worker::start(parts, world.settings());
    let relays = tokio::spawn(die_again_and_again(Relay {
        name: "todos".to_owned(),
        outbox: Arc::new(world.database.clone()),
        messaging: Arc::clone(&world.messaging) as Arc<dyn MessagingBackend>,
        batch: policy().relay_batch,
        interval: policy().relay_interval,
        clock: Arc::new(SystemClock),
    }));
    for batch in 0..EVENTS / OF_A_BATCH {
        world.batch((0..OF_A_BATCH).map(|number| event(batch * OF_A_BATCH + number, None))).await;
    }
    while !world.database.pending(1, u64::MAX).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    relays.abort();
    world.until("done", |status| status.ready + status.leased + status.delayed == 0).await;
    worker.stop().await;
    assert_eq!(world.status().await.dead, 0);
    let calls = handler.calls().len();
    let lost = (0..calls).filter(|number| number % 101 == 100).count();
    let effects = effects.lock().unwrap();
    assert_eq!(effects.len(), EVENTS, "every event has had its effect");
    assert_eq!(effects.values().sum::<usize>(), calls);
    assert_eq!(calls, EVENTS + lost, "and came again only where its answer was lost, however often it was relayed");
}

/// Relay for a random time of at most 30 ms, die in the middle of whatever it is at, begin anew.
async fn die_again_and_again(relay: Relay) {
    for life in 0_u64.. {
        let running = tokio::spawn(relay.clone().run(CancellationToken::new()));
        // A walk through all lengths that does not repeat itself soon.
        tokio::time::sleep(Duration::from_micros(life * 7_919 % 30_000)).await;
        running.abort();
        let _died = running.await;
    }
}
