//! The statements of the component, word for word, through sqlx.

use chassis_kit::values::page::PageRequest;
use chassis_kit::values::time::{from_millis, to_millis};
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};
use todos::domain::ids::TodoId;
use todos::domain::listing::{Listing, Position, pattern};
use todos::domain::todo::{Content, Todo};
use todos::domain::words::{Priority, Sort, Status};

/// A value that the component could not have stored.
#[derive(Debug, thiserror::Error)]
#[error("the column {0} holds no value of its kind")]
struct Unfit(&'static str);

/// A todo of this user.
pub(super) async fn find(pool: &SqlitePool, id: &TodoId, user_id: &str) -> Result<Option<Todo>, sqlx::Error> {
    sqlx::query(include_str!("../../../../components/todos/src/sql/find_todo.sql"))
        .bind(id.as_str())
        .bind(user_id)
        .try_map(todo)
        .fetch_optional(pool)
        .await
}

/// The items of a page, and one more where another page follows.
pub(super) async fn list(
    pool: &SqlitePool,
    listing: &Listing,
    position: &Position,
    page: &PageRequest,
) -> Result<Vec<Todo>, sqlx::Error> {
    let text = match listing.sort {
        Sort::NewestFirst => include_str!("../../../../components/todos/src/sql/list_newest_first.sql"),
        Sort::OldestFirst => include_str!("../../../../components/todos/src/sql/list_oldest_first.sql"),
        Sort::DueFirst => include_str!("../../../../components/todos/src/sql/list_due_first.sql"),
        Sort::ChangedFirst => include_str!("../../../../components/todos/src/sql/list_changed_first.sql"),
    };
    let filter = &listing.filter;
    sqlx::query(text)
        .bind(listing.user_id.as_str())
        .bind(position.key)
        .bind(position.id.as_str())
        .bind(filter.status.map(Status::as_str))
        .bind(filter.priority.map(Priority::as_str))
        .bind(filter.due_after.map(to_millis))
        .bind(filter.due_before.map(to_millis))
        .bind(filter.search.as_deref().map(pattern))
        .bind(filter.tag.as_deref())
        .bind(i64::from(page.limit).saturating_add(1))
        .bind(i64::from(position.skip))
        .try_map(todo)
        .fetch_all(pool)
        .await
}

fn todo(row: SqliteRow) -> Result<Todo, sqlx::Error> {
    let content = Content {
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        status: Status::parse(row.try_get("status")?).map_err(|_rule| unfit("status"))?,
        priority: Priority::parse(row.try_get("priority")?).map_err(|_rule| unfit("priority"))?,
        due_at: row.try_get::<Option<i64>, _>("due_at")?.map(|ms| time("due_at", ms)).transpose()?,
        tags: serde_json::from_str(row.try_get("tags")?).map_err(|_error| unfit("tags"))?,
    };
    Ok(Todo {
        id: TodoId::parse(row.try_get("id")?).map_err(|_error| unfit("id"))?,
        user_id: row.try_get("user_id")?,
        content,
        version: row.try_get("version")?,
        created_at: time("created_at", row.try_get("created_at")?)?,
        updated_at: time("updated_at", row.try_get("updated_at")?)?,
    })
}

fn time(column: &'static str, milliseconds: i64) -> Result<Timestamp, sqlx::Error> {
    from_millis(milliseconds).map_err(|_error| unfit(column))
}

fn unfit(column: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Unfit(column)))
}
