//! `chassis:platform/mail`: checks the grant and the message, and translates.

use lettre::Address;
use wasmtime::component::Accessor;

use super::{MailError, MailGrant, Message, Receipt};
use crate::bindings::chassis::platform::mail as wit;
use crate::lent::{HasLent, LentView};

const ID_BYTES_MAX: usize = 128;
const SUBJECT_BYTES_MAX: usize = 998;

impl wit::Host for LentView {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn send(accessor: &Accessor<T, Self>, message: wit::Message) -> Result<wit::Receipt, wit::Error> {
        let view = accessor.with(|mut access| access.get());
        let Some(grant) = &view.lent.mail else {
            view.refuse("refused to send mail for a component that was not granted it", "", "");
            return Err(wit::Error::Denied("sending mail; grant it by `mail` in the manifest".to_owned()));
        };
        let message = check(grant, &view, message)?;
        let message_id = message.message_id.clone();
        let receipt = send(grant, message).await.inspect_err(|error| report(&view, &message_id, error))?;
        Ok(wit::Receipt { message_id: receipt.message_id, response: receipt.response })
    }
}

async fn send(grant: &MailGrant, message: Message) -> Result<Receipt, MailError> {
    let bytes = message.bytes();
    let Some(message) = grant.backlog.weigh(message, bytes) else {
        return Err(MailError::Temporary("too much mail waits to be sent (mail.queue_bytes)".to_owned()));
    };
    grant.backend.send(message).await
}

/// What an operator may want to mend is logged; what is wrong with a message is the component's own business.
fn report(view: &LentView, message_id: &str, error: &MailError) {
    match error {
        MailError::Temporary(_) | MailError::Permanent(_) | MailError::RateLimited(_) => {
            view.refuse("a mail was not sent", message_id, &error.to_string());
        }
        MailError::Denied(_) | MailError::Invalid(_) => {}
    }
}

fn check(grant: &MailGrant, view: &LentView, message: wit::Message) -> Result<Message, MailError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if message.id.is_empty() || message.id.len() > ID_BYTES_MAX || !message.id.bytes().all(plain) {
        return Err(MailError::Invalid(format!("an id is 1 to {ID_BYTES_MAX} of A-Z a-z 0-9 . _ -")));
    }
    let from = message.from.unwrap_or_else(|| grant.default_from.clone());
    if !grant.from.iter().any(|granted| granted.eq_ignore_ascii_case(&from)) {
        view.refuse("refused to send mail from an address that the component was not granted", &from, "");
        return Err(MailError::Denied(format!("sending from «{from}»; grant it by `mail.from` in the manifest")));
    }
    if message.to.is_empty() || message.to.len() > grant.recipients as usize {
        return Err(MailError::Invalid(format!("a message has 1 to {} recipients", grant.recipients)));
    }
    for address in message.to.iter().chain(&message.reply_to).chain([&from]) {
        address.parse::<Address>().map_err(|error| MailError::Invalid(format!("the address «{address}»: {error}")))?;
    }
    if message.subject.len() > SUBJECT_BYTES_MAX || message.subject.contains(['\r', '\n', '\0']) {
        return Err(MailError::Invalid(format!("a subject is one line of at most {SUBJECT_BYTES_MAX} bytes")));
    }
    let message = Message {
        message_id: format!("{}.{}@{}", view.lent.component, message.id, grant.message_id_domain),
        from,
        to: message.to,
        reply_to: message.reply_to,
        subject: message.subject,
        text: message.text,
        html: message.html,
    };
    if message.bytes() > grant.message_bytes {
        return Err(MailError::Invalid(format!("a message is at most {} bytes", grant.message_bytes)));
    }
    Ok(message)
}

impl From<MailError> for wit::Error {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Denied(what) => Self::Denied(what),
            MailError::Invalid(what) => Self::Invalid(what),
            MailError::Temporary(what) => Self::Temporary(what),
            MailError::Permanent(what) => Self::Permanent(what),
            MailError::RateLimited(wait) => Self::RateLimited(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::backlog::Backlog;
    use crate::clock::SystemClock;
    use crate::mail::{Mailbox, MailboxBounds};

    #[tokio::test]
    async fn mail_that_finds_no_room_is_to_be_sent_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let bounds = MailboxBounds { messages: 10, retention: Duration::from_secs(3600) };
        let mailbox = Mailbox::open(&folder.path().join("mailbox.db"), bounds, Arc::new(SystemClock)).await;
        let grant = MailGrant {
            backend: Arc::new(mailbox.expect("opens")),
            from: Vec::new(),
            default_from: String::new(),
            message_id_domain: String::new(),
            recipients: 1,
            message_bytes: 1 << 20,
            backlog: Backlog::new(1 << 20),
        };
        let message = || Message {
            message_id: "notifications.a@example.com".to_owned(),
            from: "no-reply@example.com".to_owned(),
            to: vec!["ada@example.org".to_owned()],
            reply_to: None,
            subject: "Hello".to_owned(),
            text: "x".repeat(1000),
            html: None,
        };
        let others = grant.backlog.take(1 << 20);
        assert!(matches!(send(&grant, message()).await, Err(MailError::Temporary(_))));
        drop(others);
        for _ in 0..3 {
            assert!(send(&grant, Message { text: "x".repeat(900_000), ..message() }).await.is_ok());
        }
    }
}
