//! The component's database: the only place where SQL is.

use chassis_kit::db::{FromRow, Row, RowError, Statement};
use chassis_kit::values::page::PageRequest;
use chassis_kit::{Batch, Db, DbError, sql};

use crate::domain::ids::TodoId;
use crate::domain::listing::{Listing, Position, fold, pattern};
use crate::domain::todo::{Content, TODOS_PER_USER_MAX, Todo};
use crate::domain::words::{Priority, Sort, Status};

/// A todo of this user.
pub(crate) async fn find(db: &Db, id: &TodoId, user_id: &str) -> Result<Option<Todo>, DbError> {
    db.first(sql(include_str!("sql/find_todo.sql")).bind(id.as_str()).bind(user_id)).await
}

/// The items of a page, and one more where another page follows.
pub(crate) async fn list(
    db: &Db,
    listing: &Listing,
    position: &Position,
    page: &PageRequest,
) -> Result<Vec<Todo>, DbError> {
    let text = match listing.sort {
        Sort::NewestFirst => include_str!("sql/list_newest_first.sql"),
        Sort::OldestFirst => include_str!("sql/list_oldest_first.sql"),
        Sort::DueFirst => include_str!("sql/list_due_first.sql"),
        Sort::ChangedFirst => include_str!("sql/list_changed_first.sql"),
    };
    let filter = &listing.filter;
    let statement = sql(text)
        .bind(listing.user_id.as_str())
        .bind(position.key)
        .bind(position.id.as_str())
        .bind(filter.status.map(Status::as_str))
        .bind(filter.priority.map(Priority::as_str))
        .bind(filter.due_after)
        .bind(filter.due_before)
        .bind(filter.search.as_deref().map(pattern))
        .bind(filter.tag.as_deref())
        .bind(i64::from(page.limit).saturating_add(1))
        .bind(i64::from(position.skip));
    db.all(statement).await
}

/// Keep a new todo. The first step is the guard, which finds that its user has as many as one may have.
pub(crate) fn insert(todo: &Todo) -> Result<Batch, serde_json::Error> {
    let content = &todo.content;
    let statement = sql(include_str!("sql/insert_todo.sql"))
        .bind(todo.id.as_str())
        .bind(todo.user_id.as_str())
        .bind(content.title.as_str())
        .bind(content.description.as_str())
        .bind(content.status.as_str())
        .bind(content.priority.as_str())
        .bind(content.due_at)
        .bind(serde_json::to_string(&content.tags)?)
        .bind(search_text(content))
        .bind(todo.version)
        .bind(todo.created_at)
        .bind(todo.updated_at);
    let last =
        sql(include_str!("sql/find_last_permitted.sql")).bind(todo.user_id.as_str()).bind(TODOS_PER_USER_MAX - 1);
    Ok(with_tags(Batch::new().run_finding_none(last).run_affecting(1, statement), todo))
}

/// Put a todo in the place of the version that it was decided on. The first step is the guard.
pub(crate) fn update(from: &Todo, to: &Todo) -> Result<Batch, serde_json::Error> {
    let content = &to.content;
    let statement = sql(include_str!("sql/update_todo.sql"))
        .bind(from.id.as_str())
        .bind(from.user_id.as_str())
        .bind(from.version)
        .bind(content.title.as_str())
        .bind(content.description.as_str())
        .bind(content.status.as_str())
        .bind(content.priority.as_str())
        .bind(content.due_at)
        .bind(serde_json::to_string(&content.tags)?)
        .bind(search_text(content))
        .bind(to.version)
        .bind(to.updated_at);
    let batch = Batch::new().run_affecting(1, statement);
    if from.content.tags == content.tags {
        return Ok(batch);
    }
    Ok(with_tags(batch.run(delete_tags(&from.id)), to))
}

/// Forget a todo in the version that was read. The last step is the guard, because the tags refer to it.
pub(crate) fn delete(todo: &Todo) -> Batch {
    let statement =
        sql(include_str!("sql/delete_todo.sql")).bind(todo.id.as_str()).bind(todo.user_id.as_str()).bind(todo.version);
    Batch::new().run(delete_tags(&todo.id)).run_affecting(1, statement)
}

fn with_tags(batch: Batch, todo: &Todo) -> Batch {
    todo.content.tags.iter().fold(batch, |batch, tag| {
        batch.run(sql(include_str!("sql/insert_tag.sql")).bind(todo.id.as_str()).bind(tag.as_str()))
    })
}

fn delete_tags(id: &TodoId) -> Statement {
    sql(include_str!("sql/delete_tags.sql")).bind(id.as_str())
}

fn search_text(content: &Content) -> String {
    fold(&format!("{}\n{}", content.title, content.description))
}

impl FromRow for Todo {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let content = Content {
            title: row.get("title")?,
            description: row.get("description")?,
            status: row.try_get("status", |word: String| Status::parse(&word))?,
            priority: row.try_get("priority", |word: String| Priority::parse(&word))?,
            due_at: row.get("due_at")?,
            tags: row.try_get("tags", |text: String| serde_json::from_str::<Vec<String>>(&text))?,
        };
        Ok(Self {
            id: row.try_get("id", |text: String| TodoId::parse(&text))?,
            user_id: row.get("user_id")?,
            content,
            version: row.get("version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}
