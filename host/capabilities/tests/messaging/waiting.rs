//! Who is woken when, and what the status says.

use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::Outcome;
use tokio::task::JoinHandle;

use crate::bench::{AUDIT, Bench, LEASE, MAIL, SECOND, about, event, ids, reject, retry_after};

/// Long enough for a wake-up on a busy machine, and for one that must not come.
const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(150);

/// Someone who waits for a queue, and is seen to wait.
async fn waiter(bench: &Bench, queue: &'static str) -> JoinHandle<()> {
    let backend = Arc::clone(&bench.backend);
    let waiter = tokio::spawn(async move { backend.wait(queue).await });
    tokio::time::sleep(A_WHILE).await;
    assert!(!waiter.is_finished(), "nothing is due yet");
    waiter
}

async fn is_woken(waiter: JoinHandle<()>) {
    tokio::time::timeout(SOON, waiter).await.expect("woken").expect("waits");
}

pub(crate) async fn a_publish_wakes_who_waits(bench: Bench) {
    let (one, another) = (waiter(&bench, MAIL).await, waiter(&bench, MAIL).await);
    bench.publish([event("a")]).await;
    is_woken(one).await;
    is_woken(another).await;
}

pub(crate) async fn what_is_due_is_not_waited_for(bench: Bench) {
    bench.publish([event("a")]).await;
    tokio::time::timeout(SOON, bench.backend.wait(MAIL)).await.expect("at once");
}

pub(crate) async fn a_passed_delay_wakes_who_waits(bench: Bench) {
    bench.publish([Envelope { not_before: Some(bench.now() + LEASE), ..event("a") }]).await;
    let waiter = waiter(&bench, MAIL).await;
    bench.pass(LEASE);
    is_woken(waiter).await;
}

pub(crate) async fn a_passed_pause_wakes_who_waits(bench: Bench) {
    bench.publish([event("a")]).await;
    bench.complete(&bench.one().await, retry_after(SECOND)).await;
    let waiter = waiter(&bench, MAIL).await;
    bench.pass(SECOND);
    is_woken(waiter).await;
}

pub(crate) async fn a_replay_wakes_who_waits(bench: Bench) {
    bench.publish([event("a")]).await;
    bench.complete(&bench.one().await, reject()).await;
    let id = bench.backend.dead_letters(None, None, 1).await.expect("lists").items.remove(0).id;
    let waiter = waiter(&bench, MAIL).await;
    assert_eq!(bench.backend.replay(&id).await, Ok(true));
    is_woken(waiter).await;
}

pub(crate) async fn an_acknowledgement_wakes_who_waits_for_the_subject(bench: Bench) {
    bench.publish([about("s1", "s"), about("s2", "s")]).await;
    let first = bench.one().await;
    let waiter = waiter(&bench, MAIL).await;
    bench.complete(&first, Outcome::Ack).await;
    is_woken(waiter).await;
}

pub(crate) async fn nothing_wakes_who_waits_for_another_queue(bench: Bench) {
    let (audit, nobody) = (waiter(&bench, AUDIT).await, waiter(&bench, "nobody").await);
    bench.publish([event("a")]).await;
    bench.complete(&bench.one().await, retry_after(SECOND)).await;
    bench.pass(SECOND);
    tokio::time::sleep(A_WHILE).await;
    assert!(!audit.is_finished() && !nobody.is_finished());
}

pub(crate) async fn the_status_counts_every_state(bench: Bench) {
    let delayed = |id: &str| Envelope { not_before: Some(bench.now() + LEASE), ..event(id) };
    bench.publish([about("s1", "s"), about("s2", "s"), about("s3", "s"), delayed("d1"), delayed("d2")]).await;
    bench.publish([event("a"), event("b"), event("c")]).await;
    assert_eq!(bench.counts(MAIL).await, [4, 2, 2, 0, 0]);
    let leased = bench.lease(MAIL, 3).await;
    assert_eq!(ids(&leased), ["s1", "a", "b"]);
    assert_eq!(bench.counts(MAIL).await, [1, 2, 2, 3, 0]);
    bench.complete(&leased[1], retry_after(SECOND)).await;
    bench.complete(&leased[2], reject()).await;
    assert_eq!(bench.counts(MAIL).await, [1, 2, 3, 1, 1]);
    assert_eq!(bench.counts(AUDIT).await, [0; 5]);
    bench.pass(LEASE);
    assert_eq!(bench.counts(MAIL).await, [5, 2, 0, 0, 1], "what is due by now is ready, though nobody has looked");
    assert_eq!(bench.due().await.len(), 5);
    assert_eq!(bench.counts(MAIL).await, [0, 2, 0, 5, 1]);
}

pub(crate) async fn the_oldest_is_measured_from_when_it_was_due(bench: Bench) {
    assert_eq!(bench.status(MAIL).await.oldest_ready_seconds, None);
    bench.publish([Envelope { not_before: Some(bench.now() + 10 * SECOND), ..event("delayed") }]).await;
    bench.pass(12 * SECOND);
    assert_eq!(bench.status(MAIL).await.oldest_ready_seconds, Some(2));
    bench.publish([event("a")]).await;
    assert_eq!(bench.due().await, ["delayed", "a"]);
    assert_eq!(bench.status(MAIL).await.oldest_ready_seconds, None);
    bench.publish([event("b")]).await;
    bench.pass(7 * SECOND);
    assert_eq!(bench.status(MAIL).await.oldest_ready_seconds, Some(7));
}
