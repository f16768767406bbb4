//! The only way out for a guest's HTTP: to the hosts that its manifest lists, within bounds of number and time.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use chassis_capabilities::lent::{Lent, LentView};
use chassis_config::plan::{ComponentPlan, EngineLimits, OutboundHost};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::guest_log::GuestLog;

/// The pooled client that all components share; it never follows redirects.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, UnsyncBoxBody<Bytes, Error>>;

/// The shared way out: the client and its times.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    client: HttpClient,
    times: Times,
}

impl Exit {
    /// Make the shared client.
    pub(crate) fn new(limits: &EngineLimits) -> Self {
        let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.outbound_idle_timeout)
            .pool_max_idle_per_host(limits.outbound_idle_connections as usize)
            .build(connector);
        let times = Times {
            connect: limits.outbound_connect_timeout,
            first_byte: limits.outbound_first_byte_timeout,
            between_bytes: limits.outbound_between_bytes_timeout,
        };
        Self { client, times }
    }
}

/// How long a server may keep a guest waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// For a connection, TLS included.
    connect: Duration,
    /// From there to the head of the response.
    first_byte: Duration,
    /// Between two pieces of its body.
    between_bytes: Duration,
}

impl Times {
    /// With what a guest asks for, where that is less.
    fn with(self, options: Option<&RequestOptions>) -> Self {
        let shorter = |own: Duration, asked: Option<Duration>| asked.map_or(own, |asked| asked.min(own));
        let Some(options) = options else { return self };
        Self {
            connect: shorter(self.connect, options.connect_timeout),
            first_byte: shorter(self.first_byte, options.first_byte_timeout),
            between_bytes: shorter(self.between_bytes, options.between_bytes_timeout),
        }
    }
}

/// What one component may call.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    allowed: Arc<[OutboundHost]>,
    exit: Exit,
    /// A permit for each request that may be on its way.
    room: Arc<Semaphore>,
}

impl Reach {
    pub(crate) fn new(plan: &ComponentPlan, exit: Exit) -> Self {
        let room = Arc::new(Semaphore::new(plan.limits.outbound as usize));
        Self { allowed: plan.grants.outbound.clone().into(), exit, room }
    }
}

/// The way out of one instance.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) reach: Reach,
    pub(crate) lent: Arc<Lent>,
    /// Knows whose code runs.
    pub(crate) log: Arc<GuestLog>,
}

type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Sending), Error>> + Send>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        done: Sending,
    ) -> Answer {
        // Tells of errors while the guest reads the response; hyper reports those through the body itself.
        drop(done);
        if !self.reach.permits(request.uri()) {
            self.refuse(request.uri());
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        // Whoever waits here would keep an instance busy; the guest knows better what to do.
        let Ok(permit) = Arc::clone(&self.reach.room).try_acquire_owned() else {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let (client, times) = (self.reach.exit.client.clone(), self.reach.exit.times.with(options.as_ref()));
        Box::new(async move {
            let response = exchange(&client, request, times).await?;
            let finished: Sending = Box::new(async { Ok(()) });
            let limited =
                |body: hyper::body::Incoming| Limited { body, limit: times.between_bytes, late: None, _permit: permit };
            Ok((response.map(|body| limited(body).boxed_unsync()), finished))
        })
    }
}

/// Send a request and wait for the head of its response.
async fn exchange(
    client: &HttpClient,
    mut request: http::Request<WasiBody>,
    times: Times,
) -> Result<http::Response<hyper::body::Incoming>, Error> {
    let mut connection = capture_connection(&mut request);
    let mut sending = client.request(request);
    let connected = timeout(times.connect, async {
        tokio::select! {
            // Where it ends before there is a connection, it has failed.
            biased;
            response = &mut sending => Some(response),
            _connected = connection.wait_for_connection_metadata() => None,
        }
    });
    let response = match connected.await {
        Err(_elapsed) => return Err(Error::ConnectionTimeout),
        Ok(Some(response)) => response,
        Ok(None) => timeout(times.first_byte, sending).await.map_err(|_elapsed| Error::HttpResponseTimeout)?,
    };
    response.map_err(|error| if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError })
}

/// The body of a response: ends in an error where the server lets the guest wait too long for a piece, and gives the room
/// for another request back when it is read or dropped.
struct Limited {
    body: hyper::body::Incoming,
    limit: Duration,
    /// Runs while the guest waits for a piece; what it does with one takes as long as it takes.
    late: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Body for Limited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let limit = self.limit;
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.late = None;
                Poll::Ready(frame.map(|frame| frame.map_err(Error::Hyper)))
            }
            Poll::Pending => {
                let late = self.late.get_or_insert_with(|| Box::pin(sleep(limit)));
                ready!(late.as_mut().poll(context));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Outbound {
    /// Without path and query, which may hold what is nobody's business.
    fn refuse(&self, uri: &http::Uri) {
        let view = LentView { lent: Arc::clone(&self.lent), caller: self.log.caller() };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let target = format!("{}://{authority}", uri.scheme_str().unwrap_or_default());
        view.refuse("refused an outgoing request to a host that the component was not granted", &target, "");
    }
}

impl Reach {
    fn permits(&self, uri: &http::Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        // An IPv6 address stands in brackets there, and without them in the plan.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        self.allowed.iter().any(|entry| permits(entry, scheme, host, port))
    }
}

fn permits(entry: &OutboundHost, scheme: &str, host: &str, port: u16) -> bool {
    let scheme_fits = entry.scheme == "*" || entry.scheme == scheme;
    let host_fits = match entry.host.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            host.len() > suffix.len()
                && host.get(host.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        }
        None => entry.host.eq_ignore_ascii_case(host) || is_same_address(&entry.host, host),
    };
    scheme_fits && host_fits && entry.port.is_none_or(|granted| granted == port)
}

/// Addresses have many spellings.
fn is_same_address(one: &str, other: &str) -> bool {
    matches!((one.parse::<IpAddr>(), other.parse::<IpAddr>()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(scheme: &str, host: &str, port: Option<u16>) -> OutboundHost {
        OutboundHost { scheme: scheme.to_owned(), host: host.to_owned(), port }
    }

    #[test]
    fn only_what_is_listed_is_permitted() {
        let exact = entry("https", "api.example.com", Some(443));
        assert!(permits(&exact, "https", "API.example.com", 443));
        assert!(!permits(&exact, "http", "api.example.com", 443));
        assert!(!permits(&exact, "https", "api.example.com", 8443));
        assert!(!permits(&exact, "https", "api.example.com.evil.test", 443));
        let below = entry("*", "*.example.com", None);
        assert!(permits(&below, "http", "a.b.example.com", 81));
        assert!(!permits(&below, "http", "example.com", 80));
        assert!(!permits(&below, "http", "evilexample.com", 80));
        let address = entry("http", "fd00::1", Some(80));
        assert!(permits(&address, "http", "fd00:0:0:0:0:0:0:1", 80));
        assert!(!permits(&address, "http", "fd00::2", 80));
    }

    #[test]
    fn a_guest_may_ask_for_less_time_and_not_for_more() {
        let (short, own, long) = (Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(9));
        let times = Times { connect: own, first_byte: own, between_bytes: own };
        let asked = RequestOptions {
            connect_timeout: Some(short),
            first_byte_timeout: Some(long),
            between_bytes_timeout: None,
        };
        assert_eq!(times.with(Some(&asked)), Times { connect: short, ..times });
        assert_eq!(times.with(None), times);
    }
}
