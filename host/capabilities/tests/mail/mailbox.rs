//! The mailbox.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::backlog::Backlog;
use chassis_capabilities::clock::{Clock, ManualClock};
use chassis_capabilities::mail::{MailBackend, MailError, Mailbox, MailboxBounds, MailboxError, Message, from_plan};
use chassis_config::plan::MailTransport;
use futures::FutureExt as _;

use crate::abandoned::{ROOM, keeps_its_room, room_comes_back};
use crate::{clock, message, plan, victim};

const BOUNDS: MailboxBounds = MailboxBounds { messages: 100, retention: Duration::from_secs(3600) };

async fn open(folder: &Path, bounds: MailboxBounds, clock: &Arc<ManualClock>) -> Arc<Mailbox> {
    let transport = MailTransport::Mailbox { messages: bounds.messages, retention: bounds.retention };
    let transports = from_plan(&plan(transport), folder, Arc::clone(clock) as Arc<dyn Clock>).await.unwrap();
    transports.mailbox.unwrap()
}

async fn subjects(mailbox: &Mailbox) -> Vec<String> {
    mailbox.list(None, 1000, None).await.unwrap().items.into_iter().map(|mail| mail.subject).collect()
}

fn numbered(number: usize) -> Message {
    Message { subject: format!("mail {number}"), ..message(&format!("m{number}")) }
}

#[tokio::test]
async fn a_mail_is_kept_with_all_its_parts() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let mailbox = open(folder.path(), BOUNDS, &clock).await;
    let sent = Message {
        to: vec!["ada@example.org".to_owned(), "Grace@Example.org".to_owned()],
        reply_to: Some("help@example.com".to_owned()),
        subject: "Grüße ✉".to_owned(),
        html: Some("<p>Hello <b>Ada</b>!</p>".to_owned()),
        ..message("welcome-1")
    };
    let receipt = mailbox.send(sent.clone().into()).await.unwrap();
    assert_eq!(receipt.message_id, sent.message_id);
    let page = mailbox.list(None, 10, None).await.unwrap();
    assert_eq!((page.items.len(), page.next_cursor), (1, None));
    let summary = &page.items[0];
    assert_eq!((&summary.to, &summary.from, &summary.subject), (&sent.to, &sent.from, &sent.subject));
    assert_eq!((summary.copies, summary.received_at), (1, clock.now()));
    let mail = mailbox.get(&summary.id).await.unwrap().unwrap();
    assert_eq!(&mail.summary, summary);
    assert_eq!((mail.text, mail.html, mail.reply_to), (sent.text, sent.html, sent.reply_to));
    let (headers, _) = mailparse::parse_headers(mail.headers.as_bytes()).unwrap();
    let header = |name: &str| headers.iter().find(|header| header.get_key() == name).unwrap().get_value();
    assert_eq!(header("Message-ID"), "<notifications.welcome-1@example.com>");
    assert_eq!(header("Subject"), "Grüße ✉");
    assert_eq!(header("Date"), "Sun, 15 Jun 2025 12:00:00 +0000");
    assert!(header("Content-Type").starts_with("multipart/alternative"));
    let json = serde_json::to_value(&page.items[0]).unwrap();
    assert_eq!(json["messageId"], sent.message_id);
    assert_eq!(json["receivedAt"], crate::NOON);
}

#[tokio::test]
async fn the_same_message_id_is_one_mail_that_counts_its_copies() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = open(folder.path(), BOUNDS, &clock()).await;
    for _ in 0..3 {
        mailbox.send(message("once").into()).await.unwrap();
    }
    mailbox.send(message("other").into()).await.unwrap();
    let copies: Vec<u32> = mailbox.list(None, 10, None).await.unwrap().items.iter().map(|mail| mail.copies).collect();
    assert_eq!(copies, [1, 3]);
    let found = mailbox.list(None, 10, Some("ada@example.org")).await.unwrap().items;
    assert_eq!(found.len(), 2, "a copy is found once");
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = open(folder.path(), BOUNDS, &clock()).await;
    for number in 0..7 {
        mailbox.send(numbered(number).into()).await.unwrap();
    }
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let page = mailbox.list(cursor.as_deref(), 3, None).await.unwrap();
        seen.push(page.items.iter().map(|mail| mail.subject.clone()).collect::<Vec<_>>());
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
        // What comes while somebody turns the pages does not move them.
        mailbox.send(numbered(100 + seen.len()).into()).await.unwrap();
    }
    assert_eq!(seen, [vec!["mail 6", "mail 5", "mail 4"], vec!["mail 3", "mail 2", "mail 1"], vec!["mail 0"]]);
    for (cursor, limit) in [(Some("nonsense"), 3), (Some("-4"), 3), (None, 0), (None, 1001)] {
        assert!(matches!(mailbox.list(cursor, limit, None).await, Err(MailboxError::Invalid(_))));
    }
}

#[tokio::test]
async fn a_list_can_be_that_of_one_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = open(folder.path(), BOUNDS, &clock()).await;
    for (id, to) in
        [("1", "ada@example.org"), ("2", "Bob@Example.org"), ("3", "ada@example.org"), ("4", "bob@example.org")]
    {
        mailbox
            .send(Message { to: vec![to.to_owned(), "all@example.org".to_owned()], ..message(id) }.into())
            .await
            .unwrap();
    }
    let of = async |to: &str, limit: u32| {
        let page = mailbox.list(None, limit, Some(to)).await.unwrap();
        (page.items.into_iter().map(|mail| mail.id).collect::<Vec<_>>(), page.next_cursor)
    };
    assert_eq!(of("BOB@example.org", 10).await.0, ["4", "2"]);
    assert_eq!(of("bob@example.org", 1).await, (vec!["4".to_owned()], Some("4".to_owned())));
    assert_eq!(of("all@example.org", 10).await.0.len(), 4);
    assert_eq!(of("example.org", 10).await.0.len(), 0, "the whole address is compared");
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let mailbox = open(folder.path(), MailboxBounds { messages: 5, ..BOUNDS }, &clock).await;
    for number in 0..12 {
        mailbox.send(numbered(number).into()).await.unwrap();
    }
    assert_eq!(subjects(&mailbox).await, ["mail 11", "mail 10", "mail 9", "mail 8", "mail 7"]);
    mailbox.close().await;
    drop(mailbox);
    let smaller = open(folder.path(), MailboxBounds { messages: 2, ..BOUNDS }, &clock).await;
    assert_eq!(subjects(&smaller).await, ["mail 11", "mail 10"], "a smaller bound holds from the start");
    let gone = smaller.list(None, 10, Some("ada@example.org")).await.unwrap();
    assert_eq!(gone.items.len(), 2, "and for the list by recipient too");
}

#[tokio::test]
async fn what_is_too_old_goes_with_the_next_mail_or_by_itself() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let mailbox = open(folder.path(), BOUNDS, &clock).await;
    mailbox.send(numbered(1).into()).await.unwrap();
    clock.advance(Duration::from_secs(3000));
    mailbox.send(numbered(2).into()).await.unwrap();
    clock.advance(Duration::from_secs(700));
    mailbox.send(numbered(3).into()).await.unwrap();
    assert_eq!(subjects(&mailbox).await, ["mail 3", "mail 2"]);
    clock.advance(Duration::from_secs(3590));
    mailbox.forget().await.unwrap();
    assert_eq!(subjects(&mailbox).await, ["mail 3"]);
}

#[tokio::test]
async fn ids_do_not_come_back_when_everything_has_gone() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let mailbox = open(folder.path(), MailboxBounds { messages: 3, ..BOUNDS }, &clock).await;
    for number in 0..3 {
        mailbox.send(numbered(number).into()).await.unwrap();
    }
    let newest = mailbox.list(None, 1, None).await.unwrap().items.remove(0).id;
    clock.advance(BOUNDS.retention);
    mailbox.forget().await.unwrap();
    assert_eq!(subjects(&mailbox).await, Vec::<String>::new());
    assert_eq!(mailbox.get(&newest).await.unwrap(), None);
    for number in 0..4 {
        mailbox.send(numbered(number).into()).await.unwrap();
    }
    assert_eq!(subjects(&mailbox).await, ["mail 3", "mail 2", "mail 1"], "the count began anew");
    assert_eq!(mailbox.get(&newest).await.unwrap(), None, "an id names one mail for ever");
    for id in ["0", "-1", "x", ""] {
        assert_eq!(mailbox.get(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_cannot_be_a_mail_is_refused_here_too() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = open(folder.path(), BOUNDS, &clock()).await;
    for refused in crate::letters::injections() {
        assert!(matches!(mailbox.send(refused.into()).await, Err(MailError::Invalid(_))));
    }
    assert_eq!(subjects(&mailbox).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_closed_mailbox_answers_that_it_is_temporary() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = open(folder.path(), BOUNDS, &clock()).await;
    mailbox.close().await;
    assert!(matches!(mailbox.send(message("late").into()).await, Err(MailError::Temporary(_))));
}

#[test]
fn every_mail_that_was_answered_for_survives_a_kill() {
    const TEST: &str = "mailbox::every_mail_that_was_answered_for_survives_a_kill";
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bounds = MailboxBounds { messages: 100_000, ..BOUNDS };
    if let Some(folder) = victim::folder() {
        runtime.block_on(send_for_ever(&folder, bounds));
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0_u64..3 {
        let said = victim::live_and_die(TEST, folder.path(), Duration::from_millis(150 + 70 * round));
        let answered: std::collections::BTreeSet<String> = said.into_iter().filter(|line| line != "open").collect();
        assert!(!answered.is_empty());
        runtime.block_on(async {
            let mailbox = open(folder.path(), bounds, &clock()).await;
            let (mut kept, mut cursor) = (std::collections::BTreeSet::new(), None);
            loop {
                let page = mailbox.list(cursor.as_deref(), 1000, None).await.unwrap();
                kept.extend(page.items.into_iter().map(|mail| mail.message_id));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert!(answered.is_subset(&kept), "{:?}", answered.difference(&kept).collect::<Vec<_>>());
            mailbox.close().await;
        });
    }
}

/// Eight tasks that say which mails were answered for.
async fn send_for_ever(folder: &Path, bounds: MailboxBounds) {
    let mailbox = open(folder, bounds, &clock()).await;
    victim::say("open");
    let pid = std::process::id();
    let tasks = (0..8).map(|task| {
        let mailbox = Arc::clone(&mailbox);
        tokio::spawn(async move {
            for number in 0.. {
                let receipt = mailbox.send(message(&format!("{pid}-{task}-{number}")).into()).await.unwrap();
                victim::say(&receipt.message_id);
            }
        })
    });
    futures::future::join_all(tasks.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_mail_that_was_left_keeps_its_room_until_it_is_in_the_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = open(folder.path(), BOUNDS, &clock()).await;
    keeps_its_room(&folder.path().join("mailbox.db"), numbered(1), |mail| mailbox.send(mail)).await;
    assert_eq!(subjects(&mailbox).await, ["mail 1"]);
}

#[test]
fn a_mail_that_was_left_before_it_was_composed_keeps_its_room() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = open(folder.path(), BOUNDS, &clock()).await;
        let (release, busy) = std::sync::mpsc::channel::<()>();
        let only_thread = tokio::task::spawn_blocking(move || busy.recv());
        let backlog = Backlog::new(ROOM);
        let mail = backlog.weigh(Message { text: "x".repeat(100_000), ..message("long") }, ROOM).unwrap();
        assert!(mailbox.send(mail).now_or_never().is_none());
        assert!(backlog.weigh((), 1).is_none(), "its room is given back while it waits");
        drop(release);
        only_thread.await.unwrap().unwrap_err();
        room_comes_back(&backlog).await;
    });
}
