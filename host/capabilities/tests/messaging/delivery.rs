//! From a publish to the end of a lease.

use std::collections::BTreeSet;

use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{Delivery, MessagingError, Outcome};

use crate::bench::{
    AUDIT, Bench, DAY, HOUR, LEASE, MAIL, QUEUE_LENGTH, SECOND, about, event, host_failure, ids, reject, retry,
    retry_after,
};

fn of_type(id: &str, event_type: &str) -> Envelope {
    Envelope { event_type: event_type.to_owned(), ..event(id) }
}

pub(crate) async fn an_event_reaches_every_queue_that_subscribes(bench: Bench) {
    let types = ["todo.created", "todo.updated", "user.registered", "user.login", "todo", "todox.created"];
    bench.publish(types.iter().map(|kind| of_type(kind, kind))).await;
    bench.publish([]).await;
    assert_eq!(ids(&bench.lease(MAIL, 100).await), ["todo.created", "todo.updated", "user.registered"]);
    let audit = bench.lease(AUDIT, 100).await;
    assert_eq!(ids(&audit), ["todo.created"]);
    assert_eq!(audit[0].queue, AUDIT);
    bench.complete(&audit[0], Outcome::Ack).await;
    assert_eq!(bench.counts(MAIL).await, [0, 0, 0, 3, 0], "each queue goes on by itself");
    assert_eq!(bench.lease("nobody", 100).await, []);
}

pub(crate) async fn an_event_arrives_as_it_was_published(bench: Bench) {
    let all = Envelope {
        id: "0197-ü".to_owned(),
        source: "/components/todos".to_owned(),
        event_type: "todo.created".to_owned(),
        subject: Some("todo_\"\\'%\u{1f511}".to_owned()),
        time: "2026-02-03T04:05:06.123456789Z".parse().expect("a time"),
        data: "{\"text\":\"\\u0000 \\\"quoted\\\" \u{2028}\\n\",\"n\":1e400}".to_owned(),
        not_before: Some("2020-01-01T00:00:00.000000001Z".parse().expect("a time")),
        priority: 9,
        dedup_key: Some("key".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    };
    let large = Envelope { data: format!("\"{}\"", "x".repeat(256 * 1_024 - 2)), ..event("large") };
    bench.publish([all.clone(), large.clone()]).await;
    let due = bench.lease(MAIL, 100).await;
    let events: Vec<&Envelope> = due.iter().map(|delivery| &delivery.event).collect();
    assert_eq!(events, [&all, &large]);
}

pub(crate) async fn an_id_that_is_known_is_ignored(bench: Bench) {
    bench.publish([event("a"), event("a")]).await;
    bench.publish([event("a"), event("b")]).await;
    let due = bench.lease(MAIL, 100).await;
    assert_eq!(ids(&due), ["a", "b"]);
    bench.publish([event("a")]).await;
    assert_eq!(bench.due().await, Vec::<String>::new(), "while it is leased");
    bench.complete(&due[0], Outcome::Ack).await;
    bench.complete(&due[1], reject()).await;
    bench.publish([event("a"), event("b")]).await;
    assert_eq!(bench.due().await, Vec::<String>::new(), "after it is done");
}

pub(crate) async fn a_deduplication_key_holds_for_its_window_and_its_source(bench: Bench) {
    let keyed = |id: &str, time| Envelope { dedup_key: Some("k".to_owned()), time, ..event(id) };
    let start = bench.now();
    bench.publish([keyed("first", start), keyed("second", start)]).await;
    bench.publish([Envelope { source: "/components/auth".to_owned(), ..keyed("other source", start) }]).await;
    bench.publish([Envelope { dedup_key: Some("l".to_owned()), ..event("other key") }, event("no key")]).await;
    assert_eq!(bench.due().await, ["first", "other source", "other key", "no key"]);
    bench.pass(DAY - SECOND);
    bench.publish([keyed("within", bench.now())]).await;
    bench.pass(SECOND);
    bench.forget().await;
    bench.publish([keyed("late, from within", start + (DAY - SECOND)), keyed("after", bench.now())]).await;
    let due: Vec<String> = bench.due().await;
    let new: Vec<&String> = due.iter().filter(|id| id.contains("with") || id.contains("after")).collect();
    assert_eq!(new, ["after"]);
}

pub(crate) async fn a_delayed_event_waits(bench: Bench) {
    let delayed = |id: &str, delay| Envelope { not_before: Some(bench.now() + delay), ..event(id) };
    bench.publish([delayed("later", 10 * SECOND), delayed("soon", 5 * SECOND), event("now")]).await;
    assert_eq!(bench.due().await, ["now"]);
    bench.pass(5 * SECOND - std::time::Duration::from_micros(1));
    assert_eq!(bench.due().await, Vec::<String>::new());
    bench.pass(std::time::Duration::from_micros(1));
    assert_eq!(bench.due().await, ["soon"]);
    bench.pass(5 * SECOND);
    assert_eq!(bench.due().await, ["later"]);
}

pub(crate) async fn the_highest_priority_goes_first_and_the_lowest_does_not_starve(bench: Bench) {
    let urgent = |id: &str, priority| Envelope { priority, ..event(id) };
    bench.publish([urgent("0", 0), urgent("4", 4), urgent("9", 9), urgent("4 too", 4)]).await;
    assert_eq!(bench.due().await, ["9", "4", "4 too", "0"]);
    bench.publish([urgent("patient", 0)]).await;
    let mut served = Vec::new();
    for hour in 0..24 {
        bench.publish([urgent(&format!("new {hour}"), 9)]).await;
        bench.pass(HOUR / 2);
        served.extend(bench.lease(MAIL, 1).await);
        bench.publish([urgent(&format!("newer {hour}"), 9)]).await;
    }
    assert!(ids(&served).contains(&"patient"), "{:?}", ids(&served));
}

/// Lease all that is due and acknowledge it; its ids.
async fn take(bench: &Bench) -> Vec<String> {
    let due = bench.lease(MAIL, 100).await;
    for delivery in &due {
        bench.complete(delivery, Outcome::Ack).await;
    }
    ids(&due).into_iter().map(str::to_owned).collect()
}

pub(crate) async fn a_subject_is_delivered_in_order_and_one_at_a_time(bench: Bench) {
    let urgent = Envelope { priority: 9, ..about("s2", "s") };
    bench.publish([about("s1", "s"), urgent, about("t1", "t"), event("free 1"), event("free 2")]).await;
    bench.publish([about("s3", "s"), about("t2", "t")]).await;
    let first = bench.lease(MAIL, 100).await;
    assert_eq!(ids(&first), ["s1", "t1", "free 1", "free 2"], "the order goes before the priority");
    assert_eq!(bench.due().await, Vec::<String>::new());
    bench.complete(&first[0], Outcome::Ack).await;
    let second = bench.one().await;
    assert_eq!(second.event.id, "s2");
    bench.complete(&first[1], reject()).await;
    assert_eq!(take(&bench).await, ["t2"], "a dead letter holds nothing back");
    bench.complete(&second, Outcome::Ack).await;
    assert_eq!(take(&bench).await, ["s3"]);
    bench.publish([about("s4", "s")]).await;
    assert_eq!(take(&bench).await, ["s4"]);
}

pub(crate) async fn a_subject_waits_for_the_retry_of_its_first(bench: Bench) {
    bench.publish([about("s1", "s"), about("s2", "s")]).await;
    bench.complete(&bench.one().await, retry_after(10 * SECOND)).await;
    bench.publish([about("s3", "s")]).await;
    assert_eq!(bench.due().await, Vec::<String>::new());
    bench.pass(10 * SECOND);
    for expected in ["s1", "s2", "s3"] {
        assert_eq!(take(&bench).await, [expected]);
    }
}

pub(crate) async fn a_delayed_event_takes_its_place_when_it_is_due(bench: Bench) {
    let delayed = Envelope { not_before: Some(bench.now() + 10 * SECOND), ..about("delayed", "s") };
    bench.publish([delayed, about("s1", "s"), about("s2", "s")]).await;
    assert_eq!(take(&bench).await, ["s1"], "what is not due holds nothing back");
    bench.pass(10 * SECOND);
    // Published after it was due, before anyone looked.
    bench.publish([about("s3", "s")]).await;
    for expected in ["s2", "delayed", "s3"] {
        assert_eq!(take(&bench).await, [expected]);
    }
}

pub(crate) async fn what_is_acknowledged_is_gone(bench: Bench) {
    bench.publish([event("a")]).await;
    bench.complete(&bench.one().await, Outcome::Ack).await;
    bench.pass(DAY);
    assert_eq!(bench.due().await, Vec::<String>::new());
    assert_eq!(bench.counts(MAIL).await, [0; 5]);
}

pub(crate) async fn a_retry_comes_after_its_pause_until_the_attempts_are_used_up(bench: Bench) {
    bench.publish([event("a")]).await;
    for attempt in 1..=3 {
        let delivery = bench.one().await;
        assert_eq!(delivery.attempt, attempt);
        bench.complete(&delivery, retry()).await;
        // The pause is at most base times two to the power of the failed tries less one.
        bench.pass(SECOND * (1 << (attempt - 1)));
    }
    bench.pass(DAY);
    assert_eq!(bench.due().await, Vec::<String>::new());
    let letters = bench.backend.dead_letters(None, None, 10).await.expect("lists").items;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].attempts, letters[0].reason.as_str()), (3, "try again"));
    assert_eq!(letters[0].event, event("a"));
}

pub(crate) async fn the_pause_that_a_handler_asks_for_is_kept(bench: Bench) {
    bench.publish([event("a")]).await;
    bench.complete(&bench.one().await, retry_after(17 * SECOND)).await;
    bench.pass(17 * SECOND - std::time::Duration::from_micros(1));
    assert_eq!(bench.due().await, Vec::<String>::new());
    bench.pass(std::time::Duration::from_micros(1));
    bench.complete(&bench.one().await, retry_after(DAY)).await;
    bench.pass(60 * SECOND);
    assert_eq!(bench.due().await, ["a"], "but not beyond the longest pause");
}

pub(crate) async fn a_failure_of_the_host_uses_up_no_attempt(bench: Bench) {
    bench.publish([event("a")]).await;
    for _ in 0..20 {
        let delivery = bench.one().await;
        assert_eq!(delivery.attempt, 1);
        bench.complete(&delivery, host_failure()).await;
        assert_eq!(bench.due().await, Vec::<String>::new(), "it is tried soon, but not at once");
        bench.pass(2 * SECOND);
    }
    assert_eq!(take(&bench).await, ["a"]);
}

pub(crate) async fn the_age_ends_the_failures_of_the_host(bench: Bench) {
    let delayed = Envelope { not_before: Some(bench.now() + DAY), ..event("delayed") };
    bench.publish([event("old"), event("never tried"), delayed]).await;
    let old = bench.lease(MAIL, 1).await.remove(0);
    bench.complete(&old, host_failure()).await;
    bench.pass(DAY);
    for expected in ["never tried", "old", "delayed"] {
        let delivery = bench.lease(MAIL, 1).await.remove(0);
        assert_eq!(delivery.event.id, expected, "age alone gives nothing up");
        bench.complete(&delivery, host_failure()).await;
    }
    bench.pass(2 * SECOND);
    assert_eq!(bench.due().await, ["delayed"], "a delay does not count as age");
    assert_eq!(bench.counts(MAIL).await[4], 2);
}

pub(crate) async fn a_lease_that_is_not_renewed_passes_on_and_is_fenced(bench: Bench) {
    bench.publish([about("s1", "s"), about("s2", "s")]).await;
    let stale = bench.one().await;
    bench.pass(LEASE - SECOND);
    assert_eq!(bench.due().await, Vec::<String>::new());
    bench.pass(SECOND);
    let fresh = bench.one().await;
    assert_eq!((fresh.event.id.as_str(), fresh.attempt), ("s1", 1), "no attempt was used up");
    assert!(fresh.lease > stale.lease);
    bench.is_lost(&stale).await;
    bench.complete(&fresh, Outcome::Ack).await;
    assert_eq!(bench.due().await, ["s2"]);
    bench.pass(2 * HOUR);
    assert_eq!(bench.due().await, Vec::<String>::new(), "too old to be tried once more");
    let letters = bench.backend.dead_letters(Some(MAIL), None, 10).await.expect("lists").items;
    assert_eq!((letters.len(), letters[0].event.id.as_str(), letters[0].attempts), (1, "s2", 0));
}

pub(crate) async fn a_renewed_lease_holds(bench: Bench) {
    bench.publish([event("a")]).await;
    let delivery = bench.one().await;
    for _ in 0..20 {
        bench.pass(LEASE - SECOND);
        assert_eq!(bench.backend.renew(&delivery).await, Ok(()));
        assert_eq!(bench.due().await, Vec::<String>::new());
    }
    bench.complete(&delivery, Outcome::Ack).await;
    assert_eq!(bench.counts(MAIL).await, [0; 5]);
}

pub(crate) async fn a_lease_is_completed_once(bench: Bench) {
    for outcome in [Outcome::Ack, retry_after(SECOND), reject(), host_failure()] {
        bench.publish([event(&format!("{outcome:?}"))]).await;
        let delivery = bench.one().await;
        bench.complete(&delivery, outcome).await;
        bench.is_lost(&delivery).await;
        bench.pass(2 * SECOND);
        take(&bench).await;
        bench.is_lost(&delivery).await;
    }
    bench.publish([event("z")]).await;
    let held = bench.one().await;
    bench.is_lost(&Delivery { lease: held.lease + 1, ..held.clone() }).await;
    bench.is_lost(&Delivery { lease: u64::MAX, ..held.clone() }).await;
    bench.is_lost(&Delivery { queue: AUDIT.to_owned(), ..held.clone() }).await;
    bench.is_lost(&Delivery { queue: "nobody".to_owned(), ..held.clone() }).await;
    bench.complete(&held, Outcome::Ack).await;
}

pub(crate) async fn a_full_queue_refuses_its_publishers_and_keeps_what_it_has(bench: Bench) {
    let almost = QUEUE_LENGTH - 1;
    bench.publish((0..almost).map(|n| event(&n.to_string()))).await;
    bench.publish([event("last"), event("one more"), event("and another")]).await;
    let both = of_type("both", "todo.created");
    for _ in 0..2 {
        let refused = bench.backend.publish(vec![of_type("user", "user.registered"), both.clone()].into()).await;
        assert!(matches!(refused, Err(MessagingError::QueueFull { .. })), "{refused:?}");
    }
    assert_eq!(bench.counts(AUDIT).await, [0; 5], "all or none, over all queues");
    bench.publish([event("0"), event("last")]).await;
    assert_eq!(bench.counts(MAIL).await[0], almost + 3, "what is known is answered all the same");
    let mut seen = BTreeSet::new();
    for delivery in bench.lease(MAIL, 4).await {
        bench.complete(&delivery, Outcome::Ack).await;
        seen.insert(delivery.event.id);
    }
    bench.publish([both]).await;
    while (seen.len() as u64) < almost + 4 {
        seen.extend(take(&bench).await);
    }
    assert!(seen.contains("and another") && seen.contains("both") && !seen.contains("user"));
}
