//! Log lines: one JSON object per line on stdout or stderr, which the host completes with component, request and
//! trace, and limits in number and length. Never put a secret, a token or a password into one.

use std::io::Write as _;

use serde_json::{Value, json};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Somebody must look.
    Error,
    /// Somebody may want to look.
    Warn,
    /// What happened.
    Info,
    /// For whoever looks for a fault.
    Debug,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Write a line; `fields` is a JSON object, such as `json!({"userId": id})`.
pub fn line(level: Level, message: &str, fields: Value) {
    let text = render(level, message, fields);
    // A log that cannot be written is no reason to fail a request.
    let _written = match level {
        Level::Error | Level::Warn => std::io::stderr().lock().write_all(text.as_bytes()),
        Level::Info | Level::Debug => std::io::stdout().lock().write_all(text.as_bytes()),
    };
}

/// [`line()`] at the level error.
pub fn error(message: &str, fields: Value) {
    line(Level::Error, message, fields);
}

/// [`line()`] at the level warn.
pub fn warn(message: &str, fields: Value) {
    line(Level::Warn, message, fields);
}

/// [`line()`] at the level info.
pub fn info(message: &str, fields: Value) {
    line(Level::Info, message, fields);
}

fn render(level: Level, message: &str, fields: Value) -> String {
    let mut text = json!({ "level": level.as_str(), "message": message, "fields": fields }).to_string();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_json() {
        let text = render(Level::Warn, "two\nlines", json!({ "n": 1 }));
        assert_eq!(text.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, json!({ "level": "warn", "message": "two\nlines", "fields": { "n": 1 } }));
    }
}
