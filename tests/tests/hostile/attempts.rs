//! Attempts of the guest `intruder`, and what the log says of those that are refused.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use chassis_tests::Host;
use reqwest::Method;
use serde_json::{Value, json};

/// What the host refuses, in the words of its log.
pub(crate) mod message {
    pub(crate) const DATABASE: &str = "refused a database that the component does not own";
    pub(crate) const STATEMENT: &str = "refused a statement";
    pub(crate) const ENDLESS: &str = "ended a statement that took too long";
    pub(crate) const STORE: &str = "refused a key-value store that the component does not own";
    pub(crate) const EVENT: &str = "refused to publish an event type that the component was not granted";
    pub(crate) const MAIL: &str = "refused to send mail for a component that was not granted it";
    pub(crate) const SENDER: &str = "refused to send mail from an address that the component was not granted";
    pub(crate) const VARIABLE: &str = "refused a variable that the component was not given";
    pub(crate) const VARIABLE_NAME: &str = "refused a variable by a name that none can have";
    pub(crate) const SECRET: &str = "refused a secret that was asked for as a plain variable";
    pub(crate) const OUTGOING: &str = "refused an outgoing request to a host that the component was not granted";
}

/// One attempt, what its component was told, and what names it in the log.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) told: Value,
    request_id: String,
    trace_id: String,
}

impl Attempt {
    /// Let the component at this path try something. It answers whatever the host says to it.
    pub(crate) async fn make(host: &Host, path: &str, what: &Value) -> anyhow::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let trace_id = format!("{:032x}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let request = host.request(Method::POST, path).json(what);
        let response = request.header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01")).send().await?;
        anyhow::ensure!(response.status().is_success(), "{path}: {}", response.status());
        let request_id = response.headers().get("x-request-id").context("a request id")?.to_str()?.to_owned();
        Ok(Self { told: response.json().await?, request_id, trace_id })
    }

    /// The host's error, empty where there was none.
    pub(crate) fn error(&self) -> &str {
        self.told.get("error").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn succeeded(&self) {
        assert!(self.told.get("ok").is_some(), "{self:?}");
    }

    /// The log has a line of this attempt: which component was refused what, by which name.
    pub(crate) async fn is_logged(
        &self,
        host: &Host,
        component: &str,
        message: &str,
        name: &str,
    ) -> anyhow::Result<()> {
        let line = json!({
            "level": "WARN", "component": component, "request_id": self.request_id, "trace_id": self.trace_id,
            "message": message, "name": name,
        });
        host.await_line(&line).await.map(drop)
    }

    /// The log has no line of this attempt but that of its request.
    pub(crate) async fn is_silent(&self, host: &Host) -> anyhow::Result<()> {
        // Whatever it led to was written before this one.
        let access = json!({ "target": "chassis::access", "request_id": self.request_id });
        host.await_line(&access).await?;
        let log = host.log();
        let others = log.lines().filter(|line| line.contains(&self.request_id) && !line.contains("chassis::access"));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
        Ok(())
    }
}

/// An attempt that is denied, and logged so.
pub(crate) async fn denied(
    host: &Host,
    (component, path): (&str, &str),
    what: &Value,
    (message, name): (&str, &str),
) -> anyhow::Result<()> {
    let attempt = Attempt::make(host, path, what).await?;
    assert!(attempt.error().contains("Denied"), "{path} {what}: {attempt:?}");
    attempt.is_logged(host, component, message, name).await
}
