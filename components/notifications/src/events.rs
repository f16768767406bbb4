//! What this component consumes. It publishes nothing.
//!
//! | type | what is read of it | what follows |
//! |---|---|---|
//! | `user.registered` | `userId`, `email`, `firstName`, `lastName` | the address is kept; the welcome mail |
//! | `todo.created` | `userId`, `title`, `priority`, `dueAt` | a mail to the owner, unless they had too many |
//!
//! Members that are not known are not read, so that publishers may add some.

use chassis_kit::events::Event;
use chassis_kit::{Problem, ProblemType};

use crate::component::App;
use crate::handlers;

/// Consume an event.
pub(crate) async fn consume(app: &App, event: &Event) -> Result<(), Problem> {
    match event.event_type() {
        "user.registered" => Ok(handlers::user_registered(app, event).await?),
        "todo.created" => Ok(handlers::todo_created(app, event).await?),
        other => Err(Problem::new(ProblemType::NotFound).detail(format!("{other} is not consumed here"))),
    }
}
