//! Events on their way, and those that were given up.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use chassis_capabilities::messaging::{DeadLetter, MessagingError, QueueStatus};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{Caller, Page, Sources, page_limit, read_query};
use crate::problem::{BUSY, INVALID, NOT_FOUND, Problem};

/// A dead letter as operators see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterView {
    id: String,
    queue: String,
    attempts: u32,
    reason: String,
    died_at: Timestamp,
    event: EventView,
}

/// An event, with the names of CloudEvents.
#[derive(Debug, Serialize)]
struct EventView {
    id: String,
    source: String,
    r#type: String,
    subject: Option<String>,
    time: Timestamp,
    traceparent: Option<String>,
    /// The document; where it is none, its text.
    data: Value,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { id, queue, event, attempts, reason, died_at } = letter;
        let data = serde_json::from_str(&event.data).unwrap_or(Value::String(event.data));
        let event = EventView {
            id: event.id,
            source: event.source,
            r#type: event.event_type,
            subject: event.subject,
            time: event.time,
            traceparent: event.traceparent,
            data,
        };
        Self { id, queue, attempts, reason, died_at, event }
    }
}

pub(crate) async fn queues(State(sources): State<Sources>) -> Result<Json<Page<QueueStatus>>, Problem> {
    Ok(Json(Page::whole(sources.messaging.status().await.map_err(messaging_problem)?)))
}

/// Which dead letters are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    /// Of which queue.
    queue: Option<String>,
}

pub(crate) async fn dead_letters(
    State(sources): State<Sources>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<DeadLetterView>>, Problem> {
    let ListQuery { limit, cursor, queue } = read_query(query)?;
    let page = sources.messaging.dead_letters(queue.as_deref(), cursor.as_deref(), page_limit(limit)?).await;
    let page = page.map_err(messaging_problem)?;
    let items = page.items.into_iter().map(DeadLetterView::from).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

pub(crate) async fn replay(
    State(sources): State<Sources>,
    Extension(Caller(caller)): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if !sources.messaging.replay(&id).await.map_err(messaging_problem)? {
        return Err(Problem::new(NOT_FOUND, "There is no such dead letter."));
    }
    tracing::info!(target: "chassis::admin", caller = caller.name, dead_letter = id, "a dead letter was replayed");
    Ok(StatusCode::NO_CONTENT)
}

fn messaging_problem(error: MessagingError) -> Problem {
    match error {
        MessagingError::Invalid(detail) => Problem::new(INVALID, detail),
        MessagingError::Busy(after) | MessagingError::QueueFull { wait: after, .. } => {
            Problem::new(BUSY, "The queues take no more work now.").retry_after(after)
        }
        error @ (MessagingError::TooLarge(_) | MessagingError::LeaseLost | MessagingError::Internal(_)) => {
            Problem::failed(&error)
        }
    }
}
