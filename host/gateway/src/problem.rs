//! Every error that the gateway answers with: RFC 9457 problem details, from one table.
//!
//! The `type` of a problem is a URI reference that the gateway itself resolves: `GET /problems/<slug>` answers with the
//! section of `docs/problems.md` of that name. Components describe theirs in the same file.

use std::time::Duration;

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Serialize;

/// Where the descriptions are served.
pub(crate) const PROBLEMS_PATH: &str = "/problems";

const DOCUMENT: &str = include_str!("../../../docs/problems.md");

/// One kind of error.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// Last segment of its `type`.
    pub slug: &'static str,
    /// Its status code.
    pub status: StatusCode,
    /// Its title.
    pub title: &'static str,
    /// What has happened.
    pub meaning: &'static str,
    /// What a client can do.
    pub remedy: &'static str,
}

macro_rules! problems {
    ($($name:ident, $slug:literal, $status:ident, $title:literal, $meaning:literal, $remedy:literal;)*) => {
        $(pub(crate) const $name: ProblemType = ProblemType {
            slug: $slug, status: StatusCode::$status, title: $title, meaning: $meaning, remedy: $remedy,
        };)*

        /// Every problem that the gateway makes.
        pub const PROBLEMS: &[ProblemType] = &[$($name),*];
    };
}

problems! {
    BAD_REQUEST, "bad-request", BAD_REQUEST, "Malformed request",
        "The request breaks a rule of HTTP: it has no `Host`, or more than one, or a target that is no HTTP URL, or its body is malformed.",
        "Correct the client; the same request will always be refused.";
    BAD_PATH, "bad-path", BAD_REQUEST, "Path in an unusual spelling",
        "A path is served in one spelling only: no empty or dot segments, no encoded slashes or control characters, no encoding of characters that need none, UTF-8 throughout.",
        "Send the normalised path (RFC 3986, section 6.2.2).";
    NOT_FOUND, "not-found", NOT_FOUND, "Not found",
        "No route of the application matches this path.",
        "Check the path.";
    METHOD_NOT_ALLOWED, "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "The resource exists but does not know this method. `Allow` lists those that it knows.",
        "Use one of the methods in `Allow`.";
    REQUEST_TIMEOUT, "request-timeout", REQUEST_TIMEOUT, "Request not sent in time",
        "The body of the request stopped arriving, or did not arrive as a whole within the time for a request.",
        "Send the request again.";
    BODY_TOO_LARGE, "body-too-large", PAYLOAD_TOO_LARGE, "Request body too large",
        "The body of the request has more bytes than this host accepts.",
        "Send less, or in several requests.";
    URI_TOO_LONG, "uri-too-long", URI_TOO_LONG, "Request target too long",
        "The path and query alone have more bytes than the whole head of a request may have.",
        "Send the data in the body.";
    HEADERS_TOO_LARGE, "headers-too-large", REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head too large",
        "The head of the request has more bytes, or more fields, than this host accepts.",
        "Send fewer or smaller header fields, such as cookies.";
    COMPONENT_FAILED, "component-failed", INTERNAL_SERVER_ERROR, "The component failed",
        "The component that serves this path broke while it worked on this request. Whether it had an effect is not known.",
        "Look at the outcome before a request that changes something is sent again. Operators find the cause in the log, by `traceId`.";
    METHOD_NOT_IMPLEMENTED, "method-not-implemented", NOT_IMPLEMENTED, "Method not implemented",
        "This host serves neither `CONNECT` nor `TRACE`.",
        "Use another method.";
    BAD_RESPONSE, "bad-response", BAD_GATEWAY, "The component gave no usable response",
        "The component that serves this path answered with an error instead of a response, or with a response that cannot be sent.",
        "Look at the outcome before a request that changes something is sent again. Operators find the cause in the log, by `traceId`.";
    OVERLOADED, "overloaded", SERVICE_UNAVAILABLE, "Overloaded",
        "More requests are running or waiting than this host, or the component that serves this path, takes on. This one was not begun.",
        "Send the request again after `Retry-After`.";
    INSTANCE_LOST, "instance-lost", SERVICE_UNAVAILABLE, "The instance was lost",
        "Another request broke the instance of the component in which this one ran. Whether it had an effect is not known.",
        "Send the request again, with its `Idempotency-Key` where it has one.";
    SHUTTING_DOWN, "shutting-down", SERVICE_UNAVAILABLE, "Shutting down",
        "This host is about to end and begins no more requests.",
        "Send the request again.";
    DEADLINE_EXCEEDED, "deadline-exceeded", GATEWAY_TIMEOUT, "No response in time",
        "The component that serves this path did not begin its response in time. Whether it had an effect is not known.",
        "Look at the outcome before a request that changes something is sent again.";
}

/// One error, about to be answered.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static ProblemType,
    detail: String,
    retry_after: Option<Duration>,
}

/// Names the request that a problem is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurrence<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) trace_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    trace_id: &'a str,
}

impl Problem {
    /// A problem whose detail is the meaning of its kind.
    pub(crate) fn new(kind: &'static ProblemType) -> Self {
        Self::because(kind, kind.meaning)
    }

    /// A problem with a detail of its own, which is shown to whoever sent the request.
    pub(crate) fn because(kind: &'static ProblemType, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }

    /// Say when to try again; sent in whole seconds, rounded up.
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The response.
    pub(crate) fn respond(self, occurrence: Occurrence<'_>) -> Response<Body> {
        let document = Document {
            r#type: format!("{PROBLEMS_PATH}/{}", self.kind.slug),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: &self.detail,
            instance: format!("urn:uuid:{}", occurrence.request_id),
            trace_id: occurrence.trace_id,
        };
        // A struct of strings and numbers always serialises; an empty body would still carry the status.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The description of a problem, in Markdown.
pub(crate) fn describe(slug: &str) -> Option<&'static str> {
    sections().find(|section| section.lines().next() == Some(slug))
}

/// The description of all problems, in Markdown.
pub(crate) const fn describe_all() -> &'static str {
    DOCUMENT
}

/// The sections of the document, each from its name on.
fn sections() -> impl Iterator<Item = &'static str> {
    DOCUMENT.split("\n## ").skip(1)
}

#[cfg(test)]
mod tests {
    use super::{PROBLEMS, ProblemType, describe, sections};

    fn section(problem: &ProblemType) -> String {
        let ProblemType { slug, status, title, meaning, remedy } = problem;
        format!("{slug}\n\n**{}: {title}.** {meaning}\n\n{remedy}", status.as_u16())
    }

    #[test]
    fn the_document_describes_every_problem_as_the_table_does() {
        for problem in PROBLEMS {
            let expected = section(problem);
            let found = describe(problem.slug).map(str::trim_end);
            assert_eq!(found, Some(expected.as_str()), "docs/problems.md should have:\n\n## {expected}\n");
        }
    }

    #[test]
    fn every_problem_is_described_once_under_a_plain_name() {
        let mut slugs: Vec<&str> = sections().filter_map(|section| section.lines().next()).collect();
        let all = slugs.len();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), all, "a name stands twice in docs/problems.md");
        for slug in slugs {
            assert!(slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{slug}");
        }
    }
}
