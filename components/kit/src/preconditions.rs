//! `If-Match` and `ETag`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{Problem, ProblemType};
use crate::values::etag::{self, IfMatch, Precondition};

/// What the caller asks of the present state; a request without `If-Match` is refused with 428.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredIfMatch(pub IfMatch);

impl<S: Send + Sync> FromRequestParts<S> for RequiredIfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self(read(&parts.headers)?))
    }
}

fn read(headers: &HeaderMap) -> Result<IfMatch, Precondition> {
    // Several header lines mean the same as one with commas (RFC 9110, section 5.3).
    let lines: Vec<_> = headers.get_all(header::IF_MATCH).iter().map(HeaderValue::to_str).collect();
    let lines = lines.into_iter().collect::<Result<Vec<_>, _>>().map_err(|_not_text| Precondition::Malformed)?;
    if lines.is_empty() { IfMatch::parse(None) } else { IfMatch::parse(Some(&lines.join(","))) }
}

/// The header `ETag` of a row version.
///
/// # Errors
/// Never for a version; the type says so because header values are checked.
pub fn etag(version: i64) -> Result<(HeaderName, HeaderValue), Problem> {
    HeaderValue::from_str(&etag::of_version(version))
        .map(|value| (header::ETAG, value))
        .map_err(|error| Problem::internal(format!("an entity tag could not be written: {error}")))
}

impl From<Precondition> for Problem {
    fn from(error: Precondition) -> Self {
        let kind = match error {
            Precondition::Required => ProblemType::PreconditionRequired,
            Precondition::Failed => ProblemType::PreconditionFailed,
            Precondition::Malformed => ProblemType::InvalidRequest,
        };
        Self::new(kind).detail(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Err(Precondition::Required));
        headers.append(header::IF_MATCH, HeaderValue::from_static("\"1\""));
        headers.append(header::IF_MATCH, HeaderValue::from_static("\"2\""));
        assert_eq!(read(&headers), Ok(IfMatch::Tags(vec!["\"1\"".into(), "\"2\"".into()])));
        assert_eq!(etag(7).unwrap().1, "\"7\"");
    }
}
