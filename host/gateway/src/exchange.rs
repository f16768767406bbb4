//! One request and its response, from the first byte to the last: its names, its log line, its metrics.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis_config::name::ComponentName;
use http::{HeaderMap, Method, Request, StatusCode};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use crate::connection::Link;
use crate::problem::Occurrence;
use crate::trace::Trace;

/// Bytes of a path in the access log; the rest is cut off.
const LOGGED_PATH_BYTES_MAX: usize = 1024;

/// Bytes of a client's own request id; a longer one is not logged.
const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;

pub(crate) const REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// What is known of a request from its first byte on.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// Ours: a UUIDv7.
    pub(crate) request_id: String,
    /// The client's own, where it is short and plain. For the log only.
    pub(crate) client_request_id: Option<String>,
    pub(crate) trace: Trace,
    pub(crate) client: SocketAddr,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) started: Instant,
    /// The response is complete by then, or cut off.
    pub(crate) deadline: Instant,
}

impl RequestContext {
    pub(crate) fn new<B>(request: &Request<B>, client: SocketAddr, time: Duration) -> Self {
        let started = Instant::now();
        Self {
            request_id: Uuid::now_v7().to_string(),
            client_request_id: client_request_id(request.headers()),
            trace: Trace::of(request.headers()),
            client,
            method: request.method().clone(),
            path: cut(request.uri().path(), LOGGED_PATH_BYTES_MAX).to_owned(),
            started,
            deadline: started + time,
        }
    }

    pub(crate) fn occurrence(&self) -> Occurrence<'_> {
        Occurrence { request_id: &self.request_id, trace_id: self.trace.trace_id() }
    }
}

fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (!id.is_empty() && id.len() <= CLIENT_REQUEST_ID_BYTES_MAX && id.bytes().all(plain)).then(|| id.to_owned())
}

/// At most so many bytes of a text, cut between two characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has not: the client went away, or the host ended.
    Abandoned,
    /// The whole response was handed to the connection.
    Complete,
    /// The response broke off.
    Broken,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Complete => "complete",
            Self::Broken => "broken",
        }
    }
}

/// A request that is being answered. It is logged and counted when it is dropped, however it ends.
#[derive(Debug)]
pub(crate) struct Exchange {
    context: Arc<RequestContext>,
    link: Arc<Link>,
    time: Duration,
    served: Option<Served>,
    status: Option<StatusCode>,
    bytes: u64,
    end: End,
}

/// Who answered a request. Travels with the response to the exchange.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) component: ComponentName,
    /// The request's place among those that run at a time, held until its response is sent.
    pub(crate) _place: Arc<OwnedSemaphorePermit>,
}

impl Exchange {
    /// Begin one, which may take `time`.
    pub(crate) fn begin(context: Arc<RequestContext>, link: Arc<Link>, time: Duration) -> Self {
        gauge!("http_requests_in_flight").increment(1.0);
        Self { context, link, time, served: None, status: None, bytes: 0, end: End::Abandoned }
    }

    /// The head of the response is known.
    pub(crate) fn answered(&mut self, status: StatusCode, served: Option<Served>) {
        self.status = Some(status);
        self.served = served;
        let bodiless =
            self.context.method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless {
            // hyper never asks for such a body.
            self.end = End::Complete;
        }
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn complete(&mut self) {
        self.end = End::Complete;
    }

    pub(crate) fn broken(&mut self, error: &dyn Display) {
        self.end = End::Broken;
        let RequestContext { request_id, trace, .. } = &*self.context;
        tracing::warn!(parent: None, %error, request_id, trace_id = trace.trace_id(), "a response broke off");
    }

    fn component(&self) -> Option<&str> {
        self.served.as_ref().map(|served| served.component.as_str())
    }

    fn log(&self, duration: Duration) {
        let context = &*self.context;
        tracing::info!(
            target: "chassis::access",
            parent: None,
            method = %context.method,
            path = context.path,
            status = self.status.map(|status| status.as_u16()),
            bytes = self.bytes,
            duration_ms = milliseconds(duration),
            end = self.end.as_str(),
            component = self.component(),
            request_id = context.request_id,
            client_request_id = context.client_request_id,
            trace_id = context.trace.trace_id(),
            client = %context.client,
            "{} {}", context.method, context.path,
        );
    }

    fn count(&self, duration: Duration) {
        let component = self.component().unwrap_or("none").to_owned();
        let method = known_method(&self.context.method);
        // 499 is what logs of other gateways call a client that went away before its response began.
        let status = self.status.map_or_else(|| "499".to_owned(), |status| status.as_u16().to_string());
        counter!("http_requests_total", "component" => component.clone(), "method" => method, "status" => status)
            .increment(1);
        histogram!("http_request_duration_seconds", "component" => component, "method" => method)
            .record(duration.as_secs_f64());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Instant::now();
        // What hyper and the kernel still hold of the response may take as long again to be read.
        self.link.end(now + self.time);
        let duration = now - self.context.started;
        self.log(duration);
        self.count(duration);
        gauge!("http_requests_in_flight").decrement(1.0);
    }
}

/// Milliseconds with three digits behind the point.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Clients can send any method; a metric has a label for those that have a name.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Tell the recorder what the gateway's metrics mean.
pub(crate) fn describe_metrics() {
    describe_counter!(
        "http_requests_total",
        "Requests by component, method and status. `none`: no component was asked; 499: the client went away first."
    );
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "Time from the head of a request to the end of its response."
    );
    describe_gauge!("http_requests_in_flight", "Requests that are being answered.");
    describe_gauge!("http_connections", "Open connections.");
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{REQUEST_ID, client_request_id, cut};

    #[test]
    fn only_short_and_plain_request_ids_are_logged() {
        let logged = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
            client_request_id(&headers)
        };
        assert_eq!(logged("req_01-A.b:c"), Some("req_01-A.b:c".to_owned()));
        assert_eq!(logged(""), None);
        assert_eq!(logged("a b"), None);
        assert_eq!(logged("a\"b"), None);
        assert_eq!(logged("é"), None);
        assert_eq!(logged(&"x".repeat(129)), None);
    }

    #[test]
    fn paths_are_cut_between_characters() {
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("a", 2), "a");
    }
}
