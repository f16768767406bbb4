//! A short, stable name for a JSON document.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of a JSON document with sorted keys and without white space, in base64url.
///
/// Two documents that mean the same have the same fingerprint, however they were typed. **Leave secrets out of the
/// document**: a fast hash of a password is as good as the password to whoever reads the database.
pub fn of_json(document: &Value) -> String {
    // The map type of serde_json is sorted unless its feature `preserve_order` is on, so keys are sorted here.
    let mut canonical = String::new();
    write_canonical(document, &mut canonical);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()))
}

/// [`of_json`] of a value as serde writes it.
///
/// # Errors
/// It cannot be written as JSON.
pub fn of<T: serde::Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_value(value).map(|document| of_json(&document))
}

fn write_canonical(document: &Value, out: &mut String) {
    match document {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&document.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_and_white_space_do_not_matter() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2],"d":null}}"#).unwrap();
        let two: Value = serde_json::from_str(r#" { "b" : {"d":null, "c":[1, 2]}, "a":1 } "#).unwrap();
        assert_eq!(of_json(&one), of_json(&two));
    }

    #[test]
    fn every_difference_matters() {
        let all =
            [json!({"a":1}), json!({"a":"1"}), json!({"a":1.5}), json!([1]), json!(1), json!(null), json!({"a":[]})];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(i == j, of_json(a) == of_json(b), "{a} and {b}");
            }
        }
    }
}
