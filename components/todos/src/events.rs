//! What this component publishes. It consumes nothing.
//!
//! | type | when | data |
//! |---|---|---|
//! | `todo.created` | a todo was made | the todo as the HTTP surface shows it, and `userId` |
//! | `todo.updated` | a todo was changed | the same, after the change |
//! | `todo.deleted` | a todo was deleted | the same, as it was at last |
//!
//! The subject is the todo's id, so that the events of one todo keep their order. `version` counts the changes of a
//! todo, so that whoever keeps a copy can tell what is newer. Members may be added; none is removed or changed in its
//! meaning without another type.

use chassis_kit::Problem;
use chassis_kit::events::Publication;
use serde_json::Value;

use crate::domain::todo::Todo;
use crate::handlers::TodoBody;

/// A todo was made.
pub(crate) fn created(todo: &Todo) -> Result<Publication, Problem> {
    about("todo.created", todo)
}

/// A todo was changed.
pub(crate) fn updated(todo: &Todo) -> Result<Publication, Problem> {
    about("todo.updated", todo)
}

/// A todo was deleted.
pub(crate) fn deleted(todo: &Todo) -> Result<Publication, Problem> {
    about("todo.deleted", todo)
}

fn about(event_type: &str, todo: &Todo) -> Result<Publication, Problem> {
    let mut data = serde_json::to_value(TodoBody::from(todo))?;
    if let Value::Object(members) = &mut data {
        members.insert("userId".to_owned(), todo.user_id.as_str().into());
    }
    Ok(Publication::new(event_type, todo.id.as_str(), &data))
}
