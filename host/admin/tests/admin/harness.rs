//! An admin side on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chassis_admin::{MetricsSource, ServeError, Sources, TokenStore, serve};
use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::event::{DEFAULT_PRIORITY, Envelope};
use chassis_capabilities::mail::{MailBackend, Mailbox, MailboxBounds, Message};
use chassis_capabilities::messaging::{MessagingBackend, Outcome, SqliteMessaging, Subscription};
use chassis_config::name::ComponentName;
use chassis_config::plan::{AdminPolicy, MessagingPolicy, RoutePlan};
use chassis_config::route::RoutePattern;
use chassis_engine::api::{Body, ComponentStatus, Dispatch, DispatchError, Lane, RequestMeta};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const POLICY: AdminPolicy = AdminPolicy {
    allow_remote: false,
    body_bytes: 4096,
    connections: 8,
    header_timeout: Duration::from_secs(10),
    request_timeout: Duration::from_secs(30),
    drain_timeout: Duration::from_secs(5),
};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The last segment of a problem's type, after a look at the whole document.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status);
        assert!(document["title"].is_string() && document["detail"].is_string());
        document["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }
}

/// What stands for the engine: one component that runs.
#[derive(Debug)]
struct Engine;

#[async_trait]
impl Dispatch for Engine {
    async fn handle(
        &self,
        component: &ComponentName,
        _request: http::Request<Body>,
        _meta: RequestMeta,
    ) -> Result<http::Response<Body>, DispatchError> {
        Err(DispatchError::UnknownComponent(component.to_string()))
    }

    fn components(&self) -> Vec<ComponentStatus> {
        vec![ComponentStatus {
            name: ComponentName::parse("auth").unwrap(),
            digest: "00".repeat(32),
            provides: vec!["chassis:auth/identity@0.1.0".to_owned()],
            instances: 1,
            running: 0,
            waiting: 0,
            traps: 0,
            lane: Lane::Fast,
            health: None,
        }]
    }
}

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    /// The secret of the first token.
    pub(crate) admin: String,
    messaging: Arc<SqliteMessaging>,
    mailbox: Arc<Mailbox>,
    shutdown: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// A host's folder, and what the admin side looks into.
struct Parts {
    folder: tempfile::TempDir,
    messaging: Arc<SqliteMessaging>,
    mailbox: Arc<Mailbox>,
    sources: Sources,
}

async fn parts() -> Parts {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock);
    let subscription = Subscription { queue: "mailer".to_owned(), patterns: vec!["user.*".to_owned()] };
    let path = folder.path().join("messaging.sqlite");
    let messaging =
        SqliteMessaging::open(&path, messaging_policy(), vec![subscription], clock.clone(), 1).await.unwrap();
    let messaging = Arc::new(messaging);
    let bounds = MailboxBounds { messages: 100, retention: DAY };
    let mailbox = Arc::new(Mailbox::open(&folder.path().join("mail.sqlite"), bounds, clock).await.unwrap());
    let tokens = TokenStore::open(folder.path(), Timestamp::now()).await.unwrap();
    let route = RoutePlan {
        pattern: RoutePattern::parse("/api/v1/auth/...").unwrap(),
        component: ComponentName::parse("auth").unwrap(),
    };
    let sources = Sources {
        engine: Arc::new(Engine),
        routes: vec![route],
        messaging: Arc::clone(&messaging) as _,
        mailbox: Some(Arc::clone(&mailbox)),
        metrics: MetricsSource::new(|| "things_total 7\n".to_owned()),
        tokens: Arc::new(tokens),
    };
    Parts { folder, messaging, mailbox, sources }
}

fn messaging_policy() -> MessagingPolicy {
    MessagingPolicy {
        event_bytes: 1 << 16,
        events: 100,
        queue_length: 1000,
        attempts: 3,
        backoff_base: Duration::from_secs(1),
        backoff_max: DAY,
        max_age: DAY,
        lease: DAY,
        concurrency: 10,
        max_delay: DAY,
        dedup_window: DAY,
        dead_letter_retention: DAY,
        relay_batch: 100,
        relay_interval: Duration::from_secs(5),
        database_bytes: 1 << 30,
    }
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::with(parts().await).await
    }

    pub(crate) async fn without_mailbox() -> Self {
        let mut parts = parts().await;
        parts.sources.mailbox = None;
        Self::with(parts).await
    }

    async fn with(Parts { folder, messaging, mailbox, sources }: Parts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, stop) = oneshot::channel();
        let serving = tokio::spawn(async move {
            serve(listener, &POLICY, sources, async move { drop(stop.await) }).await.unwrap();
        });
        let admin = std::fs::read_to_string(folder.path().join("admin-token")).unwrap();
        Self { address, admin, messaging, mailbox, shutdown: Some(shutdown), serving, _folder: folder }
    }

    /// Listen on all addresses, and end at once where that works.
    pub(crate) async fn listen_everywhere(policy: AdminPolicy) -> Result<(), ServeError> {
        let parts = parts().await;
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        serve(listener, &policy, parts.sources, std::future::ready(())).await
    }

    pub(crate) fn shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    pub(crate) async fn ended(self) {
        self.serving.await.unwrap();
    }

    /// Publish events that their handler refuses.
    pub(crate) async fn give_up(&self, ids: &[&str]) {
        let event = |id: &&str| Envelope {
            id: (*id).to_owned(),
            source: "/components/auth".to_owned(),
            event_type: "user.registered".to_owned(),
            subject: None,
            time: Timestamp::now(),
            data: r#"{"userId": "usr_1"}"#.to_owned(),
            not_before: None,
            priority: DEFAULT_PRIORITY,
            dedup_key: None,
            traceparent: None,
        };
        self.messaging.publish(ids.iter().map(event).collect::<Vec<_>>().into()).await.unwrap();
        let leased = self.messaging.lease("mailer", 10).await.unwrap();
        assert_eq!(leased.len(), ids.len());
        for delivery in leased {
            let refused = Outcome::Reject { reason: "refused by the handler".to_owned() };
            self.messaging.complete(&delivery, refused).await.unwrap();
        }
    }

    /// Send a mail.
    pub(crate) async fn mail(&self, message_id: &str, to: &str) {
        let message = Message {
            message_id: message_id.to_owned(),
            from: "shop@example.org".to_owned(),
            to: vec![to.to_owned()],
            reply_to: None,
            subject: "Welcome".to_owned(),
            text: "Hello".to_owned(),
            html: Some("<p>Hello</p>".to_owned()),
        };
        self.mailbox.send(message.into()).await.unwrap();
    }

    /// Make a token and answer with its secret.
    pub(crate) async fn token(&self, name: &str, role: &str) -> String {
        let made = self.post("/v1/tokens", &format!(r#"{{"name": "{name}", "role": "{role}"}}"#)).await;
        made.json()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.as_holder(&self.admin, "GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.as_holder(&self.admin, "POST", path, body).await
    }

    pub(crate) async fn as_holder(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, Some(&format!("Bearer {token}")), body).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, authorization: Option<&str>, body: &str) -> Answer {
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{authorization}\r\n{body}",
            body.len(),
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}
