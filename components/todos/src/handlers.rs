//! The handlers: parse, decide, keep, respond. Each carries its method and path.

mod bodies;
mod extract;

use chassis_kit::axum::extract::{Path, State};
use chassis_kit::axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use chassis_kit::axum::response::{IntoResponse as _, Response};
use chassis_kit::idempotency::{self, Answer, Begin, CommitError, Idempotency};
use chassis_kit::paging::{Page, Paging};
use chassis_kit::preconditions::{RequiredIfMatch, etag};
use chassis_kit::values::{etag as tags, fingerprint, page};
use chassis_kit::{CurrentUser, DbError, Json, Problem, utoipa};

pub(crate) use self::bodies::TodoBody;
use self::bodies::{NewTodo, PatchBody};
use self::extract::{Listed, MergePatch, OptionalIfMatch};
use crate::component::App;
use crate::domain::conditions;
use crate::domain::ids::TodoId;
use crate::domain::patch::Patch;
use crate::domain::todo::Todo;
use crate::error::Error;
use crate::{events, store};

/// Where todos are.
const COLLECTION: &str = "/api/v1/todos";

/// How often a change is decided anew because somebody else was faster.
const TRIES_MAX: usize = 16;

/// Answers belong to one user, and are asked again by their entity tag.
const CACHE_CONTROL: &str = "private, no-cache";

/// The caller's todos, page by page.
#[utoipa::path(get, path = "/api/v1/todos", tag = "todos", operation_id = "listTodos",
    params(
        ("status" = Option<String>, Query, description = "open, inProgress or done"),
        ("priority" = Option<String>, Query, description = "low, normal or high"),
        ("tag" = Option<String>, Query, description = "A tag, in its letter case"),
        ("dueAfter" = Option<String>, Query, description = "Due at this time or later (RFC 3339)"),
        ("dueBefore" = Option<String>, Query, description = "Due before this time (RFC 3339)"),
        ("q" = Option<String>, Query, description = "A part of title or description, at most 100 characters"),
        ("sort" = Option<String>, Query, description = "-createdAt (default), createdAt, dueAt or -updatedAt"),
        ("limit" = Option<u32>, Query, description = "Items of the page: 20 where nothing is said, 100 at most"),
        ("cursor" = Option<String>, Query, description = "What the page before gave as nextCursor"),
        ("skip" = Option<u32>, Query, description = "Items to skip, at most 10000; not together with cursor"),
    ),
    responses((status = 200, description = "A page", body = Page<TodoBody>)),
    security(("bearer" = [])))]
pub(crate) async fn list(
    State(app): State<App>,
    CurrentUser(user): CurrentUser,
    Paging(asked): Paging,
    Listed(query): Listed,
    uri: Uri,
) -> Result<Response, Problem> {
    let listing = query.check(&user.user_id).map_err(|violations| Problem::invalid_query(&violations))?;
    let position = listing.position(&asked.start)?;
    let found = store::list(&app.db, &listing, &position, &asked).await?;
    let (items, more) = page::split(found, asked.limit);
    let next_cursor = match items.last() {
        Some(last) if more => Some(listing.cursor_after(last)?),
        Some(_) | None => None,
    };
    let page = Page { items: items.iter().map(TodoBody::from).collect(), next_cursor };
    Ok(([(header::CACHE_CONTROL, CACHE_CONTROL)], page.respond(&uri)).into_response())
}

/// Make a todo.
#[utoipa::path(post, path = "/api/v1/todos", tag = "todos", operation_id = "createTodo",
    params(("Idempotency-Key" = Option<String>, Header, description = "Do it once, however often it is asked for")),
    request_body = NewTodo,
    responses(
        (status = 201, description = "The todo; Location and ETag name it", body = TodoBody),
        (status = 409, description = "There are as many todos as one user may have"),
    ),
    security(("bearer" = [])))]
pub(crate) async fn create(
    State(app): State<App>,
    CurrentUser(user): CurrentUser,
    idempotency: Idempotency,
    Json(body): Json<NewTodo>,
) -> Result<Response, Problem> {
    let claim = idempotency.claim(&user.user_id, fingerprint::of(&body)?);
    let ticket = match idempotency::begin(&app.db, claim, app.environment).await? {
        Begin::Proceed(ticket) => ticket,
        Begin::Replay(response) => return Ok(response),
    };
    let content = body.draft().check()?;
    let now = app.environment.now();
    let todo = Todo::new(TodoId::new(now, app.environment.random()?), &user.user_id, content, now);
    let batch = store::insert(&todo)?.publish(events::created(&todo)?);
    ticket.commit(batch, created(&todo)?).await.map_err(|error| match error {
        CommitError::Db(DbError::Guard(0)) => Error::Full.into(),
        other => other.into(),
    })
}

/// The answer to a todo that was made. It is kept, so that it can be given again.
fn created(todo: &Todo) -> Result<Answer, Problem> {
    let mut answer = idempotency::answer(StatusCode::CREATED, &TodoBody::from(todo))?;
    let location = format!("{COLLECTION}/{}", todo.id);
    for (name, value) in [
        (header::LOCATION, location),
        (header::ETAG, tags::of_version(todo.version)),
        (header::CACHE_CONTROL, CACHE_CONTROL.to_owned()),
    ] {
        answer.headers.push((name.to_string(), value));
    }
    Ok(answer)
}

/// A todo.
#[utoipa::path(get, path = "/api/v1/todos/{id}", tag = "todos", operation_id = "readTodo",
    params(
        ("id" = String, Path, description = "todo_ and a UUIDv7"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the caller has"),
    ),
    responses(
        (status = 200, description = "The todo; ETag names its version", body = TodoBody),
        (status = 304, description = "The caller has it"),
    ),
    security(("bearer" = [])))]
pub(crate) async fn read(
    State(app): State<App>,
    CurrentUser(user): CurrentUser,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let todo = find(&app, &id, &user.user_id).await?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|tags| conditions::has_present(tags, todo.version)) {
        return Ok((StatusCode::NOT_MODIFIED, validators(&todo)?).into_response());
    }
    shown(&todo)
}

/// Change a todo: a JSON merge patch.
#[utoipa::path(patch, path = "/api/v1/todos/{id}", tag = "todos", operation_id = "updateTodo",
    params(
        ("id" = String, Path, description = "todo_ and a UUIDv7"),
        ("If-Match" = String, Header, description = "The entity tag that the change was decided on, or *"),
    ),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The todo after the change; ETag names its version", body = TodoBody)),
    security(("bearer" = [])))]
pub(crate) async fn update(
    State(app): State<App>,
    CurrentUser(user): CurrentUser,
    Path(id): Path<String>,
    RequiredIfMatch(asked): RequiredIfMatch,
    MergePatch(patch): MergePatch<Patch>,
) -> Result<Response, Problem> {
    for _try in 0..TRIES_MAX {
        let current = find(&app, &id, &user.user_id).await?;
        asked.check(current.version)?;
        let content = patch.apply(&current.content)?;
        let Some(changed) = current.changed(content, app.environment.now()) else { return shown(&current) };
        let batch = store::update(&current, &changed)?.publish(events::updated(&changed)?);
        if is_kept(app.db.apply(batch).await)? {
            return shown(&changed);
        }
    }
    Err(Error::Contended.into())
}

/// Delete a todo. Without `If-Match` it is deleted in whatever version.
#[utoipa::path(delete, path = "/api/v1/todos/{id}", tag = "todos", operation_id = "deleteTodo",
    params(
        ("id" = String, Path, description = "todo_ and a UUIDv7"),
        ("If-Match" = Option<String>, Header, description = "Delete only this version"),
    ),
    responses((status = 204, description = "It is deleted")),
    security(("bearer" = [])))]
pub(crate) async fn delete(
    State(app): State<App>,
    CurrentUser(user): CurrentUser,
    Path(id): Path<String>,
    OptionalIfMatch(asked): OptionalIfMatch,
) -> Result<StatusCode, Problem> {
    for _try in 0..TRIES_MAX {
        let current = find(&app, &id, &user.user_id).await?;
        if let Some(asked) = &asked {
            asked.check(current.version)?;
        }
        let batch = store::delete(&current).publish(events::deleted(&current)?);
        if is_kept(app.db.apply(batch).await)? {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(Error::Contended.into())
}

/// A todo of this user. What is no id names no todo.
async fn find(app: &App, id: &str, user_id: &str) -> Result<Todo, Error> {
    let id = TodoId::parse(id).map_err(|_other| Error::NotFound)?;
    store::find(&app.db, &id, user_id).await?.ok_or(Error::NotFound)
}

/// Whether a batch was kept; false where somebody else was faster, so that it has to be decided anew.
fn is_kept<T>(outcome: Result<T, DbError>) -> Result<bool, Error> {
    match outcome {
        Ok(_rows) => Ok(true),
        Err(DbError::Guard(_) | DbError::Conflict) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn shown(todo: &Todo) -> Result<Response, Problem> {
    Ok((validators(todo)?, Json(TodoBody::from(todo))).into_response())
}

/// The headers that name a version.
fn validators(todo: &Todo) -> Result<[(HeaderName, HeaderValue); 2], Problem> {
    Ok([etag(todo.version)?, (header::CACHE_CONTROL, HeaderValue::from_static(CACHE_CONTROL))])
}
