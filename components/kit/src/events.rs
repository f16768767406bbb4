//! Events: publishing them (as a step of a batch, or alone), and consuming them once.

mod inbox;

use axum::extract::{FromRequest as _, Request};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::inbox::{Applied, Inbox};
use crate::bindings::{messaging, types};
use crate::json::Json;
use crate::problem::{Problem, ProblemType};
use crate::values::violation::{Rule, Violations};

/// Characters of an event's id, type or source at most.
pub const ATTRIBUTE_CHARACTERS_MAX: usize = 512;

/// An event that is to be published. The host adds `id`, `source` and `time`.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    event: types::Event,
}

impl Publication {
    /// An event of this type (such as `todo.created`) about this subject (such as the todo's id), with a JSON object.
    /// Order is promised per subject.
    pub fn new(event_type: &str, subject: &str, data: &Value) -> Self {
        let event = types::Event {
            event_type: event_type.to_owned(),
            subject: Some(subject.to_owned()),
            data: data.to_string(),
            delay_ms: None,
            priority: None,
            dedup_key: None,
        };
        Self { event }
    }

    /// Deliver it no earlier than so many milliseconds from now.
    #[must_use]
    pub fn delayed(mut self, milliseconds: u64) -> Self {
        self.event.delay_ms = Some(milliseconds);
        self
    }

    /// 0 (lowest) to 9 (highest); 4 where nothing is said.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.event.priority = Some(priority);
        self
    }

    /// Publish it once only within 24 hours, however often it is asked for with this key.
    #[must_use]
    pub fn once_per(mut self, key: impl Into<String>) -> Self {
        self.event.dedup_key = Some(key.into());
        self
    }

    pub(crate) fn into_host(self) -> types::Event {
        self.event
    }
}

/// Publish events where no data changes; else make it a step of the batch ([`crate::Batch::publish`]). Answers with
/// their ids once they are durable.
///
/// # Errors
/// `internal` where the component may not publish this type or the event is not valid, `overloaded` where the host
/// takes no more now.
pub async fn publish(events: Vec<Publication>) -> Result<Vec<String>, Problem> {
    let events = events.into_iter().map(Publication::into_host).collect();
    messaging::publish(events).await.map_err(|error| match error {
        messaging::Error::Busy(milliseconds) => {
            let pause = std::time::Duration::from_millis(u64::from(milliseconds));
            Problem::new(ProblemType::Overloaded).retry_after(pause)
        }
        messaging::Error::Denied(why) => Problem::internal(format!("publishing is denied: {why}")),
        messaging::Error::Invalid(why) | messaging::Error::TooLarge(why) | messaging::Error::Internal(why) => {
            Problem::internal(format!("publishing failed: {why}"))
        }
    })
}

/// An event that was delivered: CloudEvents 1.0, JSON, structured mode.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    id: String,
    source: String,
    event_type: String,
    subject: Option<String>,
    time: Option<Timestamp>,
    data: Value,
}

#[derive(Deserialize)]
struct Envelope {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: Option<String>,
    time: Option<Timestamp>,
    #[serde(default)]
    data: Value,
}

impl Event {
    /// Read it from a request.
    ///
    /// # Errors
    /// 4xx where it is no CloudEvent 1.0 with JSON data; the host then puts it to the dead letters.
    pub(crate) async fn from_request(request: Request) -> Result<Self, Problem> {
        let Json(envelope) = Json::<Envelope>::from_request(request, &()).await?;
        Self::check(envelope)
    }

    fn check(envelope: Envelope) -> Result<Self, Problem> {
        let mut all = Violations::new();
        if envelope.specversion != "1.0" {
            all.push("/specversion", Rule::new("unsupported", "must be 1.0"));
        }
        for (pointer, text) in [("/id", &envelope.id), ("/source", &envelope.source), ("/type", &envelope.event_type)] {
            let outcome = crate::values::text::length(text, 1..=ATTRIBUTE_CHARACTERS_MAX);
            all.check(pointer, outcome);
        }
        let Envelope { id, source, event_type, subject, time, data, .. } = envelope;
        Ok(all.finish(Some(Self { id, source, event_type, subject, time, data }))?)
    }

    /// Its id, the same at every redelivery.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who published it: `/components/<name>`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its type, such as `todo.created`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// What it is about.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// When it was published.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// Its data as a type.
    ///
    /// # Errors
    /// `validation`: the data does not fit; trying again does not help.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        T::deserialize(&self.data).map_err(|error| {
            let rule = Rule::new("wrong-type", error.to_string());
            Problem::validation(&Violations::one("/data", rule))
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures::executor::block_on;
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Event, ProblemType> {
        let request = Request::builder()
            .header("content-type", "application/cloudevents+json; charset=utf-8")
            .body(Body::from(body.to_string()))
            .unwrap();
        block_on(Event::from_request(request)).map_err(|problem| problem.kind())
    }

    fn good() -> Value {
        json!({
            "specversion": "1.0", "id": "0197", "source": "/components/auth", "type": "user.registered",
            "subject": "usr_1", "time": "2026-01-02T03:04:05.678Z", "datacontenttype": "application/json",
            "data": { "userId": "usr_1" },
        })
    }

    #[test]
    fn a_cloud_event_is_read() {
        let event = read(&good()).unwrap();
        assert_eq!((event.id(), event.source(), event.event_type()), ("0197", "/components/auth", "user.registered"));
        assert_eq!(event.subject(), Some("usr_1"));
        assert_eq!(event.time().unwrap().to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(event.data::<Value>().unwrap(), json!({ "userId": "usr_1" }));
        assert_eq!(event.data::<Vec<i32>>().unwrap_err().kind(), ProblemType::Validation);
    }

    #[test]
    fn what_is_none_is_refused_for_good() {
        let with = |name: &str, value: Value| {
            let mut event = good();
            event[name] = value;
            event
        };
        let bad = [
            json!({}),
            json!([]),
            with("specversion", "0.3".into()),
            with("id", "".into()),
            with("id", json!(1)),
            with("type", "x".repeat(ATTRIBUTE_CHARACTERS_MAX + 1).into()),
            with("time", "yesterday".into()),
        ];
        for event in bad {
            assert_eq!(read(&event), Err(ProblemType::Validation), "{event}");
        }
    }
}
