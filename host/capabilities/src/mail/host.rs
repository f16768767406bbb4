//! `chassis:platform/mail`: checks the grant and the message, and translates.

use lettre::Address;
use wasmtime::component::Accessor;

use super::{MailError, MailGrant, Message};
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
        let receipt = grant.backend.send(message).await?;
        Ok(wit::Receipt { message_id: receipt.message_id, response: receipt.response })
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
    let bytes = message.subject.len() + message.text.len() + message.html.as_ref().map_or(0, String::len);
    if bytes as u64 > grant.message_bytes {
        return Err(MailError::Invalid(format!("a message is at most {} bytes", grant.message_bytes)));
    }
    Ok(Message {
        message_id: format!("{}.{}@{}", view.lent.component, message.id, grant.message_id_domain),
        from,
        to: message.to,
        reply_to: message.reply_to,
        subject: message.subject,
        text: message.text,
        html: message.html,
    })
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
