//! The listener: accepts connections, serves HTTP/1.1 on them, and lets them end in peace.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use chassis_config::name::ComponentName;
use chassis_config::plan::{Application, GatewayPolicy};
use chassis_config::route::Router;
use chassis_engine::api::Dispatch;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{counter, gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::{App, Shared};
use crate::connection::{Link, PatientStream};
use crate::dispatch::places;
use crate::edge::OriginError;
use crate::exchange::describe_metrics;

/// Pause after the machine refused a connection, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that hyper may hold of a connection, beyond the head of a request.
const BUFFER_BYTES_MIN: usize = 64 << 10;

/// Header fields up to which hyper needs no allocation.
const FIELDS_INLINE: usize = 100;

/// What a gateway is to be like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Named in `/health`.
    pub application: Application,
    /// Its bounds.
    pub policy: GatewayPolicy,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request that had begun was answered.
    Whole,
    /// So many connections were cut off at the drain deadline.
    Cut(usize),
}

/// Why a gateway did not begin to serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An entry of the allow-list for cross-origin requests.
    #[error("cannot allow cross-origin requests")]
    Origin(#[from] OriginError),
}

/// Serve `routes` on `listener` until `shutdown` resolves; then refuse new connections, let open requests end within the
/// drain deadline, and return.
///
/// # Errors
/// Where the policy cannot be followed. Once it serves, it serves until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    routes: Router<ComponentName>,
    engine: Arc<dyn Dispatch>,
    shutdown: impl Future<Output = ()>,
) -> Result<Drained, ServeError> {
    describe_metrics();
    let Settings { application, policy } = settings;
    let connections = usize::try_from(policy.connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    let drain_timeout = policy.drain_timeout;
    let places = places(policy.requests);
    let shared = Arc::new(Shared { application, policy, routes, engine, places, draining: AtomicBool::new(false) });
    let acceptor = Acceptor {
        http: http1_of(&shared.policy),
        app: App::new(Arc::clone(&shared))?,
        idle: shared.policy.body_idle_timeout,
        slots: Arc::new(Semaphore::new(connections)),
        end: CancellationToken::new(),
    };
    let open = acceptor.accept_until(listener, shutdown).await;
    shared.draining.store(true, Ordering::Relaxed);
    acceptor.end.cancel();
    Ok(drain(open, drain_timeout).await)
}

fn http1_of(policy: &GatewayPolicy) -> http1::Builder {
    let head = usize::try_from(policy.header_bytes).unwrap_or(usize::MAX);
    let fields = usize::try_from(policy.header_fields).unwrap_or(usize::MAX);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(policy.header_timeout)
        // Heads beyond the policy are refused with a problem. hyper's own limits, which refuse with an empty response,
        // are twice as far out: they only bound what is held in memory.
        .max_buf_size(head.saturating_mul(2).max(BUFFER_BYTES_MIN));
    if fields >= FIELDS_INLINE {
        http.max_headers(fields.saturating_mul(2));
    }
    http
}

/// Accepts connections.
#[derive(Debug)]
struct Acceptor {
    http: http1::Builder,
    app: App,
    idle: Duration,
    slots: Arc<Semaphore>,
    end: CancellationToken,
}

impl Acceptor {
    /// Accept until `shutdown` resolves. Answers with the connections that are open then; the listener is closed.
    async fn accept_until(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> JoinSet<()> {
        let mut open = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return open,
                Some(ended) = open.join_next() => report_panic(ended),
                accepted = self.accept(&listener) => match accepted {
                    Ok((stream, client, slot)) => {
                        open.spawn(self.connection(stream, client, slot));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// A connection is taken from the kernel only when there is a place for it.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, client) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, client, slot))
    }

    fn connection(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        slot: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + use<> {
        let link = Arc::new(Link::new(client));
        let stream = PatientStream::new(stream, Arc::clone(&link), self.idle);
        let app = self.app.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let answer = app.clone().answer(request.map(Body::new), Arc::clone(&link));
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let end = self.end.clone();
        async move {
            let _held = (slot, OpenConnection::count());
            let mut connection = pin!(connection);
            let outcome = tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = end.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            match outcome {
                // hyper has answered already, without a body, and before there was a request that the access log could tell of.
                Err(error) if error.is_parse() => {
                    counter!("http_malformed_heads_total").increment(1);
                    tracing::info!(%client, %error, "refused a head that is not HTTP/1.1");
                }
                // Clients that leave are no trouble of ours.
                Err(error) => tracing::debug!(%client, %error, "a connection ended early"),
                Ok(()) => {}
            }
        }
    }
}

/// Counts a connection as long as it lives.
struct OpenConnection;

impl OpenConnection {
    fn count() -> Self {
        gauge!("http_connections").increment(1.0);
        Self
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        gauge!("http_connections").decrement(1.0);
    }
}

async fn drain(mut open: JoinSet<()>, time: Duration) -> Drained {
    let all_end = async {
        while let Some(ended) = open.join_next().await {
            report_panic(ended);
        }
    };
    if timeout(time, all_end).await.is_ok() {
        return Drained::Whole;
    }
    let cut = open.len();
    tracing::warn!(connections = cut, "the drain deadline has passed: cutting off what is open");
    open.shutdown().await;
    Drained::Cut(cut)
}

fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}
