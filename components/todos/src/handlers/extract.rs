//! What these handlers read from a request, beyond what the kit reads.

use chassis_kit::axum::extract::{FromRequest, FromRequestParts, Query, Request};
use chassis_kit::axum::http::request::Parts;
use chassis_kit::axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use chassis_kit::preconditions::RequiredIfMatch;
use chassis_kit::values::etag::IfMatch;
use chassis_kit::{Json, Problem, ProblemType};
use serde::de::DeserializeOwned;

use crate::domain::listing::ListQuery;

/// Types of a body that holds a merge patch. Another `+json` type is another kind of patch.
const PATCH_TYPES: [&str; 2] = ["application/merge-patch+json", "application/json"];

/// Which todos are to be listed.
#[derive(Debug)]
pub(crate) struct Listed(pub(crate) ListQuery);

impl<S: Send + Sync> FromRequestParts<S> for Listed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|error| Problem::new(ProblemType::InvalidRequest).detail(error.body_text()))
    }
}

/// What the caller asks of the present state, if anything.
#[derive(Debug)]
pub(crate) struct OptionalIfMatch(pub(crate) Option<IfMatch>);

impl<S: Send + Sync> FromRequestParts<S> for OptionalIfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if !parts.headers.contains_key(header::IF_MATCH) {
            return Ok(Self(None));
        }
        let RequiredIfMatch(asked) = RequiredIfMatch::from_request_parts(parts, state).await?;
        Ok(Self(Some(asked)))
    }
}

/// A JSON merge patch (RFC 7396).
#[derive(Debug)]
pub(crate) struct MergePatch<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for MergePatch<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_patch(request.headers()) {
            let types = HeaderValue::from_static("application/merge-patch+json, application/json");
            return Err(Problem::new(ProblemType::UnsupportedMediaType)
                .detail("send the change with Content-Type: application/merge-patch+json")
                .header(HeaderName::from_static("accept-patch"), types));
        }
        let Json(patch) = Json::from_request(request, state).await?;
        Ok(Self(patch))
    }
}

fn is_patch(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    PATCH_TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known))
}
