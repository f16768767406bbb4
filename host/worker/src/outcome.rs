//! What an answer means for the event: pure decisions.

use std::time::Duration;

use chassis_capabilities::messaging::Outcome;
use chassis_engine::api::DispatchError;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::one_line;

/// Bytes of a handler's words that are kept as a reason.
pub(crate) const WORDS_BYTES_MAX: usize = 512;

/// What follows from a response.
///
/// 2xx: done. 429 and 5xx: again, when the handler wishes it. Other 4xx: never. Anything else is no answer to an event,
/// and is tried again.
pub(crate) fn of_response(status: StatusCode, headers: &HeaderMap, words: &[u8], now: Timestamp) -> Outcome {
    if status.is_success() {
        return Outcome::Ack;
    }
    let words = String::from_utf8_lossy(words);
    let reason = match words.trim() {
        "" => status.to_string(),
        words => format!("{status}: {}", one_line(words, WORDS_BYTES_MAX)),
    };
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        return Outcome::Reject { reason };
    }
    Outcome::Retry { after: retry_after(headers, now), reason }
}

/// What follows where there is no response. What the host could not do uses up no attempt of the handler's.
pub(crate) fn of_error(error: &DispatchError) -> Outcome {
    match error {
        DispatchError::Overloaded { .. }
        | DispatchError::InstanceLost
        | DispatchError::ShuttingDown
        | DispatchError::UnknownComponent(_) => Outcome::HostFailure { reason: error.to_string() },
        DispatchError::DeadlineExceeded(_) => Outcome::Retry { after: None, reason: error.to_string() },
        // The texts are for the log.
        DispatchError::Trapped(_) => Outcome::Retry { after: None, reason: "the component failed".to_owned() },
        DispatchError::BadResponse(_) => {
            Outcome::Retry { after: None, reason: "the component gave no usable response".to_owned() }
        }
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. One that is neither is none.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = Timestamp::try_from(httpdate::parse_http_date(value).ok()?).ok()?;
    // A date that has passed means now.
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: &str = "2025-06-15T12:00:00Z";

    fn of(status: u16, retry_after: Option<&'static str>) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        of_response(StatusCode::from_u16(status).unwrap(), &headers, b" no\nstock ", NOW.parse().unwrap())
    }

    #[test]
    fn the_status_decides() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of(status, Some("5")), Outcome::Ack);
        }
        for status in [429, 500, 502, 503, 504, 599, 301, 304] {
            assert!(matches!(of(status, None), Outcome::Retry { after: None, .. }), "{status}");
        }
        for status in [400, 401, 403, 404, 408, 409, 410, 413, 415, 422, 499] {
            assert!(matches!(of(status, Some("5")), Outcome::Reject { .. }), "{status}");
        }
        assert_eq!(of(422, None), Outcome::Reject { reason: "422 Unprocessable Entity: no stock".to_owned() });
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, after) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 15 Jun 2025 12:01:30 GMT", Some(90)),
            ("Sunday, 15-Jun-25 12:01:30 GMT", Some(90)),
            ("Sun Jun 15 12:01:30 2025", Some(90)),
            ("Sun, 15 Jun 2025 11:00:00 GMT", Some(0)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 15 Jun 2025 12:01:30 PST", None),
        ] {
            let Outcome::Retry { after: found, .. } = of(503, Some(value)) else { panic!("{value}") };
            assert_eq!(found, after.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn only_what_the_handler_did_uses_up_an_attempt() {
        for error in [
            DispatchError::Overloaded { retry_after: Duration::from_secs(1) },
            DispatchError::InstanceLost,
            DispatchError::ShuttingDown,
            DispatchError::UnknownComponent("gone".to_owned()),
        ] {
            assert!(matches!(of_error(&error), Outcome::HostFailure { .. }), "{error}");
        }
        for error in [
            DispatchError::DeadlineExceeded(Duration::from_secs(1)),
            DispatchError::Trapped("at /secret.rs".to_owned()),
            DispatchError::BadResponse("at /secret.rs".to_owned()),
        ] {
            let outcome = of_error(&error);
            let Outcome::Retry { after: None, reason } = outcome else { panic!("{outcome:?}") };
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
