//! The bytes below an SMTP connection that begins in clear.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream that hands on one line at a time.
///
/// Whoever reads from it through a buffer has then nothing left in that buffer when the answer to STARTTLS is read. An
/// answer that somebody on the way put behind it, still in clear, is so read as TLS, where it breaks the handshake;
/// it would otherwise be taken for an answer of the server that has proved who it is.
#[derive(Debug)]
pub(super) struct LineByLine {
    tcp: BufReader<TcpStream>,
}

impl LineByLine {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp: BufReader::new(tcp) }
    }
}

impl AsyncRead for LineByLine {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let held = ready!(Pin::new(&mut self.tcp).poll_fill_buf(context))?;
        let line = held.iter().position(|byte| *byte == b'\n').map_or(held.len(), |end| end + 1);
        let taken = held.get(..line.min(into.remaining())).unwrap_or_default();
        into.put_slice(taken);
        let taken = taken.len();
        Pin::new(&mut self.tcp).consume(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineByLine {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.tcp.get_mut()).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.tcp.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.tcp.get_mut()).poll_shutdown(context)
    }
}

impl AsyncTokioStream for LineByLine {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.get_ref().peer_addr()
    }
}
