//! A folder with a database and queues, a worker on them, and handlers.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chassis_capabilities::clock::Clock;
use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{MessagingBackend, QueueStatus, SqliteMessaging, Subscription};
use chassis_capabilities::sql::{Outbox, SqlBackend, SqliteDatabase, Step};
use chassis_config::name::ComponentName;
use chassis_config::plan::{MessagingPolicy, SqlPolicy};
use chassis_engine::api::{Body, ComponentStatus, Dispatch, DispatchError, RequestMeta};
use chassis_worker::{Drained, NamedOutbox, Parts, Settings, Subscriber};
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const QUEUE: &str = "notifications";

pub(crate) fn policy() -> MessagingPolicy {
    MessagingPolicy {
        event_bytes: 64 << 10,
        events: 100,
        queue_length: 1_000_000,
        attempts: 5,
        backoff_base: Duration::from_millis(5),
        backoff_max: Duration::from_secs(600),
        max_age: Duration::from_secs(86_400),
        lease: Duration::from_secs(30),
        concurrency: 8,
        max_delay: Duration::from_secs(86_400),
        dedup_window: Duration::from_secs(86_400),
        dead_letter_retention: Duration::from_secs(86_400),
        relay_batch: 100,
        relay_interval: Duration::from_secs(5),
        database_bytes: 1 << 30,
    }
}

fn sql_policy() -> SqlPolicy {
    SqlPolicy {
        rows: 1000,
        result_bytes: 1 << 20,
        timeout: Duration::from_secs(10),
        steps: 64,
        params: 64,
        statement_bytes: 1 << 18,
        readers: 2,
        queue: 1024,
        group: 64,
        statements: 64,
        outbox: 100_000,
        database_bytes: 1 << 30,
        wal_bytes: 64 << 20,
        temporary_bytes: 256 << 20,
        queue_bytes: 32 << 20,
    }
}

/// An event with a number as its id and its data.
pub(crate) fn event(number: usize, subject: Option<&str>) -> Envelope {
    Envelope {
        id: format!("event-{number}"),
        source: "/components/todos".to_owned(),
        event_type: "todo.created".to_owned(),
        subject: subject.map(str::to_owned),
        time: "2025-06-15T12:00:00Z".parse().unwrap(),
        data: format!("{{\"number\":{number}}}"),
        not_before: None,
        priority: 4,
        dedup_key: None,
        traceparent: None,
    }
}

/// What a worker works on.
pub(crate) struct World {
    pub(crate) messaging: Arc<SqliteMessaging>,
    pub(crate) database: SqliteDatabase,
    pub(crate) policy: MessagingPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(policy: MessagingPolicy, clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let subscription = Subscription { queue: QUEUE.to_owned(), patterns: vec!["todo.*".to_owned()] };
        let path = folder.path().join("messaging.db");
        let messaging = SqliteMessaging::open(&path, policy.clone(), vec![subscription], Arc::clone(&clock), 7);
        let messaging = Arc::new(messaging.await.unwrap());
        let path = folder.path().join("todos.db");
        let database = SqliteDatabase::open(&path, &sql_policy(), &[], Arc::clone(&clock)).await.unwrap();
        Self { messaging, database, policy, clock, _folder: folder }
    }

    /// Publish events as a component does: in a batch.
    pub(crate) async fn batch(&self, events: impl IntoIterator<Item = Envelope>) {
        self.database.batch(events.into_iter().map(Step::Publish).collect()).await.unwrap();
    }

    pub(crate) async fn status(&self) -> QueueStatus {
        let mut all = self.messaging.status().await.unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Wait until the queue is as it should be.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&QueueStatus) -> bool) -> QueueStatus {
        for _ in 0..3000 {
            let status = self.status().await;
            if is(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {what}: {:?}", self.status().await);
    }

    pub(crate) fn parts(&self, handler: &Arc<Handler>) -> Parts {
        let outbox = Arc::new(self.database.clone()) as Arc<dyn Outbox>;
        Parts {
            messaging: Arc::clone(&self.messaging) as Arc<dyn MessagingBackend>,
            dispatch: Arc::clone(handler) as Arc<dyn Dispatch>,
            outboxes: vec![NamedOutbox { name: "todos".to_owned(), outbox }],
            clock: Arc::clone(&self.clock),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        let component = ComponentName::parse(QUEUE).unwrap();
        Settings {
            subscribers: vec![Subscriber { component, deadline: Duration::from_secs(30) }],
            policy: self.policy.clone(),
            drain_timeout: Duration::from_millis(500),
        }
    }

    pub(crate) fn start(&self, handler: &Arc<Handler>) -> Worker {
        Worker::start(self.parts(handler), self.settings())
    }
}

/// A worker that runs.
pub(crate) struct Worker {
    shutdown: CancellationToken,
    task: JoinHandle<Drained>,
}

impl Worker {
    pub(crate) fn start(parts: Parts, settings: Settings) -> Self {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(chassis_worker::run(parts, settings, shutdown.clone().cancelled_owned()));
        Self { shutdown, task }
    }

    pub(crate) async fn stop(self) -> Drained {
        self.shutdown.cancel();
        self.task.await.unwrap()
    }
}

/// A request that a handler was given.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) component: String,
    pub(crate) head: Arc<http::request::Parts>,
    pub(crate) body: String,
    pub(crate) meta: RequestMeta,
}

impl Call {
    pub(crate) fn event(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn number(&self) -> usize {
        usize::try_from(self.event()["data"]["number"].as_u64().unwrap()).unwrap()
    }
}

pub(crate) type Answer = Result<Response<Body>, DispatchError>;
type Script = Box<dyn Fn(usize, Call) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Stands at the door of the engine.
pub(crate) struct Handler {
    script: Script,
    calls: Mutex<Vec<Call>>,
    /// Calls that run.
    running: Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

impl Handler {
    /// Answers its calls, which are counted from 0, by a script.
    pub(crate) fn new<F>(script: impl Fn(usize, Call) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Arc::new(Self {
            script: Box::new(move |number, call| Box::pin(script(number, call))),
            calls: Mutex::default(),
            running: Arc::default(),
            most: AtomicUsize::new(0),
        })
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// The most calls that ran at a time.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) async fn until_running(&self, count: usize) {
        for _ in 0..1000 {
            if self.running() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} calls run, not {count}", self.running());
    }
}

/// Ends with the call, however that ends.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Dispatch for Handler {
    async fn handle(&self, component: &ComponentName, request: Request<Body>, meta: RequestMeta) -> Answer {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(Arc::clone(&self.running));
        self.most.fetch_max(running, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let call = Call { component: component.to_string(), head: Arc::new(head), body, meta };
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call.clone());
            calls.len() - 1
        };
        (self.script)(number, call).await
    }

    fn components(&self) -> Vec<ComponentStatus> {
        Vec::new()
    }
}

pub(crate) fn answer(status: u16) -> Answer {
    said(status, "")
}

pub(crate) fn said(status: u16, words: &'static str) -> Answer {
    let body = Full::new(Bytes::from_static(words.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}
