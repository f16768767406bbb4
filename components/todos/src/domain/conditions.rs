//! `If-None-Match` (RFC 9110, section 13.1.2): whether the caller has the present version already.

use chassis_values::etag;

/// Whether an `If-None-Match` with this value names the version that a row has now. What cannot be read names nothing:
/// the answer is then a whole one, which is never wrong.
pub fn has_present(if_none_match: &str, version: i64) -> bool {
    let present = etag::of_version(version);
    let named = |item: &str| item.strip_prefix("W/").unwrap_or(item) == present;
    let value = if_none_match.trim();
    value == "*" || value.split(',').take(etag::TAGS_MAX).map(str::trim).any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_comparison_over_a_list() {
        for value in ["\"7\"", "W/\"7\"", "*", " * ", "\"1\", \"7\"", "W/\"1\",W/\"7\""] {
            assert!(has_present(value, 7), "{value}");
        }
        for value in ["", "7", "\"8\"", "\"77\"", "\"1\", \"2\"", "w/\"7\"", "\"7"] {
            assert!(!has_present(value, 7), "{value}");
        }
    }

    #[test]
    fn a_long_list_is_read_to_its_bound() {
        let far = format!("{}\"7\"", "\"1\", ".repeat(etag::TAGS_MAX));
        assert!(!has_present(&far, 7));
    }
}
