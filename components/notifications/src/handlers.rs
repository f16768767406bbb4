//! From an event to a mail.
//!
//! A mail is an effect outside the database, and cannot be part of a batch. So the mail goes first and the inbox second:
//! a crash between the two gives a second copy, which carries the Message-ID of the first, because that is made of the
//! event's id. The other order would lose mail.

use std::time::Duration;

use chassis_kit::bindings::mail;
use chassis_kit::events::Event;
use chassis_kit::values::time;
use chassis_kit::{Batch, log};
use serde_json::json;

use crate::component::App;
use crate::domain::address::{Address, Registered};
use crate::domain::mail::{Kind, TODO_MAILS_MAX, TODO_MAILS_WINDOW};
use crate::domain::plain;
use crate::domain::render::Content;
use crate::domain::todo::Created;
use crate::error::Error;
use crate::store::{self, Delivery};

/// Characters that are kept of what the next hop says.
const DETAIL_CHARACTERS_MAX: usize = 300;

/// Somebody has registered: keep the address, send the welcome.
pub(crate) async fn user_registered(app: &App, event: &Event) -> Result<(), Error> {
    let address = event.data::<Registered>()?.check()?;
    if app.inbox().has(event).await? {
        return Ok(());
    }
    // Before the mail, so that an outage of mail does not keep the address from whoever waits for it. Doing it again at
    // the next try changes nothing.
    let at = event.time().unwrap_or_else(|| app.environment.now());
    app.db.apply(store::put_address(&address, at)).await?;
    let content = app.templates()?.welcome(&address)?;
    deliver(app, event, Letter { kind: Kind::Welcome, to: &address, content }).await
}

/// A todo was made: tell its owner, unless they were told of many already.
pub(crate) async fn todo_created(app: &App, event: &Event) -> Result<(), Error> {
    let note = event.data::<Created>()?.check()?;
    if app.inbox().has(event).await? {
        return Ok(());
    }
    let found = store::find_address(&app.db, &note.user_id).await?;
    let Some(address) = found else { return Err(Error::UnknownAddress(note.user_id)) };
    let now = app.environment.now();
    let since = time::after(now, -TODO_MAILS_WINDOW);
    if store::count_sent(&app.db, Kind::TodoCreated, &note.user_id, since).await? >= TODO_MAILS_MAX {
        app.inbox().apply(event, Batch::new(), now).await?;
        log::warn(
            "a mail was left out, because its user had too many within the hour",
            json!({ "kind": Kind::TodoCreated.as_str(), "userId": note.user_id, "eventId": event.id() }),
        );
        return Ok(());
    }
    let content = app.templates()?.todo_created(&address, &note)?;
    deliver(app, event, Letter { kind: Kind::TodoCreated, to: &address, content }).await
}

/// A mail that is to be sent.
#[derive(Debug)]
struct Letter<'a> {
    kind: Kind,
    to: &'a Address,
    content: Content,
}

async fn deliver(app: &App, event: &Event, letter: Letter<'_>) -> Result<(), Error> {
    let (kind, user_id) = (letter.kind, letter.to.user_id.as_str());
    let sent = mail::send(message(event, letter)).await;
    let now = app.environment.now();
    let record = |message_id: Option<&str>, detail: &str| {
        let delivery = Delivery { event_id: event.id(), kind, user_id, message_id, detail };
        store::put_delivery(&delivery, now)
    };
    match sent {
        Ok(receipt) => {
            let detail = plain::one_line(&receipt.response, DETAIL_CHARACTERS_MAX);
            app.inbox().apply(event, record(Some(&receipt.message_id), &detail), now).await?;
            log::info(
                "mail was sent",
                json!({ "kind": kind.as_str(), "userId": user_id, "messageId": receipt.message_id }),
            );
            Ok(())
        }
        Err(error) => {
            let error = reason(error);
            if let Error::Refused(detail) = &error {
                // The inbox stays as it is: a replay of the dead letter is another try.
                app.db.apply(record(None, detail)).await?;
                // Without the reason, which may hold the address; the row has it.
                log::warn(
                    "mail was refused",
                    json!({ "kind": kind.as_str(), "userId": user_id, "eventId": event.id() }),
                );
            }
            Err(error)
        }
    }
}

fn message(event: &Event, letter: Letter<'_>) -> mail::Message {
    let Content { subject, text, html } = letter.content;
    mail::Message {
        id: letter.kind.mail_id(event.id()),
        from: None,
        to: vec![letter.to.email.clone()],
        reply_to: None,
        subject,
        text,
        html: Some(html),
    }
}

fn reason(error: mail::Error) -> Error {
    let short = |words: &str| plain::one_line(words, DETAIL_CHARACTERS_MAX);
    match error {
        mail::Error::Temporary(words) => Error::Later(short(&words)),
        mail::Error::RateLimited(milliseconds) => Error::RateLimited(Duration::from_millis(u64::from(milliseconds))),
        mail::Error::Permanent(words) | mail::Error::Denied(words) | mail::Error::Invalid(words) => {
            Error::Refused(short(&words))
        }
    }
}
