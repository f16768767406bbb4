//! A gateway on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis_config::name::ComponentName;
use chassis_config::plan::{Application, GatewayPolicy};
use chassis_config::route::{RoutePattern, Router};
use chassis_gateway::{Drained, Settings, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Response, exchange};
use crate::component::Component;

/// Everything short, so that waits end within a test; nothing so short that a busy machine fails.
pub(crate) fn policy() -> GatewayPolicy {
    GatewayPolicy {
        body_bytes: 64 << 10,
        header_bytes: 16 << 10,
        header_fields: 64,
        header_timeout: Duration::from_millis(400),
        body_idle_timeout: Duration::from_millis(400),
        request_timeout: Duration::from_secs(5),
        connections: 64,
        requests: 64,
        drain_timeout: Duration::from_secs(5),
        cors_origins: vec!["https://app.example.org".to_owned()],
        probe_interval: Duration::from_secs(1),
        probe_timeout: Duration::from_secs(1),
    }
}

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) component: Arc<Component>,
    shutdown: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Drained>,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::with(policy()).await
    }

    pub(crate) async fn with(policy: GatewayPolicy) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let name = |name: &str| ComponentName::parse(name).unwrap();
        let routes =
            [("/...", "hello"), ("/users/:user_id/...", "users"), ("/health/live", "hello"), ("/gone", "gone")];
        let routes = routes.map(|(route, component)| (RoutePattern::parse(route).unwrap(), name(component)));
        let component = Arc::new(Component::default());
        let application =
            Application { name: "shop".to_owned(), version: "1.2.3".to_owned(), description: String::new() };
        let (shutdown, stop) = oneshot::channel();
        let serving = serve(
            listener,
            Settings { application, policy },
            Router::new(routes).unwrap(),
            Arc::clone(&component) as _,
            async move { drop(stop.await) },
        );
        // The future is started on this thread, where a test may have set its subscriber and recorder.
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, component, shutdown: Some(shutdown), serving }
    }

    /// Begin to shut down, as a signal would.
    pub(crate) fn shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    pub(crate) async fn drained(mut self) -> Drained {
        self.shut_down();
        self.serving.await.unwrap()
    }

    /// Send bytes on a connection of their own and read the one response that follows.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> Response {
        let mut responses = exchange(self.address, request.as_ref()).await;
        assert_eq!(responses.len(), 1, "{responses:?}");
        responses.remove(0)
    }

    /// Send a request without body, with the fields given, and close.
    pub(crate) async fn request(&self, line: &str, fields: &[&str]) -> Response {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.raw(format!("{line} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{fields}\r\n")).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(&format!("GET {path}"), &[]).await
    }
}
