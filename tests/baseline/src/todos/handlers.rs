//! The handlers, as they stand in the component.

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use chassis_kit::paging::{Page, Paging};
use chassis_kit::preconditions::etag;
use chassis_kit::values::page;
use chassis_kit::{CurrentUser, Json, Problem, ProblemType, utoipa};
use todos::domain::conditions;
use todos::domain::ids::TodoId;
use todos::domain::listing::ListQuery;
use todos::domain::todo::Todo;

use super::body::TodoBody;
use super::{App, store};

/// Answers belong to one user, and are asked again by their entity tag.
const CACHE_CONTROL: &str = "private, no-cache";

/// Which todos are to be listed.
#[derive(Debug)]
pub(super) struct Listed(ListQuery);

impl<S: Send + Sync> FromRequestParts<S> for Listed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|error| Problem::new(ProblemType::InvalidRequest).detail(error.body_text()))
    }
}

/// The caller's todos, page by page.
#[utoipa::path(get, path = "/api/v1/todos")]
pub(super) async fn list(
    State(app): State<App>,
    CurrentUser(user): CurrentUser,
    Paging(asked): Paging,
    Listed(query): Listed,
    uri: Uri,
) -> Result<Response, Problem> {
    let listing = query.check(&user.user_id).map_err(|violations| Problem::invalid_query(&violations))?;
    let position = listing.position(&asked.start)?;
    let found = store::list(&app.pool, &listing, &position, &asked).await.map_err(fault)?;
    let (items, more) = page::split(found, asked.limit);
    let next_cursor = match items.last() {
        Some(last) if more => Some(listing.cursor_after(last)?),
        Some(_) | None => None,
    };
    let page = Page { items: items.iter().map(TodoBody::from).collect(), next_cursor };
    Ok(([(header::CACHE_CONTROL, CACHE_CONTROL)], page.respond(&uri)).into_response())
}

/// A todo.
#[utoipa::path(get, path = "/api/v1/todos/{id}")]
pub(super) async fn read(
    State(app): State<App>,
    CurrentUser(user): CurrentUser,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::new(ProblemType::NotFound).detail("there is no such todo");
    let id = TodoId::parse(&id).map_err(|_error| missing())?;
    let todo = store::find(&app.pool, &id, &user.user_id).await.map_err(fault)?.ok_or_else(missing)?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|tags| conditions::has_present(tags, todo.version)) {
        return Ok((StatusCode::NOT_MODIFIED, validators(&todo)?).into_response());
    }
    Ok((validators(&todo)?, Json(TodoBody::from(&todo))).into_response())
}

fn validators(todo: &Todo) -> Result<[(HeaderName, HeaderValue); 2], Problem> {
    Ok([etag(todo.version)?, (header::CACHE_CONTROL, HeaderValue::from_static(CACHE_CONTROL))])
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function for map_err")]
fn fault(error: sqlx::Error) -> Problem {
    Problem::internal(format!("the database did not do it: {error}"))
}
