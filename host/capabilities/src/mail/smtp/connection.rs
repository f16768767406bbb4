//! One connection to the server: how it is opened, and how it carries a message. Every step has a time-out.

use std::fmt::Display;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Quit, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Response, Severity};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::reply::{Failure, plain, words_of};
use super::wire::LineByLine;
use crate::mail::MailError;
use crate::mail::compose::Letter;

/// Bytes of a message that are given a second more than a command: slower is as good as not at all.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// Longest wait for the answer of a connection that has rested.
const CHECK_TIME_MAX: Duration = Duration::from_secs(5);

/// Encryption, with what it needs.
pub(super) enum Security {
    StartTls(TlsParameters),
    Implicit(TlsParameters),
    None,
}

/// Opens connections.
pub(super) struct Dialer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) credentials: Option<Credentials>,
    pub(super) hello: ClientId,
    /// Time of one step.
    pub(super) step: Duration,
}

/// A connection that is ready for a message.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    step: Duration,
}

impl Dialer {
    /// Open a connection. Whatever goes wrong here is temporary: the message has not been judged.
    pub(super) async fn open(&self) -> Result<Connection, MailError> {
        let temporary = |failure| match failure {
            Failure::Refused { words, .. } | Failure::Broken(words) => MailError::Temporary(words),
        };
        let mut smtp = self.greet().await.map_err(temporary)?;
        if let Security::StartTls(tls) = &self.security {
            let starting = smtp.starttls(tls.clone(), &self.hello);
            within(self.step, "STARTTLS", starting).await.map_err(temporary)?;
        }
        if let Some(credentials) = &self.credentials {
            self.authenticate(&mut smtp, credentials).await?;
        }
        Ok(Connection { smtp, step: self.step })
    }

    /// Up to the answer to EHLO. With implicit TLS this is one step, else two.
    async fn greet(&self) -> Result<AsyncSmtpConnection, Failure> {
        let address = (self.host.as_str(), self.port);
        if let Security::Implicit(tls) = &self.security {
            let connecting = AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, Some(tls.clone()), None);
            return within(self.step, "connecting", connecting).await;
        }
        let tcp = match timeout(self.step, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => return Err(Failure::Broken(format!("connecting: {error}"))),
            Err(_elapsed) => return Err(Failure::silence("connecting", self.step)),
        };
        if let Err(error) = tcp.set_nodelay(true) {
            return Err(Failure::Broken(format!("connecting: {error}")));
        }
        let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(LineByLine::new(tcp)), &self.hello);
        within(self.step, "the greeting", greeting).await
    }

    /// The server's words are not handed on: it may have said what it was sent.
    async fn authenticate(&self, smtp: &mut AsyncSmtpConnection, credentials: &Credentials) -> Result<(), MailError> {
        let why = match timeout(self.step, smtp.auth(DEFAULT_MECHANISMS, credentials)).await {
            Ok(Ok(_welcome)) => return Ok(()),
            Ok(Err(error)) => match error.status() {
                Some(code) => format!("the server refused the user or the password ({code})"),
                None if error.is_client() => "the server offers no way of authentication that is known here".to_owned(),
                None => "the connection broke off during authentication".to_owned(),
            },
            Err(_elapsed) => format!("AUTH: no answer within {:?}", self.step),
        };
        Err(MailError::Temporary(why))
    }
}

impl Connection {
    /// Send one message; the server's words.
    pub(super) async fn transact(&mut self, letter: &Letter) -> Result<String, Failure> {
        let from = letter.envelope.from().cloned();
        let answer = self.command("MAIL", Mail::new(from, Vec::new())).await?;
        agreed("MAIL", &answer)?;
        let mut refused = Vec::new();
        for to in letter.envelope.to() {
            match self.command("RCPT", Rcpt::new(to.clone(), Vec::new())).await {
                Ok(answer) => agreed("RCPT", &answer)?,
                Err(failure @ Failure::Refused { .. }) => refused.push((to, failure)),
                Err(broken @ Failure::Broken(_)) => return Err(broken),
            }
        }
        if let Some(failure) = refusal(refused) {
            return Err(failure);
        }
        let answer = self.command("DATA", Data).await?;
        if !answer.has_code(354) {
            return Err(unexpected("DATA", &answer));
        }
        let bytes = u64::try_from(letter.bytes.len()).unwrap_or(u64::MAX);
        let time = self.step.saturating_add(Duration::from_secs(bytes / BYTES_PER_SECOND_MIN));
        let answer = within(time, "the message", self.smtp.message(&letter.bytes)).await?;
        agreed("the message", &answer)?;
        Ok(words_of(&answer))
    }

    /// Whether a connection that has rested is still good.
    pub(super) async fn is_alive(&mut self) -> bool {
        let time = self.step.min(CHECK_TIME_MAX);
        matches!(timeout(time, self.smtp.command(Noop)).await, Ok(Ok(answer)) if agreed("NOOP", &answer).is_ok())
    }

    /// Take leave.
    pub(super) async fn quit(mut self) {
        // It is over whatever the server says.
        let _farewell = timeout(self.step.min(CHECK_TIME_MAX), self.smtp.command(Quit)).await;
    }

    async fn command(&mut self, what: &str, command: impl Display) -> Result<Response, Failure> {
        within(self.step, what, self.smtp.command(command)).await
    }
}

async fn within<T>(time: Duration, what: &str, step: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(time, step).await {
        Ok(done) => done.map_err(|error| Failure::of(what, &error)),
        Err(_elapsed) => Err(Failure::silence(what, time)),
    }
}

fn agreed(what: &str, answer: &Response) -> Result<(), Failure> {
    let positive = answer.code().severity == Severity::PositiveCompletion;
    if positive { Ok(()) } else { Err(unexpected(what, answer)) }
}

/// An answer that belongs to no such question: from here on nothing on this connection can be understood.
fn unexpected(what: &str, answer: &Response) -> Failure {
    Failure::Broken(format!("{what}: an answer that does not fit: {}", words_of(answer)))
}

/// What the refusals of some recipients mean for the whole.
fn refusal(refused: Vec<(&Address, Failure)>) -> Option<Failure> {
    let permanent = refused.iter().any(|(_, failure)| failure.is_permanent());
    let words: Vec<String> = refused
        .iter()
        .filter_map(|(to, failure)| match failure {
            Failure::Refused { words, .. } => Some(format!("{to}: {words}")),
            Failure::Broken(_) => None,
        })
        .collect();
    let worst = refused.into_iter().filter_map(|(_, failure)| match failure {
        Failure::Refused { code, .. } if (code >= 500) == permanent => Some(code),
        Failure::Refused { .. } | Failure::Broken(_) => None,
    });
    let code = worst.max()?;
    Some(Failure::Refused { code, words: plain(&format!("nobody was sent the mail: {}", words.join("; "))) })
}
