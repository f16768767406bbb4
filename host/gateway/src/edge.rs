//! What every response gets at the edge: cross-origin permissions, compression, security headers.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, LINK, LOCATION, ORIGIN, REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Version};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::exchange::REQUEST_ID;

/// How long browsers remember what is allowed to an origin.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// Bytes of a body below which compression gains nothing. A body of unknown length is compressed.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// The policy for responses of components that set none: they are data, not pages.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// An origin that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "«{0}» is no origin: write a scheme, a host and, if it is not the usual one, a port, such as https://app.example.org"
)]
pub struct OriginError(String);

/// What browsers are told of other origins; none where no origin may call.
///
/// Listed origins may send credentials. `*` lets every origin call, without credentials.
pub(crate) fn cors(origins: &[String]) -> Result<Option<CorsLayer>, OriginError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        // An origin that may call may send any field: the host's own are dropped, whoever sends them.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed())
        .max_age(PREFLIGHT_MAX_AGE)
        .vary([ORIGIN]);
    if origins.iter().any(|origin| origin == "*") {
        return Ok(Some(layer.allow_origin(AllowOrigin::any())));
    }
    let origins = origins.iter().map(|origin| check_origin(origin)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(layer.allow_origin(AllowOrigin::list(origins)).allow_credentials(true)))
}

fn check_origin(origin: &str) -> Result<HeaderValue, OriginError> {
    let refuse = || OriginError(origin.to_owned());
    let (scheme, host) = origin.split_once("://").ok_or_else(refuse)?;
    let plain = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*']) && !scheme.is_empty();
    let lower = origin.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
    if plain && lower { HeaderValue::from_str(origin).map_err(|_invalid| refuse()) } else { Err(refuse()) }
}

/// The fields that a script may read, beyond those that it always may.
fn exposed() -> [HeaderName; 9] {
    [
        CONTENT_LENGTH,
        ETAG,
        LINK,
        LOCATION,
        RETRY_AFTER,
        WWW_AUTHENTICATE,
        HeaderName::from_static("deprecation"),
        HeaderName::from_static("idempotency-replayed"),
        REQUEST_ID,
    ]
}

/// Whether a request comes from another origin's page, or asks whether it may. `OPTIONS` requests that do not ask that are
/// the component's: tower-http would answer each of them itself.
pub(crate) fn is_cross_origin<B>(request: &Request<B>) -> bool {
    let has = |name: HeaderName| request.headers().contains_key(name);
    has(ORIGIN) && (request.method() != Method::OPTIONS || has(ACCESS_CONTROL_REQUEST_METHOD))
}

/// Tell caches that the same request from another origin gets other fields.
pub(crate) fn vary_by_origin<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    response
}

/// Compression of what gains by it and gives nothing away.
pub(crate) fn compression() -> CompressionLayer<impl Predicate + Send + Sync + 'static> {
    // The fastest level: the work is done on the threads that serve everybody.
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_BYTES_MIN).and(is_worth_compressing))
}

fn is_worth_compressing(_status: StatusCode, _version: Version, headers: &HeaderMap, _extensions: &Extensions) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    is_compressible(content_type) && !headers.get_all(CACHE_CONTROL).iter().any(forbids_compression)
}

/// `no-transform` says so. `no-store` marks answers with secrets: compressed beside text that an attacker chose, their
/// length would tell the secret, letter by letter (BREACH).
fn forbids_compression(value: &HeaderValue) -> bool {
    let directives = value.to_str().unwrap_or("no-store").split(',');
    directives
        .map(str::trim)
        .any(|name| name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-transform"))
}

/// Text, by type. Events are left alone, so that each is sent at once; most other formats are compressed already.
fn is_compressible(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = essence.starts_with("text/") && essence != "text/event-stream";
    let structured = essence.ends_with("+json") || essence.ends_with("+xml") || essence.ends_with("+yaml");
    let named = matches!(
        essence.as_str(),
        "application/json" | "application/javascript" | "application/xml" | "application/x-ndjson" | "application/wasm"
    );
    text || structured || named
}

/// Set the security headers that a component left open. HSTS is not among them: it is only heeded over TLS, which this
/// listener does not speak.
pub(crate) fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(CONTENT_POLICY);
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{cors, forbids_compression, is_compressible};

    #[test]
    fn origins_are_checked_before_anything_listens() {
        let check = |origin: &str| cors(&[origin.to_owned()]).is_ok();
        for origin in ["https://app.example.org", "http://localhost:3000", "http://[::1]:3000", "*"] {
            assert!(check(origin), "{origin}");
        }
        for origin in [
            "",
            "app.example.org",
            "https://",
            "https://a/",
            "https://*.example.org",
            "https://u@a",
            "https://A.org",
            "https://a b",
        ] {
            assert!(!check(origin), "{origin}");
        }
        assert!(cors(&[]).unwrap().is_none());
    }

    #[test]
    fn text_is_compressible() {
        for yes in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/html",
            "application/problem+json",
            "image/svg+xml",
        ] {
            assert!(is_compressible(yes), "{yes}");
        }
        for no in [
            "",
            "text/event-stream",
            "text/event-stream; charset=utf-8",
            "image/png",
            "application/zip",
            "application/octet-stream",
            "video/mp4",
        ] {
            assert!(!is_compressible(no), "{no}");
        }
    }

    #[test]
    fn secrets_are_not_compressed() {
        let forbids = |value: &'static str| forbids_compression(&HeaderValue::from_static(value));
        assert!(forbids("no-store") && forbids("private, No-Store") && forbids("max-age=0,no-transform"));
        assert!(!forbids("max-age=60") && !forbids("no-cache") && !forbids(""));
    }
}
