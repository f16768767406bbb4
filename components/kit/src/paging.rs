//! Pages of a listing: the extractor that reads which page is asked for, and the answer with `nextCursor` and `Link`.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::json::Json;
use crate::problem::{Problem, ProblemType};
use crate::values::cursor::InvalidCursor;
use crate::values::page::{PageQuery, PageRequest};

/// Which page is asked for, by `limit`, `cursor` and `skip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging(pub PageRequest);

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<PageQuery>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::new(ProblemType::InvalidRequest).detail(error.body_text()))?;
        query.check().map(Self).map_err(|violations| Problem::invalid_query(&violations))
    }
}

impl From<InvalidCursor> for Problem {
    fn from(error: InvalidCursor) -> Self {
        Self::new(ProblemType::InvalidCursor).detail(error.to_string())
    }
}

/// One page of a listing.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `null` at the end.
    pub next_cursor: Option<String>,
}

impl<T: Serialize> Page<T> {
    /// The answer to a request with this URI. `Link` names the next page with all the filters of this one.
    pub fn respond(self, uri: &Uri) -> Response {
        let next = self.next_cursor.as_deref().map(|cursor| next_link(uri, cursor));
        let mut response = Json(self).into_response();
        if let Some(Ok(link)) = next.map(|link| HeaderValue::from_str(&link)) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

fn next_link(uri: &Uri, cursor: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let pairs = serde_urlencoded::from_str::<Vec<(String, String)>>(query).unwrap_or_default();
    let mut kept: Vec<_> = pairs.into_iter().filter(|(name, _)| name != "cursor" && name != "skip").collect();
    kept.push(("cursor".to_owned(), cursor.to_owned()));
    let query = serde_urlencoded::to_string(kept).unwrap_or_default();
    format!("<{}?{query}>; rel=\"next\"", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_filters() {
        let uri: Uri = "/todos?status=open&cursor=old&skip=3&tag=a%20b".parse().unwrap();
        let page = Page { items: vec![1, 2], next_cursor: Some("new_-".into()) };
        let response = page.respond(&uri);
        assert_eq!(response.headers()["link"], "</todos?status=open&tag=a+b&cursor=new_->; rel=\"next\"");
    }

    #[test]
    fn the_last_page_has_no_link() {
        let page = Page::<i32> { items: vec![], next_cursor: None };
        assert_eq!(serde_json::to_value(&page).unwrap(), serde_json::json!({ "items": [], "nextCursor": null }));
        assert!(!page.respond(&Uri::from_static("/todos")).headers().contains_key("link"));
    }
}
