//! Mail handed to an SMTP server.
//!
//! One message is one transaction, and its Message-ID is the same over all tries. What an answer means:
//!
//! | what happened | what is told |
//! |---|---|
//! | 2xx after the last line of the message | sent: the server has it |
//! | 4xx to any command; no connection; a time-out; a connection that breaks off | temporary |
//! | 5xx to `MAIL`, `RCPT`, `DATA` or the message | permanent |
//! | 5xx before `MAIL` (greeting, STARTTLS, AUTH); 503 and 530 at any time; a certificate that is not trusted | temporary: no message was judged, and an operator can mend it |
//!
//! A message goes to all of its recipients or to none: where one of them is refused, the transaction is given up before
//! the message is sent, and the error names everybody who was refused. It is permanent if one of the refusals is.
//!
//! When the connection breaks off after the last line of a message, nobody knows whether the server has it. The answer is
//! temporary, and another try may then be a second copy; both have the same Message-ID.

mod connection;
mod pool;
mod reply;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chassis_config::plan::{SmtpPlan, SmtpTls};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::connection::{Dialer, Security};
use self::pool::Pool;
use super::compose::{Letter, compose};
use super::{MailBackend, MailError, Message, Receipt};
use crate::backlog::Weighed;
use crate::clock::Clock;
use crate::failpoint::{self, Point};

/// Why an SMTP server cannot be used as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpSetupError {
    /// A password would be sent in clear.
    #[error("a user and a password are given, and `tls` is none: use starttls or implicit")]
    PlaintextCredentials,
    /// The further roots to trust.
    #[error("the roots to trust: {0}")]
    Roots(String),
    /// The host name, or the encryption.
    #[error("TLS for «{host}»: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// What was wrong.
        reason: String,
    },
}

/// Hands mail to one SMTP server. Must be made within a tokio runtime, which it then uses.
pub struct Smtp {
    server: String,
    pool: Arc<Pool>,
    total: Duration,
    clock: Arc<dyn Clock>,
    /// Where the server is spoken to, also for those who send from the slow lane: their time must not pass while
    /// somebody computes there, and a connection must not stay behind in a lane.
    runtime: Handle,
    _sweeping: AbortOnDropHandle<()>,
}

impl Smtp {
    /// Prepare for a server; it is not asked before there is mail for it. `roots` is PEM: certificates to trust beside
    /// the usual ones.
    ///
    /// # Errors
    /// Where a password would be sent in clear, or the roots or the host name cannot be used.
    pub fn new(plan: &SmtpPlan, roots: Option<&[u8]>, clock: Arc<dyn Clock>) -> Result<Self, SmtpSetupError> {
        if plan.tls == SmtpTls::None && plan.credentials.is_some() {
            return Err(SmtpSetupError::PlaintextCredentials);
        }
        let dialer = Dialer {
            host: plan.host.clone(),
            port: plan.port,
            security: security(plan, roots)?,
            credentials: plan.credentials.clone().map(|given| Credentials::new(given.user, given.password)),
            hello: ClientId::default(),
            step: plan.timeout,
        };
        let pool = Arc::new(Pool::new(dialer, plan.connections));
        Ok(Self {
            server: format!("{}:{}", plan.host, plan.port),
            _sweeping: pool::sweep(&pool),
            pool,
            total: plan.total_timeout,
            clock,
            runtime: Handle::current(),
        })
    }

    /// Hand over a letter, within the time for it. Whatever is dropped on the way takes its connection with it.
    async fn hand_over(&self, letter: Weighed<Letter>) -> Result<String, MailError> {
        let (pool, total) = (Arc::clone(&self.pool), self.total);
        let sending = self.runtime.spawn(async move { timeout(total, transact(&pool, &letter)).await });
        match AbortOnDropHandle::new(sending).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_elapsed)) => Err(MailError::Temporary(format!("the mail was not handed over within {total:?}"))),
            Err(error) => Err(MailError::Temporary(format!("the mail was not handed over: {error}"))),
        }
    }
}

async fn transact(pool: &Pool, letter: &Letter) -> Result<String, MailError> {
    let mut place = pool.take().await?;
    match place.connection().transact(letter).await {
        Ok(words) => {
            failpoint::pass(Point::MailAccepted);
            place.keep();
            Ok(words)
        }
        Err(failure) => {
            // After a refusal the two sides agree where they are, and can part in form.
            if failure.is_refusal() {
                place.part();
            }
            Err(failure.into())
        }
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("server", &self.server).finish_non_exhaustive()
    }
}

#[async_trait]
impl MailBackend for Smtp {
    async fn send(&self, message: Weighed<Message>) -> Result<Receipt, MailError> {
        let composed = compose(message, self.clock.now()).await?;
        let message_id = composed.0.message_id.clone();
        let response = self.hand_over(composed.map(|(_message, letter)| letter)).await?;
        Ok(Receipt { message_id, response })
    }
}

fn security(plan: &SmtpPlan, roots: Option<&[u8]>) -> Result<Security, SmtpSetupError> {
    match plan.tls {
        SmtpTls::StartTls => Ok(Security::StartTls(tls(&plan.host, roots)?)),
        SmtpTls::Implicit => Ok(Security::Implicit(tls(&plan.host, roots)?)),
        SmtpTls::None => Ok(Security::None),
    }
}

fn tls(host: &str, roots: Option<&[u8]>) -> Result<TlsParameters, SmtpSetupError> {
    let builder = TlsParameters::builder(host.to_owned());
    let Some(roots) = roots else {
        let refused = |error: Error| SmtpSetupError::Tls { host: host.to_owned(), reason: error.to_string() };
        return builder.build().map_err(refused);
    };
    // A file without any certificate would be read as an empty list.
    if !roots.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) {
        return Err(SmtpSetupError::Roots("there is no certificate in PEM form among them".to_owned()));
    }
    let refused = |error: Error| SmtpSetupError::Roots(error.to_string());
    let roots = Certificate::from_pem(roots).map_err(refused)?;
    builder.add_root_certificate(roots).build().map_err(refused)
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
