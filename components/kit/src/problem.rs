//! Errors as clients see them: `application/problem+json` (RFC 9457) with a `type` from a closed table, the ids of the
//! request and of its trace, and JSON Pointers to what is wrong.
//!
//! A problem has two texts: `detail` is for the client, [`Problem::internal`] takes one for the log only.

mod table;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

pub use self::table::ProblemType;
use crate::trace;
use crate::values::violation::{Rule, Violation, Violations};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Names the request, in what the host hands to a component.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An error that is answered to a client.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemType,
    detail: Option<String>,
    errors: Vec<Violation>,
    place: Place,
    headers: Vec<(HeaderName, HeaderValue)>,
    for_log: Option<String>,
}

/// The request that a problem is about, by the names that the host gave it; without one where it gave none.
#[derive(Debug, Clone, Default)]
pub struct Occurrence {
    request_id: Option<String>,
    trace_id: Option<String>,
}

impl Occurrence {
    /// Read the headers of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        let request_id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Self { request_id, trace_id: trace::id(headers).map(str::to_owned) }
    }
}

/// What the pointers of `errors` point into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Body,
    Query,
}

impl Problem {
    /// A problem of this type.
    pub fn new(kind: ProblemType) -> Self {
        Self { kind, detail: None, errors: Vec::new(), place: Place::Body, headers: Vec::new(), for_log: None }
    }

    /// A failure that is not the client's. The text goes to the log and never to the client.
    pub fn internal(for_log: impl Into<String>) -> Self {
        Self { for_log: Some(for_log.into()), ..Self::new(ProblemType::Internal) }
    }

    /// The body does not hold what is asked for.
    pub fn validation(violations: &Violations) -> Self {
        Self { errors: violations.as_slice().to_vec(), ..Self::new(ProblemType::Validation) }
    }

    /// The query string does not hold what is asked for; the pointers are names of its members.
    pub fn invalid_query(violations: &Violations) -> Self {
        let errors = violations.as_slice().to_vec();
        Self { errors, place: Place::Query, ..Self::new(ProblemType::InvalidRequest) }
    }

    /// It exists already: the value at this pointer is taken.
    pub fn taken(pointer: &str, detail: &str) -> Self {
        let violations = Violations::one(pointer, Rule::new("taken", detail));
        Self { errors: violations.as_slice().to_vec(), ..Self::new(ProblemType::Conflict) }
    }

    /// Nobody is logged in, or the token is not accepted (RFC 6750). `error` is the word for `WWW-Authenticate`, none
    /// where no token was given; it must be a plain word, and `detail` plain text without quotes.
    pub fn unauthorized(error: Option<&str>, detail: &str) -> Self {
        let challenge = match error {
            Some(error) => format!("Bearer realm=\"chassis\", error=\"{error}\", error_description=\"{detail}\""),
            None => "Bearer realm=\"chassis\"".to_owned(),
        };
        let problem = Self::new(ProblemType::Unauthorized).detail(detail);
        match HeaderValue::from_str(&challenge) {
            Ok(value) => problem.header(header::WWW_AUTHENTICATE, value),
            Err(_not_plain) => problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        }
    }

    /// What this problem is about, for the client.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A further header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// `Retry-After`, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        let seconds = pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0)).max(1);
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Its type.
    pub fn kind(&self) -> ProblemType {
        self.kind
    }

    /// Its text for the log, where it has one.
    pub fn for_log(&self) -> Option<&str> {
        self.for_log.as_deref()
    }

    /// The response to the request that it is about.
    pub fn render(&self, occurrence: &Occurrence) -> Response {
        let body = self.document(occurrence).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn document(&self, occurrence: &Occurrence) -> Value {
        let mut members = Map::new();
        members.insert("type".into(), self.kind.uri().into());
        members.insert("title".into(), self.kind.title().into());
        members.insert("status".into(), self.kind.status().as_u16().into());
        members.insert("detail".into(), self.detail.as_deref().unwrap_or(self.kind.meaning()).into());
        if let Some(request_id) = &occurrence.request_id {
            members.insert("instance".into(), format!("urn:uuid:{request_id}").into());
        }
        if let Some(trace_id) = &occurrence.trace_id {
            members.insert("traceId".into(), trace_id.as_str().into());
        }
        if !self.errors.is_empty() {
            members.insert("errors".into(), self.errors.iter().map(|e| self.place.error(e)).collect());
        }
        Value::Object(members)
    }
}

impl Place {
    fn error(self, violation: &Violation) -> Value {
        let Violation { pointer, code, detail } = violation;
        match self {
            Self::Body => json!({ "pointer": pointer, "code": code, "detail": detail }),
            Self::Query => json!({ "parameter": pointer, "code": code, "detail": detail }),
        }
    }
}

impl From<Violations> for Problem {
    fn from(violations: Violations) -> Self {
        Self::validation(&violations)
    }
}

impl From<StatusCode> for Problem {
    /// The problem that stands for an error status where nothing more is known.
    fn from(status: StatusCode) -> Self {
        let same = ProblemType::ALL.iter().copied().find(|kind| kind.status() == status);
        match same {
            Some(kind) => Self::new(kind),
            None if status.is_client_error() => Self::new(ProblemType::InvalidRequest),
            None => Self::internal(format!("answered with status {status}")),
        }
    }
}

impl IntoResponse for Problem {
    /// Renders it and keeps it beside the response, so that [`crate::Service`] can add the ids of the request and log it.
    fn into_response(self) -> Response {
        let mut response = self.render(&Occurrence::default());
        response.extensions_mut().insert(self);
        response
    }
}

impl From<serde_json::Error> for Problem {
    /// For what is written as JSON; [`crate::json::parse`] is for what is read.
    fn from(error: serde_json::Error) -> Self {
        Self::internal(format!("a value could not be written as JSON: {error}"))
    }
}

impl From<crate::environment::NoRandomness> for Problem {
    fn from(error: crate::environment::NoRandomness) -> Self {
        Self::internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_members_of_rfc_9457() {
        let problem = Problem::validation(&Violations::one("/email", Rule::new("invalid", "is no address")));
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("01932c07-209c-7a55-a27b-1a4f1b5a2a61"));
        let traceparent = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        headers.insert("traceparent", traceparent);
        let occurrence = Occurrence::of(&headers);
        assert_eq!(
            problem.document(&occurrence),
            json!({
                "type": "/problems/validation", "title": ProblemType::Validation.title(), "status": 422,
                "detail": "The body is JSON, but does not hold what is asked for.",
                "instance": "urn:uuid:01932c07-209c-7a55-a27b-1a4f1b5a2a61",
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "errors": [{ "pointer": "/email", "code": "invalid", "detail": "is no address" }],
            })
        );
    }

    #[test]
    fn internal_texts_stay_inside() {
        let problem = Problem::internal("password=hunter2");
        assert!(!problem.document(&Occurrence::default()).to_string().contains("hunter2"));
        assert_eq!(problem.for_log(), Some("password=hunter2"));
    }

    #[test]
    fn a_challenge_names_the_error_only_where_a_token_was_given() {
        let challenge =
            |problem: Problem| problem.render(&Occurrence::default()).headers()[header::WWW_AUTHENTICATE].clone();
        assert_eq!(challenge(Problem::unauthorized(None, "log in first")), "Bearer realm=\"chassis\"");
        assert_eq!(
            challenge(Problem::unauthorized(Some("invalid_token"), "it has expired")),
            "Bearer realm=\"chassis\", error=\"invalid_token\", error_description=\"it has expired\""
        );
    }

    #[test]
    fn retry_after_rounds_up() {
        let header = |ms| {
            let problem = Problem::new(ProblemType::Overloaded).retry_after(Duration::from_millis(ms));
            problem.render(&Occurrence::default()).headers()[header::RETRY_AFTER].clone()
        };
        assert_eq!((header(0), header(1), header(1000), header(1001)), (1.into(), 1.into(), 1.into(), 2.into()));
    }

    #[test]
    fn every_error_status_has_a_problem() {
        for status in (400..600).filter_map(|n| StatusCode::from_u16(n).ok()) {
            let problem = Problem::from(status);
            assert_eq!(problem.kind().status().is_server_error(), status.is_server_error(), "{status}");
        }
        assert_eq!(Problem::from(StatusCode::NOT_FOUND).kind(), ProblemType::NotFound);
        assert_eq!(Problem::from(StatusCode::UNPROCESSABLE_ENTITY).kind(), ProblemType::Validation);
        assert_eq!(Problem::from(StatusCode::BAD_REQUEST).kind(), ProblemType::InvalidRequest);
        assert_eq!(Problem::from(StatusCode::CONFLICT).kind(), ProblemType::Conflict);
    }
}
