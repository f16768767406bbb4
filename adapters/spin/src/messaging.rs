//! `chassis:platform/messaging`: rows of the outbox of one database, which the variable [`DATABASE_VARIABLE`] names.

use crate::bindings::messaging::Error;
use crate::bindings::sql;
use crate::bindings::types::Event;

/// The variable that names the database for events that are published outside of a batch.
pub const DATABASE_VARIABLE: &str = "outbox_database";

/// The steps that publish these events.
pub fn steps(events: Vec<Event>) -> Vec<sql::Step> {
    events.into_iter().map(sql::Step::Publish).collect()
}

/// What is answered where the variable is not there.
pub fn no_database() -> Error {
    Error::Internal(format!("the variable `{DATABASE_VARIABLE}` is to name the database whose outbox takes events"))
}

/// The error of a batch of events in the words of messaging.
pub fn translate(error: sql::Error) -> Error {
    match error {
        sql::Error::Denied(what) => Error::Denied(what),
        sql::Error::Syntax(what) => Error::Invalid(what),
        sql::Error::TooLarge(what) => Error::TooLarge(what),
        sql::Error::Busy(wait) => Error::Busy(wait),
        other => Error::Internal(format!("the outbox: {other:?}")),
    }
}
