//! Records in the table `idempotency_keys` (see the README of this crate for its schema).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::Answer;
use crate::db::{Db, DbError, FromRow, Row, RowError, Statement, sql};
use crate::problem::Problem;
use crate::values::idempotency::{Key, Record, Scope};

/// An answer with a JSON body.
///
/// # Errors
/// The body cannot be written as JSON.
pub fn answer<T: Serialize>(status: StatusCode, body: &T) -> Result<Answer, Problem> {
    let body = serde_json::to_string(body)?;
    let headers = vec![(header::CONTENT_TYPE.to_string(), "application/json".to_owned())];
    Ok(Answer { status: status.as_u16(), headers, body })
}

/// The response that an answer stands for.
pub fn respond(answer: &Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

pub(super) async fn load(db: &Db, scope: &Scope, key: &Key) -> Result<Option<Record>, DbError> {
    let statement = sql(include_str!("../sql/get_idempotency_record.sql"));
    db.first(statement.bind(scope.subject.as_str()).bind(scope.route.as_str()).bind(key.as_str())).await
}

pub(super) fn store(scope: &Scope, key: &Key, record: &Record, now: Timestamp) -> Result<Statement, DbError> {
    let headers = serde_json::to_string(&record.answer.headers).map_err(|error| DbError::Fault(error.to_string()))?;
    Ok(sql(include_str!("../sql/put_idempotency_record.sql"))
        .bind(scope.subject.as_str())
        .bind(scope.route.as_str())
        .bind(key.as_str())
        .bind(record.fingerprint.as_str())
        .bind(i64::from(record.answer.status))
        .bind(headers)
        .bind(record.answer.body.as_str())
        .bind(record.nonce.as_str())
        .bind(now)
        .bind(record.expires_at))
}

pub(super) fn purge(now: Timestamp) -> Statement {
    sql(include_str!("../sql/purge_idempotency_records.sql")).bind(now)
}

impl FromRow for Record {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let answer = Answer {
            status: row.try_get("status", |status: i64| u16::try_from(status))?,
            headers: row.try_get("headers", |text: String| serde_json::from_str(&text))?,
            body: row.get("body")?,
        };
        let (fingerprint, nonce) = (row.get("fingerprint")?, row.get("nonce")?);
        Ok(Self { fingerprint, answer, nonce, expires_at: row.get("expires_at")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_again_as_it_was() {
        let mut first = answer(StatusCode::CREATED, &serde_json::json!({ "id": 1 })).unwrap();
        first.headers.push(("etag".into(), "\"1\"".into()));
        let response = respond(&first);
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["etag"], "\"1\"");
    }
}
