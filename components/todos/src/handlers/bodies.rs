//! Bodies as they are read and written.

use chassis_kit::utoipa;
use chassis_kit::utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use serde::{Deserialize, Serialize};

use crate::domain::todo::{Draft, Todo};
use crate::domain::words::{Priority, Status};

/// What a todo is made of. Members that are not known are not read.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewTodo {
    /// What is to be done: 1 to 200 characters.
    #[schema(required = true, nullable = false, min_length = 1, max_length = 200)]
    title: Option<String>,
    /// More about it; empty where nothing is said.
    #[schema(max_length = 10000)]
    description: Option<String>,
    /// How far it is; `open` where nothing is said.
    #[schema(schema_with = status_or_null)]
    status: Option<String>,
    /// How much it matters; `normal` where nothing is said.
    #[schema(schema_with = priority_or_null)]
    priority: Option<String>,
    /// When it is due (RFC 3339).
    #[schema(format = DateTime)]
    due_at: Option<String>,
    /// Words to find it by: at most 20, each once, of 1 to 50 characters.
    #[schema(max_items = 20)]
    tags: Option<Vec<String>>,
}

impl NewTodo {
    /// The same for the rules.
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft {
            title: self.title.as_deref(),
            description: self.description.as_deref(),
            status: self.status.as_deref(),
            priority: self.priority.as_deref(),
            due_at: self.due_at.as_deref(),
            tags: self.tags.as_deref(),
        }
    }
}

// Only for the OpenAPI document; it is read as the domain's `Patch`.
/// A JSON merge patch (RFC 7396): what is left out stays, `null` takes away and so gives the default.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "camelCase", as = TodoPatch)]
#[expect(dead_code, reason = "describes a body; the domain's type reads it")]
pub(crate) struct PatchBody {
    /// 1 to 200 characters. It cannot be taken away.
    #[schema(required = false, nullable = false, min_length = 1, max_length = 200)]
    title: Option<String>,
    /// At most 10000 characters.
    #[schema(max_length = 10000)]
    description: Option<String>,
    /// How far it is.
    #[schema(schema_with = status_or_null, required = false)]
    status: Option<String>,
    /// How much it matters.
    #[schema(schema_with = priority_or_null, required = false)]
    priority: Option<String>,
    /// When it is due (RFC 3339).
    #[schema(format = DateTime)]
    due_at: Option<String>,
    /// All tags; they replace those that were.
    #[schema(max_items = 20)]
    tags: Option<Vec<String>>,
}

/// A todo as clients see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Todo)]
pub(crate) struct TodoBody {
    /// `todo_` and a UUIDv7.
    id: String,
    /// What is to be done.
    title: String,
    /// More about it.
    description: String,
    /// How far it is.
    #[schema(schema_with = status)]
    status: &'static str,
    /// How much it matters.
    #[schema(schema_with = priority)]
    priority: &'static str,
    /// When it is due (RFC 3339, UTC).
    #[schema(format = DateTime, required = true)]
    due_at: Option<String>,
    /// Words to find it by.
    tags: Vec<String>,
    /// Counts its changes, from 1. Its entity tag is this number in double quotes.
    version: i64,
    /// When it was made (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last changed (RFC 3339, UTC).
    #[schema(format = DateTime)]
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

fn status() -> ObjectBuilder {
    one_of(Status::WORDS).description(Some("How far it is."))
}

fn priority() -> ObjectBuilder {
    one_of(Priority::WORDS).description(Some("How much it matters."))
}

fn status_or_null() -> ObjectBuilder {
    or_null(Status::WORDS).description(Some("How far it is; `null` means `open`."))
}

fn priority_or_null() -> ObjectBuilder {
    or_null(Priority::WORDS).description(Some("How much it matters; `null` means `normal`."))
}

fn one_of(words: &'static [&'static str]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied()))
}

fn or_null(words: &'static [&'static str]) -> ObjectBuilder {
    let values = words.iter().copied().map(Some).chain([None]);
    ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null])).enum_values(Some(values))
}
