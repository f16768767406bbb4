//! W3C trace context: a delivery is a child of the request that published its event.

use std::fmt::Write;

/// Flag `sampled`: the log holds what happened.
const SAMPLED: &str = "01";

/// A `traceparent` with a new span: below `parent` where that is well-formed, else of a new trace.
pub(crate) fn child_of(parent: Option<&str>) -> String {
    let span = hex::<8>();
    match parent.and_then(fields) {
        Some((trace, flags)) => format!("00-{trace}-{span}-{flags}"),
        None => format!("00-{}-{span}-{SAMPLED}", hex::<16>()),
    }
}

/// The trace id within a `traceparent`.
pub(crate) fn trace_id(traceparent: &str) -> &str {
    traceparent.get(3..35).unwrap_or_default()
}

/// Trace id and flags of a `traceparent` of version 00, the one that this host writes.
fn fields(parent: &str) -> Option<(&str, &str)> {
    let mut fields = parent.split('-');
    let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let set = |id: &str| id.bytes().any(|byte| byte != b'0');
    let well_formed = version == "00" && hex(trace, 32) && set(trace) && hex(span, 16) && set(span) && hex(flags, 2);
    (well_formed && fields.next().is_none()).then_some((trace, flags))
}

/// Random bytes in hexadecimal, not all zero.
fn hex<const N: usize>() -> String {
    let mut bytes: [u8; N] = rand::random();
    if bytes == [0; N] {
        bytes.fill(1);
    }
    bytes.iter().fold(String::with_capacity(2 * N), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_parent_is_continued_under_a_new_span() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let child = child_of(Some(parent));
        assert_eq!(trace_id(&child), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(child.ends_with("-00") && !child.contains("00f067aa0ba902b7"), "{child}");
        assert!(fields(&child).is_some());
    }

    #[test]
    fn anything_else_begins_a_new_trace() {
        for parent in [
            None,
            Some(""),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
            Some("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
            Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"),
        ] {
            let child = child_of(parent);
            assert!(fields(&child).is_some(), "{child}");
            assert_ne!(trace_id(&child), "4bf92f3577b34da6a3ce929d0e0e4736");
        }
    }
}
