//! What the rest of the host sees of the engine. No wasmtime type appears here.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chassis_config::name::ComponentName;
use http_body_util::combinators::UnsyncBoxBody;
use serde::Serialize;

/// Why a body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A streamed body, in either direction.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// What the host knows of a request beside its HTTP head.
#[derive(Debug, Clone)]
pub struct RequestMeta {
    /// Names the request in log lines and errors.
    pub request_id: String,
    /// W3C `traceparent`, well-formed. The engine hands it to the guest and to whatever the guest calls.
    pub traceparent: String,
    /// Which door the request came through.
    pub door: Door,
}

impl RequestMeta {
    /// The trace id within `traceparent`.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }
}

/// Which door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// From outside, through the gateway: private paths are not served.
    Public,
    /// From the host itself (events, cron ticks, probes): carries the component's delivery token.
    Host,
}

/// Why a request got no response from its component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// No such component. 404.
    #[error("no component «{0}»")]
    UnknownComponent(String),
    /// Its queue or the host's instances are full. 503 with `Retry-After`.
    #[error("overloaded, try again in {retry_after:?}")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// No response head within the component's deadline. 504.
    #[error("no response within {0:?}")]
    DeadlineExceeded(Duration),
    /// The request made its instance trap. 500 `component-failed`. The text is for the log only.
    #[error("the component failed: {0}")]
    Trapped(String),
    /// Another request made the instance trap that this one ran in. 503 `instance-lost`, `Retry-After: 0`.
    #[error("the instance was lost")]
    InstanceLost,
    /// The component answered with an error instead of a response, or an unusable response. 502 `bad-response`. For the log only.
    #[error("the component gave no response: {0}")]
    BadResponse(String),
    /// The host is shutting down. 503.
    #[error("shutting down")]
    ShuttingDown,
}

/// The state of one component.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Its name.
    pub name: ComponentName,
    /// SHA-256 of the `.wasm` file that serves, in hexadecimal.
    pub digest: String,
    /// The typed interfaces that it offers.
    pub provides: Vec<String>,
    /// Instances that live.
    pub instances: u32,
    /// Requests that run.
    pub running: u32,
    /// Requests that wait.
    pub waiting: u32,
    /// Instances that trapped since start.
    pub traps: u64,
    /// The lane that new requests take.
    pub lane: Lane,
    /// The answer of its last health probe, if there was one.
    pub health: Option<Health>,
}

/// Where guests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Lane {
    /// Components in good standing.
    Fast,
    /// Those that burn CPU without waiting: threads of their own, at low priority.
    Slow,
}

/// A component's health, as its last background probe found it (`GET /.chassis/health`).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Whether it answered 200 in time.
    pub healthy: bool,
    /// The JSON body that it answered with, or none.
    pub body: Option<serde_json::Value>,
    /// When it was asked, RFC 3339.
    pub checked_at: String,
}

/// Hands requests to components.
#[async_trait]
pub trait Dispatch: Debug + Send + Sync {
    /// Hand one request to a component. Answers with the response head; bodies stream. Dropping the future, or the
    /// response, lets go of the request.
    async fn handle(
        &self,
        component: &ComponentName,
        request: http::Request<Body>,
        meta: RequestMeta,
    ) -> Result<http::Response<Body>, DispatchError>;

    /// The state of every component, by name.
    fn components(&self) -> Vec<ComponentStatus>;
}
