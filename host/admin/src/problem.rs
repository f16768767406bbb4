//! What callers get who ask for what is not there or not theirs: RFC 9457 problem details, as on the public side.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use serde_json::json;

const DOCUMENT: &str = include_str!("../../../docs/problems.md");

/// One kind of problem: the last segment of its `type`, its status, its title.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    slug: &'static str,
    status: StatusCode,
    title: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $slug:literal, $status:ident, $title:literal;)*) => {
        $(pub(crate) const $name: Kind = Kind { slug: $slug, status: StatusCode::$status, title: $title };)*

        #[cfg(test)]
        const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    INVALID = "invalid-request", BAD_REQUEST, "Invalid request";
    UNAUTHORIZED = "unauthorized", UNAUTHORIZED, "Authentication needed";
    FORBIDDEN = "forbidden", FORBIDDEN, "Not permitted";
    NOT_FOUND = "not-found", NOT_FOUND, "Not found";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    CONFLICT = "conflict", CONFLICT, "Conflict";
    BODY_TOO_LARGE = "body-too-large", PAYLOAD_TOO_LARGE, "Request body too large";
    UNSUPPORTED = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    FAILED = "host-failed", INTERNAL_SERVER_ERROR, "The host failed";
    BUSY = "overloaded", SERVICE_UNAVAILABLE, "Overloaded";
    TIMEOUT = "deadline-exceeded", GATEWAY_TIMEOUT, "No response in time";
}

/// A problem, about to be answered.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    // Boxed, since problems travel as errors.
    field: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    /// A problem with a detail that is shown to the caller.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None }
    }

    /// Something broke. The reason is for the log alone.
    pub(crate) fn failed(reason: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = reason, "an admin request failed");
        Self::new(FAILED, "The reason is in the host's log.")
    }

    /// Say when to try again.
    pub(crate) fn retry_after(mut self, after: std::time::Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.field = Some(Box::new((RETRY_AFTER, HeaderValue::from(seconds))));
        self
    }

    /// Say what to authenticate with.
    pub(crate) fn challenge(mut self, challenge: &'static str) -> Self {
        self.field = Some(Box::new((WWW_AUTHENTICATE, HeaderValue::from_static(challenge))));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Kind { slug, status, title } = self.kind;
        let document = json!({
            "type": format!("/problems/{slug}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
        });
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.field.map(|field| *field));
        response
    }
}

/// The description of a problem, in Markdown.
pub(crate) fn describe(slug: &str) -> Option<&'static str> {
    DOCUMENT.split("\n## ").skip(1).find(|section| section.lines().next() == Some(slug))
}

#[cfg(test)]
mod tests {
    use super::{KINDS, describe};

    #[test]
    fn every_problem_is_described_with_its_status_and_title() {
        for kind in KINDS {
            let section = describe(kind.slug).unwrap_or_else(|| panic!("docs/problems.md lacks ## {}", kind.slug));
            let heading = format!("**{}: {}.**", kind.status.as_u16(), kind.title);
            assert!(section.contains(&heading), "docs/problems.md, ## {}: {heading}", kind.slug);
        }
    }
}
