//! The way out that a plan names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chassis_config::plan::{MailPlan, MailTransport, SmtpPlan};

use super::MailBackend;
use super::mailbox::{Mailbox, MailboxBounds, MailboxError};
use super::smtp::{Smtp, SmtpSetupError};
use crate::clock::Clock;

/// Bytes of a file of roots to trust: that of a whole distribution is a quarter of it.
const CA_FILE_BYTES_MAX: u64 = 1 << 20;

/// The way out for mail.
#[derive(Debug, Clone)]
pub struct MailTransports {
    /// Where mail is sent.
    pub backend: Arc<dyn MailBackend>,
    /// Where it can be looked into, if it is kept by the host.
    pub mailbox: Option<Arc<Mailbox>>,
}

/// Why mail has no way out.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The mailbox cannot be opened.
    #[error("the mailbox: {0}")]
    Mailbox(#[from] MailboxError),
    /// The file of further roots cannot be read.
    #[error("cannot read the roots to trust, {}: {source}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The SMTP server cannot be used as it is configured.
    #[error("the SMTP server: {0}")]
    Smtp(#[from] SmtpSetupError),
}

/// Open the way out that a plan names; the mailbox is the file `mailbox.db` in the state folder. Must be called within a
/// tokio runtime. The SMTP server is not asked before there is mail for it.
///
/// # Errors
/// Where a file cannot be opened or read, or what it says cannot be used.
pub async fn from_plan(
    plan: &MailPlan,
    state_dir: &Path,
    clock: Arc<dyn Clock>,
) -> Result<MailTransports, TransportError> {
    match &plan.transport {
        MailTransport::Mailbox { messages, retention } => {
            let bounds = MailboxBounds { messages: *messages, retention: *retention };
            let mailbox = Arc::new(Mailbox::open(&state_dir.join("mailbox.db"), bounds, clock).await?);
            Ok(MailTransports { backend: Arc::clone(&mailbox) as Arc<dyn MailBackend>, mailbox: Some(mailbox) })
        }
        MailTransport::Smtp(smtp) => {
            let roots = roots(smtp).await?;
            let smtp = Smtp::new(smtp, roots.as_deref(), clock)?;
            Ok(MailTransports { backend: Arc::new(smtp), mailbox: None })
        }
    }
}

async fn roots(plan: &SmtpPlan) -> Result<Option<Vec<u8>>, TransportError> {
    let Some(path) = &plan.ca_file else { return Ok(None) };
    let failed = |source| TransportError::Roots { path: path.clone(), source };
    let bytes = tokio::fs::metadata(path).await.map_err(failed)?.len();
    if bytes > CA_FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other(format!("it is larger than {CA_FILE_BYTES_MAX} bytes"))));
    }
    tokio::fs::read(path).await.map(Some).map_err(failed)
}
