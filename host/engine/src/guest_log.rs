//! Guest output becomes log lines: with component, request and trace id, cut to a length, limited per second.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use chassis_capabilities::lent::Caller;
use chassis_capabilities::log::{GUEST, LineBudget};
use chassis_config::name::ComponentName;
use tokio::io::AsyncWrite;
use tracing::Level;
use tracing::field::display;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The output of one instance.
#[derive(Debug)]
pub(crate) struct GuestLog {
    component: ComponentName,
    budget: Arc<LineBudget>,
    line_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    caller: Caller,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// One of a guest's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Stdout,
    Stderr,
}

impl GuestLog {
    /// The budget is the component's, and so shared by its instances.
    pub(crate) fn new(component: ComponentName, budget: Arc<LineBudget>, line_bytes: u32) -> Self {
        let inner = Inner { caller: Caller::default(), stdout: Vec::new(), stderr: Vec::new() };
        Self { component, budget, line_bytes: line_bytes.max(1) as usize, inner: Mutex::new(inner) }
    }

    /// Say whose code runs now.
    pub(crate) fn attribute(&self, caller: Option<&Caller>) {
        let mut inner = self.lock();
        match caller {
            Some(caller) if Arc::ptr_eq(&inner.caller.request_id, &caller.request_id) => {}
            Some(caller) => inner.caller = caller.clone(),
            None => inner.caller = Caller::default(),
        }
    }

    /// Whose code runs now.
    pub(crate) fn caller(&self) -> Caller {
        self.lock().caller.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take what the guest wrote; whole lines go out, the rest waits for its end.
    fn write(&self, channel: Channel, bytes: &[u8]) {
        let mut inner = self.lock();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let pending = inner.pending(channel);
            let room = self.line_bytes.saturating_sub(pending.len());
            pending.extend(text.iter().take(room));
            if ended {
                let line = std::mem::take(inner.pending(channel));
                self.emit(&inner.caller, channel, &line);
            }
        }
    }

    fn emit(&self, caller: &Caller, channel: Channel, line: &[u8]) {
        if !self.budget.admits() {
            return;
        }
        let text = String::from_utf8_lossy(line);
        let (component, request_id, trace_id) = (&self.component, &*caller.request_id, caller.trace_id());
        let Line { level, message, fields } = Line::read(&text, channel);
        // JSON, which telemetry puts into its own lines as it is.
        let fields = fields.map(display);
        match level {
            Level::ERROR => tracing::error!(target: GUEST, %component, request_id, trace_id, fields, "{message}"),
            Level::WARN => tracing::warn!(target: GUEST, %component, request_id, trace_id, fields, "{message}"),
            Level::INFO => tracing::info!(target: GUEST, %component, request_id, trace_id, fields, "{message}"),
            _ => tracing::debug!(target: GUEST, %component, request_id, trace_id, fields, "{message}"),
        }
    }
}

/// What a guest's line says.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    level: Level,
    message: Cow<'a, str>,
    /// Further fields, as JSON.
    fields: Option<String>,
}

/// A line in the form that the guest SDK writes: one JSON object.
#[derive(serde::Deserialize)]
struct Structured {
    level: String,
    message: String,
    fields: Option<serde_json::Value>,
}

impl<'a> Line<'a> {
    fn read(text: &'a str, channel: Channel) -> Self {
        let plain = match channel {
            Channel::Stdout => Level::INFO,
            Channel::Stderr => Level::WARN,
        };
        if !text.starts_with('{') {
            return Self { level: plain, message: text.into(), fields: None };
        }
        let Ok(line) = serde_json::from_str::<Structured>(text) else {
            return Self { level: plain, message: text.into(), fields: None };
        };
        let fields = line.fields.filter(|fields| !fields.is_null()).map(|fields| fields.to_string());
        Self { level: line.level.parse().unwrap_or(plain), message: line.message.into(), fields }
    }
}

impl Inner {
    fn pending(&mut self, channel: Channel) -> &mut Vec<u8> {
        match channel {
            Channel::Stdout => &mut self.stdout,
            Channel::Stderr => &mut self.stderr,
        }
    }
}

impl Drop for GuestLog {
    fn drop(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for channel in [Channel::Stdout, Channel::Stderr] {
            let line = std::mem::take(inner.pending(channel));
            if !line.is_empty() {
                self.emit(&inner.caller, channel, &line);
            }
        }
    }
}

/// A stream into the log. Always ready: what is beyond the limits is dropped and counted, never waited for.
#[derive(Debug, Clone)]
pub(crate) struct LogStream {
    pub(crate) log: Arc<GuestLog>,
    pub(crate) channel: Channel,
}

/// Bytes that one write may bring.
const WRITE_BYTES: usize = 64 * 1024;

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.log.write(self.channel, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.log.write(self.channel, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structured_line_keeps_its_level_and_fields() {
        let line = Line::read(r#"{"level":"error","message":"no","fields":{"n":1}}"#, Channel::Stdout);
        assert_eq!(line, Line { level: Level::ERROR, message: "no".into(), fields: Some(r#"{"n":1}"#.to_owned()) });
    }

    #[test]
    fn every_other_line_is_taken_as_it_is() {
        for text in ["plain", "{not json", r#"{"level":"error"}"#] {
            assert_eq!(
                Line::read(text, Channel::Stderr),
                Line { level: Level::WARN, message: text.into(), fields: None }
            );
        }
    }

    #[test]
    fn a_line_is_cut_and_uses_up_the_budget() {
        let component = ComponentName::parse("guest").unwrap();
        let budget = Arc::new(LineBudget::new(component.clone(), 2));
        let log = GuestLog::new(component, budget, 4);
        log.write(Channel::Stdout, b"abcd");
        log.write(Channel::Stdout, b"efgh");
        assert_eq!(log.lock().stdout, b"abcd");
        log.write(Channel::Stdout, b"\nef");
        assert_eq!(log.lock().stdout, b"ef");
        assert!(log.budget.admits(), "one line was written");
        assert!(!log.budget.admits(), "and no more than two a second are");
    }
}
