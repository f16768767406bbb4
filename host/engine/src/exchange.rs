//! One request and its response, between the host's HTTP and an instance.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chassis_capabilities::lent::{Caller, DELIVERY_TOKEN};
use futures::channel::oneshot as reply_channel;
use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi_http::handler::{self, ExpirationError};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::api::{Body, DispatchError, Door, RequestMeta};
use crate::pool::{HttpJob, Job, Work};
use crate::state::{DeadlineTrap, Fate};

/// Names the request to the guest.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const DELIVERY_TOKEN_HEADER: HeaderName = HeaderName::from_static(DELIVERY_TOKEN);
/// The authority of requests that came without one.
const NO_AUTHORITY: &str = "chassis.internal";

/// Make a request what the guest sees: an absolute URI, the host's own headers, the body's errors in wasi:http's words.
pub(crate) fn prepare(request: http::Request<Body>, meta: &RequestMeta, delivery_token: &str) -> handler::Request {
    let (mut parts, body) = request.into_parts();
    parts.uri = absolute(&parts.uri, parts.headers.get(HOST));
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            parts.headers.insert(name, value);
        }
    };
    set(REQUEST_ID, &meta.request_id);
    set(TRACEPARENT, &meta.traceparent);
    if meta.door == Door::Host {
        set(DELIVERY_TOKEN_HEADER, delivery_token);
    }
    let body = body.map_err(|error| Error::InternalError(Some(error.to_string())));
    http::Request::from_parts(parts, body.boxed_unsync())
}

fn absolute(uri: &Uri, host: Option<&HeaderValue>) -> Uri {
    let named = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = uri.clone().into_parts();
    parts.scheme.get_or_insert(Scheme::HTTP);
    parts.authority = parts.authority.or(named).or_else(|| Some(Authority::from_static(NO_AUTHORITY)));
    parts.path_and_query.get_or_insert_with(|| http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// A copy of a request without a body.
pub(crate) fn head_of(request: &handler::Request) -> handler::Request {
    let mut head = http::Request::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    head
}

/// The host's end of a request in an instance.
pub(crate) struct Exchange {
    reply: reply_channel::Receiver<Result<handler::Response, wasmtime::Error>>,
    fate: oneshot::Receiver<Fate>,
    deadline: Instant,
    place: Arc<OwnedSemaphorePermit>,
    begun: Arc<AtomicBool>,
    ended: oneshot::Sender<Infallible>,
}

/// The head of a response, with a body that is still to come.
pub(crate) struct Answer {
    response: http::Response<WasiBody>,
    /// Both are dropped when the body has ended.
    until_end: (Arc<OwnedSemaphorePermit>, oneshot::Sender<Infallible>),
}

/// What a client is told to wait where a component has no room.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long beyond a request's deadline the host waits to be told of it.
const PATIENCE: Duration = Duration::from_secs(1);

impl Exchange {
    pub(crate) fn new(
        request: handler::Request,
        caller: Caller,
        deadline: Instant,
        place: Arc<OwnedSemaphorePermit>,
    ) -> (Job, Self) {
        let (reply_sender, reply) = reply_channel::channel();
        let (fate_sender, fate) = oneshot::channel();
        let (ended, ended_receiver) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let job = Job {
            payload: Work::Http(HttpJob { request, reply: reply_sender }),
            caller,
            deadline,
            depth: 0,
            fate: fate_sender,
            place: Arc::clone(&place),
            begun: Arc::clone(&begun),
            ended: Some(ended_receiver),
        };
        (job, Self { reply, fate, deadline, place, begun, ended })
    }

    /// Wait for the head of the response. A request that is `safe` is given up with `InstanceLost` as soon as its instance is
    /// busy with another, so that it can be run elsewhere.
    pub(crate) async fn answer(mut self, limit: Duration, safe: Safe) -> Result<Answer, DispatchError> {
        let late = DispatchError::DeadlineExceeded(limit);
        let overloaded = DispatchError::Overloaded { retry_after: RETRY_AFTER };
        let patience = self.deadline + PATIENCE;
        let mut fate = None;
        loop {
            tokio::select! {
                biased;
                reply = &mut self.reply => match reply {
                    Ok(Ok(response)) => return Ok(Answer { response, until_end: (self.place, self.ended) }),
                    Ok(Err(error)) => return Err(explain(&error, late)),
                    // The instance was lost; its worker says why as soon as it knows.
                    Err(_dropped) => break,
                },
                told = &mut self.fate, if fate.is_none() => match told {
                    Ok(Fate::Crowded) if safe == Safe::Yes => return Err(DispatchError::InstanceLost),
                    told => fate = Some(told.ok()),
                },
                () = sleep_until(patience) => {
                    return Err(if self.begun.load(Ordering::Relaxed) { late } else { overloaded });
                }
            }
        }
        let fate = match fate {
            Some(fate) => fate,
            None => self.fate.await.ok(),
        };
        Err(match fate {
            Some(Fate::Trapped(text)) => DispatchError::Trapped(text),
            Some(Fate::Deadline) => late,
            Some(Fate::Overloaded) => overloaded,
            Some(Fate::Lost | Fate::Crowded) | None => DispatchError::InstanceLost,
        })
    }
}

/// Whether a request may be run twice: its method is safe (RFC 9110 section 9.2.1) and it has no body that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safe {
    Yes,
    No,
}

fn explain(error: &wasmtime::Error, late: DispatchError) -> DispatchError {
    if error.is::<ExpirationError>() || error.is::<DeadlineTrap>() {
        late
    } else if let Some(code) = error.downcast_ref::<ErrorCode>() {
        DispatchError::BadResponse(format!("{code:?}"))
    } else {
        DispatchError::Trapped(error.root_cause().to_string())
    }
}

impl Answer {
    /// The response; its place at its component is kept until its body has ended.
    pub(crate) fn into_response(self) -> http::Response<Body> {
        let Self { response, until_end } = self;
        response.map(|body| Held { body, _until_end: until_end }.map_err(Into::into).boxed_unsync())
    }
}

struct Held {
    body: WasiBody,
    _until_end: (Arc<OwnedSemaphorePermit>, oneshot::Sender<Infallible>),
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
