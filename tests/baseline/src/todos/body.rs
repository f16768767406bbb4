//! A todo as clients see it.

use serde::Serialize;
use todos::domain::todo::Todo;

/// The members of the component's answer, in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TodoBody {
    id: String,
    title: String,
    description: String,
    status: &'static str,
    priority: &'static str,
    due_at: Option<String>,
    tags: Vec<String>,
    version: i64,
    created_at: String,
    updated_at: String,
}

impl From<&Todo> for TodoBody {
    fn from(todo: &Todo) -> Self {
        let content = &todo.content;
        Self {
            id: todo.id.to_string(),
            title: content.title.clone(),
            description: content.description.clone(),
            status: content.status.as_str(),
            priority: content.priority.as_str(),
            due_at: content.due_at.map(|time| time.to_string()),
            tags: content.tags.clone(),
            version: todo.version,
            created_at: todo.created_at.to_string(),
            updated_at: todo.updated_at.to_string(),
        }
    }
}
