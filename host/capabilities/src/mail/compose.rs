//! From a message to the bytes that RFC 5321 and RFC 5322 ask for. Both ways out compose the same letter, so that the
//! mailbox shows what a server would have been sent.

use jiff::Timestamp;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::{MailError, Message};
use crate::backlog::Weighed;

/// Bytes of a Message-ID: it must fit into one line with its name and its brackets.
const MESSAGE_ID_BYTES_MAX: usize = 900;

/// Bytes of a message that are composed at once: less than a millisecond of work.
const BYTES_INLINE_MAX: u64 = 64 << 10;

/// A message as it travels.
#[derive(Debug)]
pub(super) struct Letter {
    /// Who it is from and who it is for.
    pub(super) envelope: Envelope,
    /// Head and body, lines ending in CR LF. ASCII.
    pub(super) bytes: Vec<u8>,
}

impl Letter {
    /// The head, without the empty line that ends it.
    pub(super) fn head(&self) -> String {
        let end = self.bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(self.bytes.len());
        String::from_utf8_lossy(self.bytes.get(..end).unwrap_or_default()).into_owned()
    }
}

/// Compose a message that is sent at `at`; a long one on a thread of its own, since it takes as long as it is.
///
/// # Errors
/// `Invalid` where the message is not well-formed.
pub(super) async fn compose(message: Weighed<Message>, at: Timestamp) -> Result<Weighed<(Message, Letter)>, MailError> {
    let bytes = message.bytes();
    let work = move || letter(&message, at).map(|letter| message.map(|message| (message, letter)));
    if bytes <= BYTES_INLINE_MAX {
        return work();
    }
    let composed = tokio::task::spawn_blocking(work).await;
    composed.unwrap_or_else(|error| Err(MailError::Temporary(format!("the mail was not composed: {error}"))))
}

/// Every field of the head is refused if it has a line break or another control character in it: what follows one would
/// be a field of its own.
fn letter(message: &Message, at: Timestamp) -> Result<Letter, MailError> {
    check_message_id(&message.message_id)?;
    if message.subject.chars().any(char::is_control) {
        return Err(MailError::Invalid("a subject is one line without control characters".to_owned()));
    }
    let from = address(&message.from)?;
    let to = message.to.iter().map(|to| address(to)).collect::<Result<Vec<_>, _>>()?;
    let reply_to = message.reply_to.as_deref().map(address).transpose()?;
    let envelope = Envelope::new(Some(from.clone()), to.clone()).map_err(invalid)?;
    // The format of the date ends at 1970 on one side and in the year 9999 on the other.
    let date = at.max(Timestamp::UNIX_EPOCH);
    let mut builder = lettre::Message::builder()
        .envelope(envelope.clone())
        .message_id(Some(format!("<{}>", message.message_id)))
        .date(date.into())
        .from(Mailbox::new(None, from))
        .subject(message.subject.as_str());
    for to in to {
        builder = builder.to(Mailbox::new(None, to));
    }
    if let Some(reply_to) = reply_to {
        builder = builder.reply_to(Mailbox::new(None, reply_to));
    }
    let text = lines(&message.text)?;
    let composed = match &message.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, lines(html)?)),
        None => builder.singlepart(SinglePart::plain(text)),
    };
    let bytes = composed.map_err(invalid)?.formatted();
    Ok(Letter { envelope, bytes })
}

fn check_message_id(id: &str) -> Result<(), MailError> {
    let plain = id.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>'));
    let parts = id.split('@').filter(|part| !part.is_empty()).count();
    if plain && parts == 2 && id.matches('@').count() == 1 && id.len() <= MESSAGE_ID_BYTES_MAX {
        return Ok(());
    }
    Err(MailError::Invalid(format!(
        "a Message-ID is `<left>@<right>` of printable ASCII, at most {MESSAGE_ID_BYTES_MAX} bytes"
    )))
}

/// An address for the head and the envelope. ASCII: not every server on the way knows anything else.
fn address(text: &str) -> Result<Address, MailError> {
    if text.chars().any(char::is_control) {
        return Err(MailError::Invalid("an address has no control characters".to_owned()));
    }
    if !text.is_ascii() {
        return Err(MailError::Invalid(format!(
            "the address «{text}» is not ASCII: write its domain in the form `xn--…`"
        )));
    }
    text.parse().map_err(|error| MailError::Invalid(format!("the address «{text}»: {error}")))
}

/// A text with one kind of line ends: a lone CR is one to some servers and none to others.
fn lines(text: &str) -> Result<String, MailError> {
    if text.contains('\0') {
        return Err(MailError::Invalid("a text has no NUL characters".to_owned()));
    }
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() })
}

fn invalid(error: lettre::error::Error) -> MailError {
    MailError::Invalid(error.to_string())
}
