//! The health of a component: `{"status", "service", "version", "timestamp", "dependencies": {...}}`.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::db::Db;
use crate::json::Json;

const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

/// Whether something that the component needs does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is needed, such as `database`.
    pub name: &'static str,
    /// Whether it works; the text is for the log.
    pub outcome: Result<(), String>,
}

impl Check {
    /// A check that has been made.
    pub fn new(name: &'static str, outcome: Result<(), String>) -> Self {
        Self { name, outcome }
    }

    /// Ask the database.
    pub async fn database(db: &Db) -> Self {
        Self::new("database", db.ping().await.map_err(|error| error.to_string()))
    }

    fn word(&self) -> &'static str {
        if self.outcome.is_ok() { HEALTHY } else { UNHEALTHY }
    }
}

/// The answer to a probe: 200, or 503 if something needed does not work. Reasons go to the log, not into the answer.
pub(crate) fn respond(service: &str, version: &str, now: Timestamp, checks: &[Check]) -> Response {
    for check in checks {
        if let Err(reason) = &check.outcome {
            crate::log::error("a dependency is unhealthy", json!({ "dependency": check.name, "reason": reason }));
        }
    }
    let dependencies: Map<String, Value> =
        checks.iter().map(|check| (check.name.to_owned(), check.word().into())).collect();
    let (status, word) = match checks.iter().find(|check| check.outcome.is_err()) {
        None => (StatusCode::OK, HEALTHY),
        Some(_ailing) => (StatusCode::SERVICE_UNAVAILABLE, UNHEALTHY),
    };
    let body = json!({
        "status": word, "service": service, "version": version,
        "timestamp": now.to_string(), "dependencies": dependencies,
    });
    (status, Json(body)).into_response()
}
