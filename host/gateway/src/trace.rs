//! W3C trace context: which trace a request belongs to.

use std::fmt::Write;

use http::HeaderMap;
use http::header::HeaderName;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Flag `sampled`: the access log holds what happened.
const SAMPLED: u8 = 1;

/// The trace of a request, with an id for the part of it that the gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The `traceparent` for whoever is called next, version 00.
    pub(crate) traceparent: String,
    /// Whether the caller's own trace is continued; if not, its `tracestate` means nothing.
    pub(crate) continued: bool,
}

impl Trace {
    /// The trace that a request's headers name, where they name one in a well-formed way; else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let parent = match (values.next(), values.next()) {
            (Some(only), None) => parse(only.as_bytes()),
            _ => None,
        };
        let continued = parent.is_some();
        let (trace_id, flags) = parent.unwrap_or_else(|| (hex::<16>(), SAMPLED));
        let span_id = hex::<8>();
        Self { traceparent: format!("00-{trace_id}-{span_id}-{flags:02x}"), continued }
    }

    /// The trace id: 32 hexadecimal digits.
    pub(crate) fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }
}

/// Trace id and flags of a `traceparent`. A version beyond 00 may have more fields behind the four, which are ignored.
fn parse(value: &[u8]) -> Option<(String, u8)> {
    let text = std::str::from_utf8(value).ok()?;
    let known = text.get(..LENGTH)?;
    let mut fields = known.split('-');
    let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let sizes = [(version, 2), (trace_id, 32), (span_id, 16), (flags, 2)];
    let well_formed = sizes.iter().all(|(field, size)| field.len() == *size && is_lower_hex(field));
    let tail = text.get(LENGTH..)?;
    let tail_fits = tail.is_empty() || (version != "00" && tail.starts_with('-'));
    let set = |id: &str| id.bytes().any(|byte| byte != b'0');
    if !well_formed || !tail_fits || version == "ff" || !set(trace_id) || !set(span_id) {
        return None;
    }
    // Only the flags that version 00 knows are handed on.
    let flags = u8::from_str_radix(flags, 16).ok()? & SAMPLED;
    Some((trace_id.to_owned(), flags))
}

fn is_lower_hex(field: &str) -> bool {
    field.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// Random bytes that are not all zero, in hexadecimal.
fn hex<const N: usize>() -> String {
    let mut bytes: [u8; N] = rand::random();
    if let [first, rest @ ..] = bytes.as_mut_slice()
        && *first == 0
        && rest.iter().all(|byte| *byte == 0)
    {
        *first = 1;
    }
    bytes.iter().fold(String::with_capacity(2 * N), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{TRACEPARENT, Trace};

    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(values: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Trace::of(&headers)
    }

    #[test]
    fn a_well_formed_parent_is_continued_under_a_new_span() {
        for (value, flags) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "01"),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "00"),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", "01"),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "01"),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", "01"),
        ] {
            let trace = of(&[value]);
            assert!(trace.continued, "{value}");
            assert_eq!(trace.trace_id(), TRACE_ID);
            assert!(
                trace.traceparent.starts_with("00-") && trace.traceparent.ends_with(flags),
                "{}",
                trace.traceparent
            );
            assert!(!trace.traceparent.contains("00f067aa0ba902b7"));
        }
    }

    #[test]
    fn anything_else_begins_a_new_trace() {
        for values in [
            &[][..],
            &[""],
            &["00"],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
            &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"],
            &["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"],
            &["00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b70-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g"],
            &["00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"],
            &[
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ],
        ] {
            let trace = of(values);
            assert!(!trace.continued, "{values:?}");
            assert_ne!(trace.trace_id(), TRACE_ID);
            assert_eq!(of(&[&trace.traceparent]).trace_id(), trace.trace_id(), "what is made is itself well-formed");
        }
    }
}
