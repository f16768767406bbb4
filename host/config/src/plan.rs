//! The checked configuration: what the rest of the host works with.
//!
//! Everything here is plain data that holds by construction: paths exist, labels resolve, names are unique, every
//! limit is set. Nothing after this point reads a manifest, an environment variable or a default.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::name::{ComponentName, Label};
use crate::route::RoutePattern;

/// The whole of what a host is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `[application]` of the manifest.
    pub application: Application,
    /// Every component that a route, a subscription or a dependency can reach.
    pub components: BTreeMap<ComponentName, ComponentPlan>,
    /// Names of all variables, those of the application and those of its components.
    pub variable_names: BTreeSet<String>,
    /// The route table, in the order of the manifest.
    pub routes: Vec<RoutePlan>,
    /// Where the host listens.
    pub listeners: Listeners,
    /// Folder of everything that the host keeps, absolute.
    pub state_dir: PathBuf,
    /// Policy of the public listener.
    pub gateway: GatewayPolicy,
    /// Policy of the admin listener.
    pub admin: AdminPolicy,
    /// Bounds of the engine as a whole.
    pub engine: EngineLimits,
    /// Bounds of the SQL backend.
    pub sql: SqlPolicy,
    /// Stores by label.
    pub key_value: BTreeMap<Label, KeyValuePlan>,
    /// Delivery of events.
    pub messaging: MessagingPolicy,
    /// Where mail goes.
    pub mail: MailPlan,
    /// Log and metrics output.
    pub telemetry: TelemetryPlan,
}

/// `[application]` of the manifest.
#[derive(Debug, Clone)]
pub struct Application {
    /// Name.
    pub name: String,
    /// Version, `0.0.0` where none is given.
    pub version: String,
    /// Description, empty where none is given.
    pub description: String,
}

/// One component: what it is made of, what it may do, and its bounds.
#[derive(Debug, Clone)]
pub struct ComponentPlan {
    /// Its name in the manifest.
    pub name: ComponentName,
    /// The `.wasm` file, absolute; it exists.
    pub source: PathBuf,
    /// Environment of the guest.
    pub environment: BTreeMap<String, String>,
    /// Resolved variables, as `chassis:platform/config` answers them.
    pub variables: BTreeMap<String, Variable>,
    /// Folders and files that the guest may read.
    pub files: Vec<FileMount>,
    /// What it is lent.
    pub grants: Grants,
    /// Its bounds.
    pub limits: ComponentLimits,
    /// How instances are shared between requests.
    pub isolation: Isolation,
    /// Paths (Spin route syntax, with an optional method before it) that always run in the slow lane.
    pub slow_routes: Vec<SlowRoute>,
    /// Typed interfaces of other components that it may call, such as `chassis:auth/identity@0.1.0`, by provider.
    pub dependencies: BTreeMap<String, ComponentName>,
    /// Typed interfaces that it may offer to others.
    pub provides: Vec<String>,
}

/// A resolved variable.
#[derive(Clone)]
pub struct Variable {
    /// Its value.
    pub value: String,
    /// Whether it may be read by `secret` only, and is never printed.
    pub secret: bool,
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = if self.secret { "…" } else { &self.value };
        f.debug_struct("Variable").field("value", &value).field("secret", &self.secret).finish()
    }
}

/// A read-only preopen.
#[derive(Debug, Clone)]
pub struct FileMount {
    /// Absolute path on the host, without symbolic links; below the manifest's folder. Links within it stay within it.
    pub source: PathBuf,
    /// Absolute path in the guest.
    pub destination: String,
}

/// What a component is lent. An empty list lends nothing.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Databases that it owns.
    pub databases: Vec<Label>,
    /// Key-value stores that it owns.
    pub key_value_stores: Vec<Label>,
    /// Patterns of the event types that it may publish: exact, or ending in `.*`.
    pub publish: Vec<EventPattern>,
    /// Patterns of the event types that are delivered to it.
    pub subscribe: Vec<EventPattern>,
    /// Sender addresses that it may use; none: it may not send mail.
    pub mail_from: Vec<String>,
    /// Hosts that it may call.
    pub outbound: Vec<OutboundHost>,
}

/// A pattern of event types: `user.registered`, or `todo.*` for every type that begins with `todo.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPattern(pub String);

/// An entry of `allowed_outbound_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundHost {
    /// `http`, `https`, or `*` for both.
    pub scheme: String,
    /// A host name, an address, or `*.` and a suffix, or `*` for any.
    pub host: String,
    /// The one port, or any.
    pub port: Option<u16>,
}

impl std::fmt::Display for OutboundHost {
    /// As it could be written in the manifest.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scheme, host, port } = self;
        let port = port.map_or_else(|| "*".to_owned(), |port| port.to_string());
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

/// A route that belongs to the slow lane.
#[derive(Debug, Clone)]
pub struct SlowRoute {
    /// The one method, or any.
    pub method: Option<http::Method>,
    /// The path.
    pub pattern: RoutePattern,
}

/// Bounds of one component.
#[derive(Debug, Clone)]
pub struct ComponentLimits {
    /// Linear memory of one instance, all its memories together, in bytes; and what one call of a host function copies from it.
    pub memory: u64,
    /// Time from accepting a request to the head of its response.
    pub deadline: Duration,
    /// CPU time without waiting after which an instance moves to the slow lane.
    pub burst_cpu: Duration,
    /// Requests that run at a time, over all instances.
    pub concurrency: u32,
    /// Requests that may wait for their turn before others are answered 503.
    pub queue: u32,
    /// Instances that live at a time: so many in each lane for requests, and in each for typed calls. No more than the
    /// component's share of the engine's instances.
    pub instances: u32,
    /// Requests at a time in the slow lane.
    pub slow_concurrency: u32,
    /// Requests at a time in one instance.
    pub instance_concurrency: u32,
    /// Requests that one instance serves before it is replaced.
    pub instance_requests: u32,
    /// Time without work after which an instance is dropped.
    pub instance_idle: Duration,
    /// Lines a second of guest output that are kept, over all instances; and as many about what the component was refused or
    /// has lost.
    pub log_lines: u32,
    /// Bytes of one log line; the rest is cut off.
    pub log_line_bytes: u32,
    /// Handles (requests, bodies, streams, files) of one instance.
    pub handles: u32,
    /// Outgoing requests at a time, over all instances, until their responses have been read; more are refused.
    pub outbound: u32,
    /// Bytes of events and of key-value pairs that are being written, over all instances; more are answered `busy`.
    pub pending_bytes: u64,
    /// Files and folders that `files` leads to.
    pub files_entries: u32,
    /// Bytes of all of them.
    pub files_bytes: u64,
}

/// How instances are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// An instance serves many requests, several at a time.
    Shared,
    /// Each request gets an instance of its own.
    Request,
}

/// A route and who answers it.
#[derive(Debug, Clone)]
pub struct RoutePlan {
    /// The path.
    pub pattern: RoutePattern,
    /// Who answers.
    pub component: ComponentName,
}

/// Where the host listens. Port 0 picks a free one.
#[derive(Debug, Clone, Copy)]
pub struct Listeners {
    /// The public listener.
    pub gateway: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
}

/// Policy of the public listener.
#[derive(Debug, Clone)]
pub struct GatewayPolicy {
    /// Bytes of a request body.
    pub body_bytes: u64,
    /// Bytes of a request's head.
    pub header_bytes: u32,
    /// Number of header fields.
    pub header_fields: u32,
    /// Time to send the head of a request.
    pub header_timeout: Duration,
    /// Time between two pieces of a body, in either direction.
    pub body_idle_timeout: Duration,
    /// Time for a request and its response as a whole.
    pub request_timeout: Duration,
    /// Connections at a time.
    pub connections: u32,
    /// Requests at a time.
    pub requests: u32,
    /// Time that open requests are given at shutdown.
    pub drain_timeout: Duration,
    /// Origins that may call from a browser.
    pub cors_origins: Vec<String>,
    /// How often each component's health is asked.
    pub probe_interval: Duration,
    /// Time for one probe.
    pub probe_timeout: Duration,
}

/// Policy of the admin listener.
#[derive(Debug, Clone)]
pub struct AdminPolicy {
    /// Whether it may listen beyond loopback without TLS.
    pub allow_remote: bool,
    /// Bytes of a request body.
    pub body_bytes: u64,
    /// Connections at a time.
    pub connections: u32,
    /// Time to send the head of a request, and for an idle connection.
    pub header_timeout: Duration,
    /// Time for a request and its response as a whole.
    pub request_timeout: Duration,
    /// Time that open requests are given at shutdown.
    pub drain_timeout: Duration,
}

/// Bounds of the engine as a whole.
#[derive(Debug, Clone)]
pub struct EngineLimits {
    /// Instances of all components at a time (slots of the pooling allocator), shared equally between the components and the
    /// kinds of instances that each has.
    pub instances: u32,
    /// Linear memory of one instance at most, in bytes; no component's limit is above it.
    pub memory: u64,
    /// Bytes of a `.wasm` file.
    pub component_bytes: u64,
    /// Memory of the compiling child process, in bytes.
    pub compile_memory: u64,
    /// CPU time of the compiling child process.
    pub compile_timeout: Duration,
    /// Bytes of the cache of compiled components; the least recently used go first.
    pub cache_bytes: u64,
    /// Folder of compiled components, where it is not `cache` in the state folder. Hosts may share one.
    pub cache_dir: Option<PathBuf>,
    /// Threads of the fast lane, and instances that compute for longer than a tick or two in it at a time.
    pub fast_threads: u32,
    /// Threads of the slow lane.
    pub slow_threads: u32,
    /// Time between two interruptions of busy guests.
    pub tick: Duration,
    /// Depth of typed calls between components.
    pub call_depth: u32,
    /// Bytes of the parameters of a typed call, and of its answer, as the host holds them.
    pub call_bytes: u64,
    /// How long a component that burned CPU, or lost too many instances, stays in the slow lane.
    pub probation: Duration,
    /// Instances that a component may lose within `loss_window` and keep its good standing.
    pub losses: u32,
    /// Time within which losses are counted together.
    pub loss_window: Duration,
    /// Time to connect for an outgoing request; a guest may ask for less.
    pub outbound_connect_timeout: Duration,
    /// Time from there to the head of its response; a guest may ask for less.
    pub outbound_first_byte_timeout: Duration,
    /// Time between two pieces of its response; a guest may ask for less.
    pub outbound_between_bytes_timeout: Duration,
    /// Connections per host that are kept for further outgoing requests.
    pub outbound_idle_connections: u32,
    /// Time without a request after which such a connection is closed.
    pub outbound_idle_timeout: Duration,
}

/// Bounds of the SQL backend.
#[derive(Debug, Clone)]
pub struct SqlPolicy {
    /// Rows of one answer.
    pub rows: u32,
    /// Bytes of one answer.
    pub result_bytes: u64,
    /// Time of one query or batch.
    pub timeout: Duration,
    /// Steps of one batch.
    pub steps: u32,
    /// Parameters of one statement.
    pub params: u32,
    /// Bytes of one statement with its parameters.
    pub statement_bytes: u64,
    /// Reading connections per database.
    pub readers: u32,
    /// Batches that may wait for the writer.
    pub queue: u32,
    /// Batches that share one commit.
    pub group: u32,
    /// Prepared statements kept per connection.
    pub statements: u32,
    /// Events that may wait in one outbox, beyond which batches that publish are answered `busy`.
    pub outbox: u64,
    /// Bytes of one database, beyond which batches that need more are answered `busy`.
    pub database_bytes: u64,
    /// Bytes of one database's write-ahead log, beyond which it is begun anew before more is written. What one group of
    /// batches writes may exceed it.
    pub wal_bytes: u64,
    /// Bytes of one database's temporary files, beyond which statements that need more are answered `too-large`.
    pub temporary_bytes: u64,
    /// Bytes of the statements that wait or run on one database, beyond which more are answered `busy`. One that is
    /// larger is taken where it is alone.
    pub queue_bytes: u64,
}

/// A key-value store.
#[derive(Debug, Clone)]
pub struct KeyValuePlan {
    /// Whether it survives a restart.
    pub durability: Durability,
    /// Bytes of a value.
    pub value_bytes: u64,
    /// Bytes of a key.
    pub key_bytes: u32,
    /// Bytes of all entries of a cache; the least recently used go first. A durable store refuses instead.
    pub total_bytes: u64,
}

/// Whether a key-value store survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Written before it is answered.
    Durable,
    /// In memory: may be forgotten at any time.
    Cache,
}

/// Delivery of events.
#[derive(Debug, Clone)]
pub struct MessagingPolicy {
    /// Bytes of one event's data.
    pub event_bytes: u64,
    /// Events of one call.
    pub events: u32,
    /// Waiting deliveries of one queue, beyond which publishers are answered `busy`.
    pub queue_length: u64,
    /// Tries before an event goes to the dead letters.
    pub attempts: u32,
    /// First pause of the exponential back-off with full jitter.
    pub backoff_base: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Age at which an event goes to the dead letters although its tries are not used up.
    pub max_age: Duration,
    /// Time of a lease; the host renews it at a third.
    pub lease: Duration,
    /// Deliveries at a time, per queue.
    pub concurrency: u32,
    /// Longest delay of an event.
    pub max_delay: Duration,
    /// How long a deduplication key is remembered.
    pub dedup_window: Duration,
    /// How long dead letters are kept.
    pub dead_letter_retention: Duration,
    /// Events that a relay moves from an outbox at once.
    pub relay_batch: u32,
    /// Pause after which an outbox is looked into though it has not said anything, and the longest one after a failure.
    pub relay_interval: Duration,
    /// Bytes of the store of events, dead letters included, beyond which publishers are answered `busy`.
    pub database_bytes: u64,
}

/// Where mail goes.
#[derive(Debug, Clone)]
pub struct MailPlan {
    /// Domain of every Message-ID.
    pub message_id_domain: String,
    /// Sender where a component gives none; its grant must hold it.
    pub default_from: String,
    /// Recipients of one message.
    pub recipients: u32,
    /// Bytes of one message.
    pub message_bytes: u64,
    /// Bytes of all messages that are being sent or wait to be; beyond it, sending is answered `temporary`. One that is
    /// larger is taken where it is alone.
    pub queue_bytes: u64,
    /// The transport.
    pub transport: MailTransport,
}

/// The transport of mail.
#[derive(Debug, Clone)]
pub enum MailTransport {
    /// Kept by the host, to be looked into.
    Mailbox {
        /// Messages kept; the oldest go first.
        messages: u32,
        /// Age at which a message goes.
        retention: Duration,
    },
    /// Handed to an SMTP server.
    Smtp(SmtpPlan),
}

/// An SMTP server.
#[derive(Debug, Clone)]
pub struct SmtpPlan {
    /// Host name, checked against its certificate.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Encryption.
    pub tls: SmtpTls,
    /// User and password, where the server asks for them.
    pub credentials: Option<SmtpCredentials>,
    /// A PEM file of further roots to trust.
    pub ca_file: Option<PathBuf>,
    /// Time for one command.
    pub timeout: Duration,
    /// Time for one message as a whole, waiting for a connection included.
    pub total_timeout: Duration,
    /// Connections at a time.
    pub connections: u32,
}

/// User and password of an SMTP server.
#[derive(Clone)]
pub struct SmtpCredentials {
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for SmtpCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Encryption of an SMTP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// STARTTLS, required.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// None; refused with credentials, and off loopback unless `allow_plaintext` is set.
    None,
}

/// Log and metrics output.
#[derive(Debug, Clone)]
pub struct TelemetryPlan {
    /// A filter of `tracing-subscriber`, such as `info` or `info,chassis_engine=debug`.
    pub filter: String,
    /// Form of log lines.
    pub format: LogFormat,
    /// Lines that may wait for the writer; beyond that, lines are dropped and counted.
    pub queue: u32,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Coloured on a terminal, JSON otherwise.
    Auto,
    /// Coloured text.
    Pretty,
    /// JSON lines.
    Json,
}
