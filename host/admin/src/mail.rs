//! The mailbox: mail that the host keeps instead of sending it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use chassis_capabilities::mail::{Mailbox, MailboxError, MailboxSummary, StoredMail};
use serde::Deserialize;

use crate::api::{Page, Sources, page_limit, read_query};
use crate::problem::{BUSY, INVALID, NOT_FOUND, Problem};

/// Which mails are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    /// To which recipient.
    to: Option<String>,
}

pub(crate) async fn list(
    State(sources): State<Sources>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<MailboxSummary>>, Problem> {
    let ListQuery { limit, cursor, to } = read_query(query)?;
    let page = mailbox(&sources)?.list(cursor.as_deref(), page_limit(limit)?, to.as_deref()).await;
    let page = page.map_err(mailbox_problem)?;
    Ok(Json(Page { items: page.items, next_cursor: page.next_cursor }))
}

pub(crate) async fn show(State(sources): State<Sources>, Path(id): Path<String>) -> Result<Json<StoredMail>, Problem> {
    let found = mailbox(&sources)?.get(&id).await.map_err(mailbox_problem)?;
    found.map(Json).ok_or_else(|| Problem::new(NOT_FOUND, "There is no such mail, or it was forgotten."))
}

fn mailbox(sources: &Sources) -> Result<&Arc<Mailbox>, Problem> {
    let none = || Problem::new(NOT_FOUND, "There is no mailbox: this host hands its mail to an SMTP server.");
    sources.mailbox.as_ref().ok_or_else(none)
}

fn mailbox_problem(error: MailboxError) -> Problem {
    match error {
        MailboxError::Invalid(detail) => Problem::new(INVALID, detail),
        MailboxError::Busy(after) => Problem::new(BUSY, "The mailbox takes no more work now.").retry_after(after),
        error @ MailboxError::File(_) => Problem::failed(&error),
    }
}
