//! What is published: `user.registered` and `user.login`. Nothing is consumed.

use chassis_kit::events::Publication;
use jiff::Timestamp;
use serde_json::json;

use crate::domain::account::User;

/// Somebody has an account now.
pub(crate) fn registered(user: &User) -> Publication {
    let data = json!({
        "userId": user.id, "email": user.email, "firstName": user.first_name, "lastName": user.last_name,
        "timestamp": user.created_at,
    });
    Publication::new("user.registered", user.id.as_str(), &data)
}

/// Somebody has logged in.
pub(crate) fn logged_in(user: &User, now: Timestamp) -> Publication {
    let data = json!({ "userId": user.id, "email": user.email, "timestamp": now });
    Publication::new("user.login", user.id.as_str(), &data)
}
