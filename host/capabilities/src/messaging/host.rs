//! `chassis:platform/messaging`: checks the grant, and translates.

use std::time::Duration;

use wasmtime::component::Accessor;

use super::MessagingError;
use crate::bindings::chassis::platform::messaging as wit;
use crate::bindings::chassis::platform::types;
use crate::event::{Envelope, Refusal, seal};
use crate::lent::{HasLent, LentView};

/// What a component is told to wait that publishes faster than its events are written.
const WAIT: Duration = Duration::from_millis(100);
/// Bytes of the id of an event: a UUID.
const ID_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

impl types::Host for LentView {}

impl wit::Host for LentView {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn publish(accessor: &Accessor<T, Self>, events: Vec<types::Event>) -> Result<Vec<String>, wit::Error> {
        let view = accessor.with(|mut access| access.get());
        let most = view.lent.messaging_policy.events;
        if events.len() > most as usize {
            return Err(wit::Error::TooLarge(format!("one call publishes at most {most} events")));
        }
        let events = events.into_iter().map(|event| seal(&view, event)).collect::<Result<Vec<Envelope>, _>>()?;
        let ids = events.iter().map(|event| event.id.clone()).collect();
        let bytes = events.iter().map(|event| event.data.len()).sum();
        let events = view.weigh(events, bytes).ok_or_else(|| busy(WAIT))?;
        view.lent.messaging.publish(events).await.map_err(|error| report(&view, error))?;
        Ok(ids)
    }

    async fn cancel(accessor: &Accessor<T, Self>, id: String) -> Result<bool, wit::Error> {
        // A longer one was never given, and would wait in the queue of the store.
        if id.len() > ID_BYTES {
            return Ok(false);
        }
        let view = accessor.with(|mut access| access.get());
        let source = format!("/components/{}", view.lent.component);
        view.lent.messaging.cancel(&id, &source).await.map_err(|error| report(&view, error))
    }
}

fn report(view: &LentView, error: MessagingError) -> wit::Error {
    match error {
        MessagingError::TooLarge(what) => wit::Error::TooLarge(what),
        MessagingError::Busy(wait) => busy(wait),
        MessagingError::QueueFull { queue, wait } => {
            view.refuse("refused events: a queue that they are for is full", &queue, "");
            busy(wait)
        }
        error @ (MessagingError::LeaseLost | MessagingError::Invalid(_) | MessagingError::Internal(_)) => {
            view.fail("messaging failed", "", &error.to_string());
            wit::Error::Internal("messaging failed; the host's log says why".to_owned())
        }
    }
}

fn busy(wait: Duration) -> wit::Error {
    wit::Error::Busy(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))
}

impl From<Refusal> for wit::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(what) => Self::Denied(what),
            Refusal::Invalid(what) => Self::Invalid(what),
            Refusal::TooLarge(what) => Self::TooLarge(what),
        }
    }
}
