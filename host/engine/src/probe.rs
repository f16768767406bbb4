//! Asks each component for its health in the background, never because a client asked.

use std::sync::Arc;

use bytes::Bytes;
use chassis_config::plan::GatewayPolicy;
use http_body_util::{BodyExt, Empty};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::{Body, Door, Health, RequestMeta};
use crate::call::Directory;
use crate::component::Slot;
use crate::host::dispatch;

const PATH: &str = "/.chassis/health";
/// Bytes of a health document.
const BODY_BYTES: usize = 64 * 1024;

/// Probe all components at the policy's interval until `stopping` is cancelled.
pub(crate) fn start(directory: &Arc<Directory>, policy: &GatewayPolicy, stopping: CancellationToken) {
    for slot in directory.all().values() {
        let (slot, stopping) = (Arc::clone(slot), stopping.clone());
        let (every, limit) = (policy.probe_interval, policy.probe_timeout);
        tokio::spawn(async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
                let Ok(answer) = timeout(limit, ask(&slot)).await.unwrap_or(Ok(UNHEALTHY)) else { continue };
                let checked_at = jiff::Timestamp::now().to_string();
                slot.set_health(Health { healthy: answer.healthy, body: answer.body, checked_at });
            }
        });
    }
}

struct Answer {
    healthy: bool,
    body: Option<serde_json::Value>,
}

const UNHEALTHY: Answer = Answer { healthy: false, body: None };

/// The component does not know the path: it runs, and has nothing to say of itself.
struct NothingToSay;

async fn ask(slot: &Slot) -> Result<Answer, NothingToSay> {
    let mut request = http::Request::new(empty());
    *request.uri_mut() = http::Uri::from_static(PATH);
    let meta =
        RequestMeta { request_id: format!("probe-{}", slot.name()), traceparent: traceparent(), door: Door::Host };
    match dispatch(slot, request, &meta).await {
        Ok(response) if response.status() == http::StatusCode::NOT_FOUND => Err(NothingToSay),
        Ok(response) => {
            let healthy = response.status() == http::StatusCode::OK;
            Ok(Answer { healthy, body: read(response.into_body()).await })
        }
        Err(error) => {
            tracing::warn!(component = %slot.name(), %error, "a health probe failed");
            Ok(UNHEALTHY)
        }
    }
}

/// Each probe is a trace of its own (W3C Trace Context, version 00), which nobody but the log records.
fn traceparent() -> String {
    // An id of zeros is not valid.
    let (trace, span) = (rand::random_range(1..=u128::MAX), rand::random_range(1..=u64::MAX));
    format!("00-{trace:032x}-{span:016x}-00")
}

async fn read(mut body: Body) -> Option<serde_json::Value> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES {
            return None;
        }
        bytes.extend_from_slice(&data);
    }
    serde_json::from_slice(&bytes).ok()
}

fn empty() -> Body {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_has_a_well_formed_trace_of_its_own() {
        let made = traceparent();
        let fields: Vec<&str> = made.split('-').collect();
        assert_eq!(fields.iter().map(|field| field.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{made}");
        assert!(made.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{made}");
        assert_ne!(made, traceparent());
    }
}
