//! JSON bodies in and out.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::problem::{Problem, ProblemType};
use crate::values::violation::{Rule, Violations, pointer_token};

/// Bytes of a JSON body at most.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A JSON body.
///
/// As an extractor it refuses: another content type (415), a body beyond [`BODY_BYTES_MAX`] (413), what is not JSON
/// (400), and JSON that does not fit the type (422, with a pointer to the place). A body is always an object.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "send the body with Content-Type: application/json";
            return Err(Problem::new(ProblemType::UnsupportedMediaType).detail(detail));
        }
        parse(&collect(request.into_body()).await?).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
            Err(error) => Problem::internal(format!("an answer could not be written as JSON: {error}")).into_response(),
        }
    }
}

/// `application/json`, or a type that ends in `+json` (RFC 6839), with whatever parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty()))
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(ProblemType::TooLarge).detail(format!("at most {BODY_BYTES_MAX} bytes are accepted")))
        }
        Err(_cut_off) => Err(Problem::new(ProblemType::InvalidRequest).detail("the body was cut off")),
    }
}

/// Read a type from the bytes of a JSON object.
///
/// # Errors
/// `invalid-json` where it is not JSON, `validation` with a pointer where it is something else than asked for.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = str::from_utf8(bytes)
        .map_err(|error| Problem::new(ProblemType::InvalidJson).detail(format!("the body is not UTF-8: {error}")))?;
    // First whether it is JSON at all, so that half a document is told so, and not what its first half lacks.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(&error))?;
    // serde reads a struct from a list as well, member by member: a way in that nobody has documented.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::validation(&Violations::one("", Rule::new("wrong-type", "expected an object"))));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| explain(&error))
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    match error.inner().classify() {
        Category::Data => {
            let rule = Rule::new("wrong-type", without_position(&error.inner().to_string()));
            Problem::validation(&Violations::one(pointer(error.path()), rule))
        }
        Category::Io | Category::Syntax | Category::Eof => malformed(error.inner()),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemType::InvalidJson).detail(error.to_string())
}

/// The message without « at line 1 column 9», because the pointer says where.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").and_then(|at| message.get(..at)).unwrap_or(message)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut text = String::new();
    for segment in path.iter() {
        let token = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => pointer_token(key),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        text.push('/');
        text.push_str(&token);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its shape is read")]
    struct Todo {
        title: String,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn read(content_type: Option<&str>, body: impl Into<Body>) -> Result<Json<Todo>, Problem> {
        let mut request = Request::new(body.into());
        if let Some(value) = content_type {
            request.headers_mut().insert(header::CONTENT_TYPE, value.parse().unwrap());
        }
        block_on(Json::from_request(request, &()))
    }

    #[test]
    fn json_and_its_relatives_are_accepted() {
        for value in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(read(Some(value), r#"{"title":"x"}"#).is_ok(), "{value}");
        }
        for value in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/+json")] {
            let problem = read(value, r#"{"title":"x"}"#).unwrap_err();
            assert_eq!(problem.kind(), ProblemType::UnsupportedMediaType, "{value:?}");
        }
    }

    #[test]
    fn malformed_and_wrong_differ() {
        for body in ["", "{", r#"{"title":"x"} x"#, "\u{7}", r#"{"title":"x",}"#, "{\"title\":\"\\ud800\"}"] {
            assert_eq!(read(Some("application/json"), body).unwrap_err().kind(), ProblemType::InvalidJson, "{body}");
        }
        assert_eq!(read(Some("application/json"), vec![b'"', 0xff]).unwrap_err().kind(), ProblemType::InvalidJson);
        for body in ["{} {}", r#"{"title":1"#, r#"{"title":1,}"#] {
            assert_eq!(read(Some("application/json"), body).unwrap_err().kind(), ProblemType::InvalidJson, "{body}");
        }
        let list = r#" ["x",["a"]]"#;
        for body in ["{}", "[]", "null", list, "7", r#"{"title":1}"#, r#"{"title":"x","title":"y"}"#] {
            assert_eq!(read(Some("application/json"), body).unwrap_err().kind(), ProblemType::Validation, "{body}");
        }
    }

    #[test]
    fn the_pointer_says_where() {
        let problem = read(Some("application/json"), r#"{"title":"x","tags":["a",7]}"#).unwrap_err();
        let text = format!("{problem:?}");
        assert!(text.contains(r#"pointer: "/tags/1""#), "{text}");
        assert!(!text.contains("at line"), "{text}");
    }

    #[test]
    fn large_bodies_are_refused() {
        let body = format!("{{\"title\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
        assert_eq!(read(Some("application/json"), body).unwrap_err().kind(), ProblemType::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = parse::<Todo>(&bytes);
        }
    }
}
