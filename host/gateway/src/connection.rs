//! One client's connection: a TCP stream that does not wait for ever.
//!
//! hyper bounds how long a request's head may take, and the bodies bound themselves while they are asked for more. What is
//! left is a client that does not read: then nothing asks the response's body, and only the stream itself can tell.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::body::Patience;

/// How long a closed connection is read on, so that a client that is still sending gets to read the answer: closing a
/// socket with unread bytes would reset it.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are read and thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 4 << 20;

/// What a connection and its requests tell each other.
#[derive(Debug)]
pub(crate) struct Link {
    /// The other end.
    pub(crate) client: SocketAddr,
    state: Mutex<LinkState>,
}

#[derive(Debug, Default)]
struct LinkState {
    /// Nothing is written after it.
    deadline: Option<Instant>,
    /// A request's body was left unread.
    linger: bool,
}

impl Link {
    pub(crate) fn new(client: SocketAddr) -> Self {
        Self { client, state: Mutex::default() }
    }

    /// A request begins: its response is to be written by then.
    pub(crate) fn begin(&self, deadline: Instant) {
        self.with(|state| *state = LinkState { deadline: Some(deadline), linger: false });
    }

    /// The response is written but for what is buffered, which is to be read by then.
    pub(crate) fn end(&self, deadline: Instant) {
        self.with(|state| state.deadline = Some(deadline));
    }

    /// The body of a request will not be read to its end.
    pub(crate) fn linger(&self) {
        self.with(|state| state.linger = true);
    }

    /// Whether the connection ends with the response, since what the client still sends is not read.
    pub(crate) fn lingers(&self) -> bool {
        self.with(|state| state.linger)
    }

    fn with<T>(&self, apply: impl FnOnce(&mut LinkState) -> T) -> T {
        // The state is two plain values, valid whoever panicked.
        apply(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A TCP stream whose writes end when the client stops reading.
#[derive(Debug)]
pub(crate) struct PatientStream {
    inner: TcpStream,
    link: Arc<Link>,
    idle: Duration,
    wait: Option<Patience>,
    lingering: Option<Lingering>,
}

#[derive(Debug)]
struct Lingering {
    patience: Patience,
    bytes_left: usize,
}

impl PatientStream {
    /// Wrap a stream that gives up after `idle` without progress.
    pub(crate) const fn new(inner: TcpStream, link: Arc<Link>, idle: Duration) -> Self {
        Self { inner, link, idle, wait: None, lingering: None }
    }

    /// The result of a write, or an error where it waits too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let deadline = self.link.with(|state| state.deadline).unwrap_or_else(|| Instant::now() + self.idle);
        if result.is_ready() {
            self.wait = None;
            return if Instant::now() > deadline { Poll::Ready(Err(too_slow())) } else { result };
        }
        let idle = self.idle;
        let wait = self.wait.get_or_insert_with(|| Patience::new(idle, deadline));
        let _cut = ready!(wait.poll_over(context));
        Poll::Ready(Err(too_slow()))
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let start =
            || Lingering { patience: Patience::new(LINGER, Instant::now() + LINGER), bytes_left: LINGER_BYTES_MAX };
        let lingering = self.lingering.get_or_insert_with(start);
        let mut scratch = [0; 8192];
        while lingering.bytes_left > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => break,
                Poll::Ready(Ok(())) => {
                    lingering.bytes_left = lingering.bytes_left.saturating_sub(buffer.filled().len())
                }
                Poll::Ready(Err(_gone)) => break,
                Poll::Pending => {
                    let _cut = ready!(lingering.patience.poll_over(context));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client does not read its response")
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, buffer);
        self.judge(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.judge(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP stream has nothing of its own to flush.
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
        }
        if self.link.with(|state| state.linger) { self.poll_linger(context) } else { Poll::Ready(Ok(())) }
    }
}
