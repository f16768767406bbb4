//! An event as a request: CloudEvents 1.0, JSON format, structured mode.

use bytes::Bytes;
use chassis_capabilities::event::Envelope;
use chassis_engine::api::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::IgnoredAny;

const PATH: &str = "/.chassis/events";
const MEDIA_TYPE: &str = "application/cloudevents+json";

/// Everything but `data`. The names are those of the specification.
#[derive(Debug, Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: Timestamp,
    datacontenttype: &'static str,
    /// The extension «distributed tracing»: the request that published the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

/// The request that hands an event to a component.
///
/// # Errors
/// Where the event's data is not JSON.
pub(crate) fn request(event: &Envelope) -> Result<Request<Body>, serde_json::Error> {
    let body = document(event)?;
    let length = HeaderValue::from(body.len());
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(PATH);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    request.headers_mut().insert(CONTENT_LENGTH, length);
    Ok(request)
}

/// The data is put in as it was written, so that numbers keep all their digits.
fn document(event: &Envelope) -> Result<Vec<u8>, serde_json::Error> {
    let _is_json: IgnoredAny = serde_json::from_str(&event.data)?;
    let mut document = serde_json::to_vec(&CloudEvent {
        specversion: "1.0",
        id: &event.id,
        source: &event.source,
        event_type: &event.event_type,
        subject: event.subject.as_deref(),
        time: event.time,
        datacontenttype: "application/json",
        traceparent: event.traceparent.as_deref(),
    })?;
    // Back into the object, which has members already.
    document.pop();
    document.extend_from_slice(b",\"data\":");
    document.extend_from_slice(event.data.as_bytes());
    document.push(b'}');
    Ok(document)
}
