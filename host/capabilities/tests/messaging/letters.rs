//! Dead letters, and what is taken back.

use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{MessagingError, Outcome};

use crate::bench::{AUDIT, Bench, DAY, MAIL, SECOND, about, event, ids, reject, retry_after};

/// Publish and reject events, in order, a second apart.
async fn bury(bench: &Bench, ids: &[&str]) {
    for id in ids {
        bench.publish([event(id)]).await;
        bench.complete(&bench.one().await, reject()).await;
        bench.pass(SECOND);
    }
}

async fn letter_ids(bench: &Bench, queue: Option<&str>, limit: u32) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let page = bench.backend.dead_letters(queue, cursor.as_deref(), limit).await.expect("lists");
        pages.push(page.items.into_iter().map(|letter| letter.event.id).collect());
        cursor = page.next_cursor;
        if cursor.is_none() {
            return pages;
        }
    }
}

pub(crate) async fn a_rejected_event_is_a_dead_letter_at_once(bench: Bench) {
    bench.publish([event("a")]).await;
    bench.complete(&bench.one().await, retry_after(SECOND)).await;
    bench.pass(SECOND);
    bench.complete(&bench.one().await, reject()).await;
    let letters = bench.backend.dead_letters(None, None, 10).await.expect("lists").items;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.queue.as_str(), letter.attempts, letter.reason.as_str()), (MAIL, 2, "never"));
    assert_eq!((&letter.event, letter.died_at), (&event("a"), bench.now()));
}

pub(crate) async fn dead_letters_are_listed_by_queue_and_page(bench: Bench) {
    bury(&bench, &["a", "b", "c", "d", "e"]).await;
    bench.publish([Envelope { event_type: "todo.created".to_owned(), ..event("both") }]).await;
    for queue in [MAIL, AUDIT] {
        bench.complete(&bench.lease(queue, 1).await[0], reject()).await;
    }
    assert_eq!(letter_ids(&bench, None, 100).await.concat(), ["both", "both", "e", "d", "c", "b", "a"]);
    assert_eq!(letter_ids(&bench, Some(AUDIT), 100).await.concat(), ["both"]);
    assert_eq!(letter_ids(&bench, Some("nobody"), 100).await.concat(), Vec::<String>::new());
    for limit in 1..=7 {
        let pages = letter_ids(&bench, Some(MAIL), limit).await;
        assert!(pages.iter().all(|page| page.len() <= limit as usize && !page.is_empty()), "{pages:?}");
        assert_eq!(pages.concat(), ["both", "e", "d", "c", "b", "a"], "limit {limit}");
    }
    let first = bench.backend.dead_letters(Some(MAIL), None, 2).await.expect("lists");
    bury(&bench, &["new"]).await;
    assert!(bench.backend.replay(&first.items[1].id).await.expect("replays"));
    let second = bench.backend.dead_letters(Some(MAIL), first.next_cursor.as_deref(), 2).await.expect("lists");
    let second: Vec<&str> = second.items.iter().map(|letter| letter.event.id.as_str()).collect();
    assert_eq!(second, ["d", "c"], "stable under what comes and goes");
}

pub(crate) async fn a_replayed_letter_starts_anew(bench: Bench) {
    bench.publish([event("a")]).await;
    let first = bench.one().await;
    bench.complete(&first, reject()).await;
    bench.pass(2 * DAY);
    bench.forget().await;
    let id = bench.backend.dead_letters(None, None, 1).await.expect("lists").items.remove(0).id;
    assert_eq!(bench.backend.replay(&id).await, Ok(true));
    assert_eq!(bench.backend.replay(&id).await, Ok(false), "it is no dead letter any more");
    for unknown in ["", "no number", "-1", "999999"] {
        assert_eq!(bench.backend.replay(unknown).await, Ok(false), "{unknown}");
    }
    bench.publish([event("a")]).await;
    let again = bench.one().await;
    assert_eq!((&again.event, again.attempt), (&event("a"), 1));
    bench.is_lost(&first).await;
    bench.complete(&again, retry_after(SECOND)).await;
    bench.pass(SECOND);
    let again = bench.one().await;
    assert_eq!(again.attempt, 2, "its age counts anew as well");
    bench.complete(&again, Outcome::Ack).await;
    assert_eq!(bench.counts(MAIL).await, [0; 5]);
}

pub(crate) async fn a_replayed_letter_takes_the_last_place_of_its_subject(bench: Bench) {
    bench.publish([about("s1", "s"), about("s2", "s"), about("s3", "s")]).await;
    bench.complete(&bench.one().await, reject()).await;
    let id = bench.backend.dead_letters(None, None, 1).await.expect("lists").items.remove(0).id;
    assert_eq!(bench.backend.replay(&id).await, Ok(true));
    for expected in ["s2", "s3", "s1"] {
        let delivery = bench.one().await;
        assert_eq!(delivery.event.id, expected);
        bench.complete(&delivery, Outcome::Ack).await;
    }
}

pub(crate) async fn dead_letters_are_kept_for_their_time(bench: Bench) {
    bury(&bench, &["old"]).await;
    bench.pass(DAY);
    bury(&bench, &["new"]).await;
    bench.pass(6 * DAY - 3 * SECOND);
    bench.forget().await;
    assert_eq!(letter_ids(&bench, None, 10).await.concat(), ["new", "old"]);
    bench.pass(SECOND);
    bench.forget().await;
    assert_eq!(letter_ids(&bench, None, 10).await.concat(), ["new"]);
    assert_eq!(bench.counts(MAIL).await[4], 1);
}

pub(crate) async fn a_delayed_event_can_be_taken_back(bench: Bench) {
    let delayed = |id: &str| Envelope {
        not_before: Some(bench.now() + SECOND),
        event_type: "todo.created".to_owned(),
        ..event(id)
    };
    let source = "/components/todos";
    bench.publish([delayed("a"), delayed("b"), event("now")]).await;
    assert_eq!(bench.backend.cancel("a", "/components/auth").await, Ok(false), "only its source may");
    assert_eq!(bench.backend.cancel("a", source).await, Ok(true));
    assert_eq!(bench.backend.cancel("a", source).await, Ok(false));
    assert_eq!(bench.backend.cancel("unknown", source).await, Ok(false));
    assert_eq!(bench.backend.cancel("now", source).await, Ok(false));
    bench.publish([delayed("a")]).await;
    bench.pass(SECOND);
    assert_eq!(bench.backend.cancel("b", source).await, Ok(false), "it is due, even if nobody has leased it yet");
    assert_eq!(ids(&bench.lease(AUDIT, 10).await), ["b"]);
    assert_eq!(bench.due().await, ["now", "b"]);
}

pub(crate) async fn a_key_is_free_after_its_event_was_taken_back(bench: Bench) {
    let keyed = |id: &str| Envelope { dedup_key: Some("k".to_owned()), ..event(id) };
    bench.publish([Envelope { not_before: Some(bench.now() + SECOND), ..keyed("a") }]).await;
    assert_eq!(bench.backend.cancel("a", "/components/todos").await, Ok(true));
    bench.publish([keyed("b"), keyed("c")]).await;
    assert_eq!(bench.due().await, ["b"]);
}

pub(crate) async fn a_bad_page_is_refused(bench: Bench) {
    for (cursor, limit) in [(None, 0), (None, 1_001), (Some("no cursor"), 1), (Some(""), 1)] {
        let refused = bench.backend.dead_letters(None, cursor, limit).await;
        assert!(matches!(refused, Err(MessagingError::Invalid(_))), "{cursor:?}, {limit}: {refused:?}");
    }
}
