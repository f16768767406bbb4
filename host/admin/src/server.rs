//! The admin listener.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use chassis_config::plan::AdminPolicy;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::api::{Sources, router};

/// Bytes that are held of a connection, and so of a request's head.
const BUFFER_BYTES_MAX: usize = 32 << 10;

/// Pause after the machine refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin side did not begin to serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Tokens would cross a network in the clear.
    #[error(
        "the admin listener would be reachable at {0}, without TLS: listen on 127.0.0.1, or set `admin.allow_remote` if something in front of it encrypts"
    )]
    Remote(SocketAddr),
    /// The listener has no address.
    #[error("cannot read the address of the admin listener")]
    Address(#[source] io::Error),
}

/// Serve the admin side on `listener` until `shutdown` resolves and open requests have ended.
///
/// # Errors
/// Where the listener is not on loopback and the policy does not allow that.
pub async fn serve(
    listener: TcpListener,
    policy: &AdminPolicy,
    sources: Sources,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Address)?;
    if !address.ip().is_loopback() && !policy.allow_remote {
        return Err(ServeError::Remote(address));
    }
    let router = router(sources, policy);
    let slots = Arc::new(Semaphore::new(policy.connections as usize));
    let end = CancellationToken::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(policy.header_timeout).max_buf_size(BUFFER_BYTES_MAX);
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_ended) = open.join_next() => {}
            accepted = accept(&listener, &slots) => match accepted {
                Ok((stream, slot)) => {
                    open.spawn(connection(http.clone(), stream, router.clone(), end.clone(), slot));
                }
                Err(error) => {
                    tracing::warn!(%error, "an admin connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    end.cancel();
    let all_end = async { while open.join_next().await.is_some() {} };
    if timeout(policy.drain_timeout, all_end).await.is_err() {
        open.shutdown().await;
    }
    Ok(())
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _client) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn connection(
    http: http1::Builder,
    stream: TcpStream,
    router: Router,
    end: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await as Result<_, Infallible> }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "an admin connection ended early");
    }
}
