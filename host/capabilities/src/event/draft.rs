//! From what a guest asks to publish to what the host carries: the grant, the bounds, and what only the host may set.

use std::time::Duration;

use chassis_config::plan::EventPattern;
use uuid::Uuid;

use super::{DEFAULT_PRIORITY, Envelope};
use crate::bindings::chassis::platform::types::Event;
use crate::lent::LentView;

const TYPE_BYTES_MAX: usize = 128;
const SUBJECT_BYTES_MAX: usize = 256;
const DEDUP_KEY_BYTES_MAX: usize = 128;
const PRIORITY_MAX: u8 = 9;

/// Why an event is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Denied(String),
    Invalid(String),
    TooLarge(String),
}

/// Whether `event_type` matches a pattern: exact, or a prefix that ends in `.*`.
#[must_use]
pub fn matches(pattern: &EventPattern, event_type: &str) -> bool {
    match pattern.0.strip_suffix('*') {
        Some(prefix) => event_type.len() > prefix.len() && event_type.starts_with(prefix),
        None => pattern.0 == event_type,
    }
}

/// Check an event and give it what only the host may set.
pub(crate) fn seal(view: &LentView, event: Event) -> Result<Envelope, Refusal> {
    check(view, &event)?;
    let now = view.lent.clock.now();
    let delay = event.delay_ms.map(Duration::from_millis).filter(|delay| !delay.is_zero());
    let not_before = delay.map(|delay| now.saturating_add(delay).unwrap_or(jiff::Timestamp::MAX));
    Ok(Envelope {
        id: Uuid::now_v7().to_string(),
        source: format!("/components/{}", view.lent.component),
        event_type: event.event_type,
        subject: event.subject,
        time: now,
        data: event.data,
        not_before,
        priority: event.priority.unwrap_or(DEFAULT_PRIORITY),
        dedup_key: event.dedup_key,
        traceparent: Some(view.caller.traceparent.to_string()).filter(|trace| !trace.is_empty()),
    })
}

fn check(view: &LentView, event: &Event) -> Result<(), Refusal> {
    let kind = &event.event_type;
    if !view.lent.publish.iter().any(|pattern| matches(pattern, kind)) {
        view.refuse("refused to publish an event type that the component was not granted", kind, "");
        return Err(Refusal::Denied(format!("events of type «{kind}»; grant them by `publish` in the manifest")));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if kind.len() > TYPE_BYTES_MAX || !kind.bytes().all(plain) {
        return Err(Refusal::Invalid(format!("an event type is 1 to {TYPE_BYTES_MAX} of A-Z a-z 0-9 . _ -")));
    }
    let policy = &view.lent.messaging_policy;
    if event.data.len() as u64 > policy.event_bytes {
        return Err(Refusal::TooLarge(format!("an event's data is at most {} bytes", policy.event_bytes)));
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(&event.data).is_err() {
        return Err(Refusal::Invalid("an event's data is one JSON document".to_owned()));
    }
    let long = |text: &Option<String>, max: usize| text.as_ref().is_some_and(|text| text.len() > max);
    if long(&event.subject, SUBJECT_BYTES_MAX) || long(&event.dedup_key, DEDUP_KEY_BYTES_MAX) {
        return Err(Refusal::TooLarge(format!(
            "a subject is at most {SUBJECT_BYTES_MAX} bytes, a dedup-key {DEDUP_KEY_BYTES_MAX}"
        )));
    }
    if event.priority.is_some_and(|priority| priority > PRIORITY_MAX) {
        return Err(Refusal::Invalid(format!("a priority is 0 to {PRIORITY_MAX}")));
    }
    if event.delay_ms.is_some_and(|delay| Duration::from_millis(delay) > policy.max_delay) {
        return Err(Refusal::TooLarge(format!("a delay is at most {:?}", policy.max_delay)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_exact_or_a_prefix() {
        let pattern = |text: &str| EventPattern(text.to_owned());
        assert!(matches(&pattern("todo.created"), "todo.created"));
        assert!(!matches(&pattern("todo.created"), "todo.created.v2"));
        assert!(matches(&pattern("todo.*"), "todo.created"));
        assert!(!matches(&pattern("todo.*"), "todo."));
        assert!(!matches(&pattern("todo.*"), "todox.created"));
    }
}
