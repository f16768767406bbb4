//! The head of a request: what is refused, what is taken away, what is added.

use std::net::SocketAddr;

use chassis_config::name::ComponentName;
use chassis_config::plan::GatewayPolicy;
use chassis_config::route::Match;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Uri};

use crate::path::{Verdict, judge};
use crate::problem::{
    BAD_PATH, BAD_REQUEST, HEADERS_TOO_LARGE, METHOD_NOT_IMPLEMENTED, NOT_FOUND, Problem, URI_TOO_LONG,
};

/// Bytes of a request's head beside its fields and its target: method, version, separators.
const REQUEST_LINE_BYTES: usize = 16;

/// Fields that mean something between two neighbours only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authorization"),
];

/// Fields by which proxies say who the client is. No proxy is trusted, so they are only the client's word.
const FORWARDED: [&str; 3] = ["forwarded", "x-real-ip", "true-client-ip"];
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Fields that only the host sets.
const HOST_PREFIXES: [&str; 2] = ["chassis", "spin"];

/// Check a head and bring it into the form in which it is served: an absolute target with the scheme and authority that
/// the request is for, one `Host` that says the same, and no field that a client may not set.
pub(crate) fn admit(parts: &mut Parts, policy: &GatewayPolicy) -> Result<(), Problem> {
    check_size(parts, policy)?;
    check_method(&parts.method)?;
    let authority = authority(parts)?;
    check_path(&parts.uri)?;
    let host = HeaderValue::from_str(authority.as_str())
        .map_err(|_invalid| Problem::because(&BAD_REQUEST, "the host is malformed"))?;
    parts.uri = absolute(&parts.uri, authority)?;
    strip_hop_by_hop(&mut parts.headers);
    strip_client_claims(&mut parts.headers);
    parts.headers.insert(HOST, host);
    Ok(())
}

fn check_size(parts: &Parts, policy: &GatewayPolicy) -> Result<(), Problem> {
    let bytes_max = usize::try_from(policy.header_bytes).unwrap_or(usize::MAX);
    let fields_max = usize::try_from(policy.header_fields).unwrap_or(usize::MAX);
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let target = authority + parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > bytes_max {
        return Err(Problem::because(
            &URI_TOO_LONG,
            format!("The target has {target} bytes; {bytes_max} are accepted."),
        ));
    }
    let fields = parts.headers.len();
    // Each field has a colon, a space and a line end.
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let bytes = REQUEST_LINE_BYTES + target + parts.headers.iter().map(size).sum::<usize>();
    if fields > fields_max || bytes > bytes_max {
        let detail = format!(
            "The head has {fields} fields and about {bytes} bytes; {fields_max} fields and {bytes_max} bytes are accepted."
        );
        return Err(Problem::because(&HEADERS_TOO_LARGE, detail));
    }
    Ok(())
}

fn check_method(method: &Method) -> Result<(), Problem> {
    match *method {
        Method::CONNECT | Method::TRACE => Err(Problem::new(&METHOD_NOT_IMPLEMENTED)),
        _ => Ok(()),
    }
}

/// The authority that the request is for: that of an absolute target (RFC 9112, section 3.2.2), else `Host`, of which
/// there is exactly one in either case.
fn authority(parts: &Parts) -> Result<Authority, Problem> {
    let refuse = |detail: &str| Problem::because(&BAD_REQUEST, detail);
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) => return Err(refuse("The request has no Host.")),
        (Some(_), Some(_)) => return Err(refuse("The request has more than one Host.")),
    };
    let named = Authority::try_from(host.as_bytes()).map_err(|_invalid| refuse("Host is no host and port."))?;
    let authority = parts.uri.authority().cloned().unwrap_or(named);
    let port = authority.as_str().strip_prefix(authority.host());
    let plain_port = port.is_some_and(|port| port.is_empty() || authority.port_u16().is_some());
    // A user before the host makes the prefix something else.
    if authority.host().is_empty() || !plain_port {
        return Err(refuse("The host is no host and port."));
    }
    Ok(authority)
}

fn check_path(uri: &Uri) -> Result<(), Problem> {
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Problem::because(&BAD_REQUEST, "The target is no HTTP URL."));
    }
    match judge(uri.path()) {
        Verdict::Serve(_) => Ok(()),
        Verdict::Private => Err(Problem::new(&NOT_FOUND)),
        Verdict::Refuse(spelling) => Err(Problem::because(&BAD_PATH, format!("Refused: {spelling}."))),
    }
}

fn absolute(uri: &Uri, authority: Authority) -> Result<Uri, Problem> {
    let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(target)
        .build()
        .map_err(|_invalid| Problem::because(&BAD_REQUEST, "The target is no HTTP URL."))
}

/// Take away the fields that are for the neighbour, those named by `Connection` among them.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn strip_client_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

fn is_claim(name: &str) -> bool {
    FORWARDED.contains(&name) || name.starts_with(FORWARDED_PREFIX) || is_host_field(name)
}

/// Whether a field is the host's: `chassis-…` or `spin-…`, also with the underscore that some readers take for a dash.
pub(crate) fn is_host_field(name: &str) -> bool {
    HOST_PREFIXES.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['-', '_'])))
}

/// Set the fields by which Spin tells a component how it was reached.
pub(crate) fn set_spin_headers(parts: &mut Parts, found: &Match<'_, '_, ComponentName>, client: SocketAddr) {
    let path = parts.uri.path().to_owned();
    let prefix = found.pattern.prefix();
    let mut set = |name: HeaderName, text: &str| {
        // All texts come from a URI or a route, neither of which has control characters.
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            parts.headers.insert(name, value);
        }
    };
    set(HeaderName::from_static("spin-full-url"), &parts.uri.to_string());
    set(HeaderName::from_static("spin-path-info"), if found.pattern.is_wildcard() { tail(&path, prefix) } else { "" });
    set(HeaderName::from_static("spin-matched-route"), found.pattern.as_str());
    set(HeaderName::from_static("spin-raw-component-route"), found.pattern.as_str());
    set(
        HeaderName::from_static("spin-component-route"),
        if found.pattern.is_wildcard() && prefix == "/" { "" } else { prefix },
    );
    set(HeaderName::from_static("spin-base-path"), "/");
    set(HeaderName::from_static("spin-client-addr"), &client.to_string());
    for (segment, text) in prefix.split('/').zip(path.split('/')) {
        let name = segment.strip_prefix(':').map(|name| name.to_ascii_lowercase().replace('_', "-"));
        if let Some(name) = name.and_then(|name| HeaderName::try_from(format!("spin-path-match-{name}")).ok()) {
            set(name, text);
        }
    }
}

/// What follows a route's prefix in a path, as it was written. An encoded slash is never served, so the segments of the
/// path as written are those of the decoded one, which was matched.
fn tail<'path>(path: &'path str, prefix: &str) -> &'path str {
    if prefix == "/" {
        return path;
    }
    let start = path.match_indices('/').nth(prefix.matches('/').count());
    start.and_then(|(start, _)| path.get(start..)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
