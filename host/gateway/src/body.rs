//! Bodies with limits: how many bytes, how long between two pieces, how long altogether.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::connection::Link;
use crate::exchange::Exchange;

/// Bytes of a request's body that are read and thrown away, where nobody wants them, to keep the connection.
const DRAINED_BYTES_MAX: u64 = 64 << 10;

/// How long they may take.
const DRAINED_TIME_MAX: Duration = Duration::from_secs(2);

/// Why a body was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    /// More bytes than the policy allows.
    #[error("the request body is larger than the host accepts")]
    TooLarge,
    /// Nothing came for as long as the policy allows.
    #[error("the body stalled")]
    Stalled,
    /// The time for the whole request ran out.
    #[error("the time for the request has passed")]
    Late,
    /// The connection broke, or the chunks were malformed.
    #[error("the body broke off")]
    Broken,
}

/// Waits for a while at a time, and never beyond a moment.
#[derive(Debug)]
pub(crate) struct Patience {
    idle: Duration,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patience {
    pub(crate) const fn new(idle: Duration, deadline: Instant) -> Self {
        Self { idle, deadline, timer: None, waiting: false }
    }

    /// Something moved: the next wait begins anew.
    pub(crate) fn moved(&mut self) {
        self.waiting = false;
    }

    /// Ready once the wait that goes on is over.
    pub(crate) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<Cut> {
        let until = self.deadline.min(Instant::now() + self.idle);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if !self.waiting {
            timer.as_mut().reset(until);
            self.waiting = true;
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(if Instant::now() >= self.deadline { Cut::Late } else { Cut::Stalled })
    }
}

/// What became of a request's body, for whoever waits for the response.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    state: AtomicU8,
    cut: Notify,
}

const UPLOAD_OPEN: u8 = 0;
const UPLOAD_COMPLETE: u8 = 1;
const UPLOAD_CUTS: [(u8, Cut); 4] = [(2, Cut::TooLarge), (3, Cut::Stalled), (4, Cut::Late), (5, Cut::Broken)];

impl Upload {
    /// Whether the whole body has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.state.load(Ordering::Acquire) == UPLOAD_COMPLETE
    }

    /// Why the body was cut off, if it was.
    pub(crate) fn is_cut(&self) -> Option<Cut> {
        let state = self.state.load(Ordering::Acquire);
        UPLOAD_CUTS.iter().find(|(number, _)| *number == state).map(|(_, cut)| *cut)
    }

    /// Resolves when the body is cut off; never, if it is not.
    pub(crate) async fn cut(&self) -> Cut {
        loop {
            if let Some(cut) = self.is_cut() {
                return cut;
            }
            // A permit is stored where the notice comes before the wait, so none is missed.
            self.cut.notified().await;
        }
    }

    fn completed(&self) {
        let _kept = self.state.compare_exchange(UPLOAD_OPEN, UPLOAD_COMPLETE, Ordering::AcqRel, Ordering::Acquire);
    }

    fn cut_off(&self, cut: Cut) {
        let number = UPLOAD_CUTS.iter().find(|(_, known)| *known == cut).map_or(UPLOAD_OPEN, |(number, _)| *number);
        self.state.store(number, Ordering::Release);
        self.cut.notify_one();
    }
}

/// A request's body: bounded in bytes and time. Trailers are dropped (RFC 9110, section 6.5.1), since they could carry
/// fields that are refused in the head.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Body,
    left: u64,
    patience: Patience,
    upload: Arc<Upload>,
    link: Arc<Link>,
    ended: bool,
}

impl RequestBody {
    pub(crate) fn new(inner: Body, bytes_max: u64, patience: Patience, link: Arc<Link>) -> Self {
        let upload = Arc::new(Upload::default());
        let ended = inner.is_end_stream();
        if ended {
            upload.completed();
        }
        Self { inner, left: bytes_max, patience, upload, link, ended }
    }

    pub(crate) fn upload(&self) -> Arc<Upload> {
        Arc::clone(&self.upload)
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.ended = true;
        self.upload.completed();
        Poll::Ready(None)
    }

    fn cut_off(&mut self, cut: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.ended = true;
        self.link.linger();
        self.upload.cut_off(cut);
        Poll::Ready(Some(Err(cut)))
    }

    fn data(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.patience.moved();
        match u64::try_from(bytes.len()).ok().and_then(|length| self.left.checked_sub(length)) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            None => self.cut_off(Cut::TooLarge),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => self.data(bytes),
                Err(_trailers) => self.end(),
            },
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "a request body broke off");
                self.cut_off(Cut::Broken)
            }
            Poll::Ready(None) => self.end(),
            Poll::Pending => {
                let cut = ready!(self.patience.poll_over(context));
                self.cut_off(cut)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Nobody wants the rest. The connection can serve the next request only once the rest has been read, and a client that
/// has its answer takes the connection for usable: so a short rest is read, and a connection with a long one is closed.
impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.ended || self.inner.is_end_stream() {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) if self.inner.size_hint().lower() <= DRAINED_BYTES_MAX => {
                let rest = std::mem::replace(&mut self.inner, Body::empty());
                runtime.spawn(drain(rest, Arc::clone(&self.link)));
            }
            _ => self.link.linger(),
        }
    }
}

async fn drain(mut rest: Body, link: Arc<Link>) {
    let read = async {
        let mut left = DRAINED_BYTES_MAX;
        while let Some(frame) = rest.frame().await {
            let bytes = frame.ok()?.data_ref().map_or(0, Bytes::len);
            left = left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX))?;
        }
        Some(())
    };
    if timeout(DRAINED_TIME_MAX, read).await.ok().flatten().is_none() {
        link.linger();
    }
}

/// A response's body: bounded in time, counted, and at its end the exchange is written to the log.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    inner: Body,
    /// Bytes that are still to come, where the head has said how many there are. hyper does not ask for more after them.
    left: Option<u64>,
    patience: Patience,
    exchange: Exchange,
}

impl ResponseBody {
    pub(crate) fn new(inner: Body, length: Option<u64>, patience: Patience, mut exchange: Exchange) -> Self {
        if inner.is_end_stream() {
            exchange.complete();
        }
        Self { inner, left: length, patience, exchange }
    }

    fn sent(&mut self, frame: &Frame<Bytes>) {
        self.patience.moved();
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.exchange.sent(bytes);
        self.left = self.left.map(|left| left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX)));
        if self.inner.is_end_stream() || self.left == Some(0) {
            self.exchange.complete();
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.sent(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.exchange.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.exchange.broken(&error);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                let cut = ready!(self.patience.poll_over(context));
                self.exchange.broken(&cut);
                Poll::Ready(Some(Err(axum::Error::new(cut))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
