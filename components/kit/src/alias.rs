//! Older spellings of paths. They work as the canonical ones do, and say so: `Deprecation` (RFC 9745) and `Link` with
//! `rel="successor-version"`.

use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

/// One row of a table of aliases. Both sides are exact paths, or both end in `/...` for everything below.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// The older spelling.
    pub from: &'static str,
    /// The canonical one.
    pub to: &'static str,
}

/// A table of aliases; the first row that fits counts.
#[derive(Debug, Clone, Copy)]
pub struct Aliases {
    /// Since when they are deprecated, in seconds since 1970 (UTC).
    pub since: i64,
    /// The rows.
    pub table: &'static [Alias],
}

/// No aliases.
pub const NONE: Aliases = Aliases { since: 0, table: &[] };

impl Aliases {
    /// The canonical path, if this one is an alias.
    pub fn resolve(&self, path: &str) -> Option<String> {
        self.table.iter().find_map(|alias| alias.resolve(path))
    }

    /// Rewrite a URI that is an alias; answers with the canonical path.
    pub(crate) fn rewrite(&self, uri: &mut Uri) -> Option<String> {
        let canonical = self.resolve(uri.path())?;
        set_path(uri, &canonical);
        Some(canonical)
    }

    /// Say in a response that the request came by an alias.
    pub(crate) fn announce(&self, canonical: &str, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&format!("@{}", self.since)) {
            headers.insert(HeaderName::from_static("deprecation"), value);
        }
        if let Ok(value) = HeaderValue::from_str(&format!("<{canonical}>; rel=\"successor-version\"")) {
            headers.append(header::LINK, value);
        }
    }
}

/// A path with a slash behind it means the same as without: hosts route both to the same component.
pub(crate) fn strip_trailing_slash(uri: &mut Uri) {
    if let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()).map(str::to_owned) {
        set_path(uri, &path);
    }
}

/// Another path, with the query as it was. A path that cannot be one leaves the URI as it was.
fn set_path(uri: &mut Uri, path: &str) {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    if let Ok(path_and_query) = PathAndQuery::try_from(text) {
        parts.path_and_query = Some(path_and_query);
    }
    if let Ok(changed) = Uri::from_parts(parts) {
        *uri = changed;
    }
}

impl Alias {
    fn resolve(&self, path: &str) -> Option<String> {
        match (self.from.strip_suffix("/..."), self.to.strip_suffix("/...")) {
            (Some(from), Some(to)) => {
                let rest = path.strip_prefix(from)?;
                rest.starts_with('/').then(|| format!("{to}{rest}"))
            }
            (Some(_), None) | (None, Some(_)) => None,
            (None, None) => (path == self.from).then(|| self.to.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Aliases = Aliases {
        since: 1_700_000_000,
        table: &[Alias { from: "/old/me", to: "/api/v1/me" }, Alias { from: "/old/...", to: "/api/v1/new/..." }],
    };

    #[test]
    fn the_first_row_that_fits_counts() {
        assert_eq!(TABLE.resolve("/old/me").as_deref(), Some("/api/v1/me"));
        assert_eq!(TABLE.resolve("/old/x/y").as_deref(), Some("/api/v1/new/x/y"));
        for path in ["/old", "/older/x", "/api/v1/me", "/", ""] {
            assert_eq!(TABLE.resolve(path), None, "{path}");
        }
    }

    #[test]
    fn a_uri_keeps_its_query() {
        let mut uri: Uri = "http://host/old/x?a=1".parse().unwrap();
        assert_eq!(TABLE.rewrite(&mut uri).as_deref(), Some("/api/v1/new/x"));
        assert_eq!(uri, "http://host/api/v1/new/x?a=1");
    }

    #[test]
    fn a_slash_at_the_end_does_not_matter() {
        for (from, to) in [("/a/?b=/", "/a?b=/"), ("/a", "/a"), ("/", "/"), ("http://host/a/", "http://host/a")] {
            let mut uri: Uri = from.parse().unwrap();
            strip_trailing_slash(&mut uri);
            assert_eq!(uri, to);
        }
    }

    #[test]
    fn a_response_says_so() {
        let mut headers = HeaderMap::new();
        TABLE.announce("/api/v1/me", &mut headers);
        assert_eq!(headers["deprecation"], "@1700000000");
        assert_eq!(headers["link"], "</api/v1/me>; rel=\"successor-version\"");
    }
}
