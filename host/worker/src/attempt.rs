//! One try to have an event handled, over the component's own HTTP door.

use std::time::Duration;

use chassis_capabilities::clock::Clock;
use chassis_capabilities::messaging::{Delivery, Outcome};
use chassis_engine::api::{Body, Dispatch, Door, RequestMeta};
use http_body_util::BodyExt;
use tokio::time::timeout;
use uuid::Uuid;

use crate::outcome::{WORDS_BYTES_MAX, of_error, of_response};
use crate::{Subscriber, cloudevent, trace};

/// Time beyond the component's deadline after which the worker stops waiting for the engine to enforce it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time for the body of a response.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Bytes of a response's body that are read: a handler that streams may end, and one that never ends is let go.
const BODY_BYTES_MAX: usize = 64 << 10;

/// One try, and its names.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) subscriber: &'a Subscriber,
    pub(crate) delivery: &'a Delivery,
    pub(crate) request_id: String,
    pub(crate) traceparent: String,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(subscriber: &'a Subscriber, delivery: &'a Delivery) -> Self {
        let traceparent = trace::child_of(delivery.event.traceparent.as_deref());
        Self { subscriber, delivery, request_id: Uuid::now_v7().to_string(), traceparent }
    }

    /// Deliver the event; what its handler made of it.
    pub(crate) async fn run(&self, dispatch: &dyn Dispatch, clock: &dyn Clock) -> Outcome {
        let request = match cloudevent::request(&self.delivery.event) {
            Ok(request) => request,
            Err(error) => return Outcome::Reject { reason: format!("the event's data is not JSON: {error}") },
        };
        let meta = RequestMeta {
            request_id: self.request_id.clone(),
            traceparent: self.traceparent.clone(),
            door: Door::Host,
        };
        let Subscriber { component, deadline } = self.subscriber;
        let time = deadline.saturating_add(PATIENCE);
        match timeout(time, dispatch.handle(component, request, meta)).await {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                // The head was the answer; the body is for whoever looks why.
                let mut words = Vec::new();
                let _whole = timeout(BODY_TIME, read(body, &mut words)).await;
                of_response(head.status, &head.headers, &words, clock.now())
            }
            Ok(Err(error)) => {
                let event_id = &self.delivery.event.id;
                tracing::warn!(%component, event_id, request_id = self.request_id, %error, "an event got no response");
                of_error(&error)
            }
            Err(_elapsed) => Outcome::Retry { after: None, reason: format!("no response within {time:?}") },
        }
    }
}

/// Read a body up to a limit, and keep its beginning.
async fn read(mut body: Body, words: &mut Vec<u8>) {
    let mut read = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        read = read.saturating_add(data.len());
        if read > BODY_BYTES_MAX {
            return;
        }
        let room = WORDS_BYTES_MAX.saturating_sub(words.len()).min(data.len());
        words.extend_from_slice(data.get(..room).unwrap_or_default());
    }
}
