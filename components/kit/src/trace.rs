//! The id of the trace that a request belongs to (W3C Trace Context).

use axum::http::HeaderMap;

/// The trace id of a request, if the host gave it a well-formed `traceparent`.
pub fn id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let well_formed = is_hex(version, 2) && version != "ff" && is_hex(trace, 32) && is_hex(parent, 16);
    (well_formed && trace.bytes().any(|b| b != b'0')).then_some(trace)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_ids_are_taken() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", value.parse().unwrap());
            id(&headers).map(str::to_owned)
        };
        let good = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(read(&format!("00-{good}-b7ad6b7169203331-01")).as_deref(), Some(good));
        for bad in ["", "00", "00-x-y-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&format!("ff-{good}-b7ad6b7169203331-01")), None);
        assert_eq!(id(&HeaderMap::new()), None);
    }
}
