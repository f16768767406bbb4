//! Log lines as JSON: `timestamp`, `level`, `target`, `message`, then the fields of the event and of the spans around it,
//! all on one level. A field of an inner span hides that of an outer one, and a field of the event hides both.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write as _};
use std::io::Write;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Bytes of one text in a line; the rest is cut off. A line has at most 32 fields per span.
const TEXT_BYTES_MAX: usize = 8192;

/// Stands where a text was cut off.
const CUT: char = '…';

/// The message among the fields of an event.
const MESSAGE: &str = "message";

/// A field of this name holds JSON, which is put into the line as it is. Cut off, it is no JSON any more, and stays a
/// text.
const STRUCTURE: &str = "fields";

/// Writes each event as one line.
#[derive(Debug)]
pub(crate) struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    pub(crate) const fn new(writer: W) -> Self {
        Self { writer }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.0.iter().map(|(name, value)| (*name, value.clone())));
            }
        }
        event.record(&mut fields);
        let line = Line { timestamp: Timestamp::now(), metadata: event.metadata(), fields: &fields };
        let Ok(mut bytes) = serde_json::to_vec(&line) else { return };
        bytes.push(b'\n');
        // There is nowhere left to tell that a line could not be written.
        let _unwritten = self.writer.make_writer_for(event.metadata()).write_all(&bytes);
    }
}

/// Fields by name.
#[derive(Debug, Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name(), value.into());
    }

    fn set_text(&mut self, field: &Field, Text(text): Text) {
        match field.name() {
            STRUCTURE => self.set(field, serde_json::from_str(&text).unwrap_or(Value::String(text))),
            _ => self.set(field, text),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Text::default();
        // A bounded text takes everything.
        let _always = text.write_str(value);
        self.set_text(field, text);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = Text::default();
        let _always = write!(text, "{value}");
        let mut cause = value.source();
        while let Some(error) = cause {
            let _always = write!(text, ": {error}");
            cause = error.source();
        }
        self.set_text(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Text::default();
        let _always = write!(text, "{value:?}");
        self.set_text(field, text);
    }
}

/// A text that stops growing.
#[derive(Debug, Default)]
struct Text(String);

impl fmt::Write for Text {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let left = TEXT_BYTES_MAX.saturating_sub(self.0.len());
        if piece.len() <= left {
            self.0.push_str(piece);
        } else if !self.0.ends_with(CUT) {
            self.0.push_str(piece.get(..piece.floor_char_boundary(left)).unwrap_or_default());
            self.0.push(CUT);
        }
        Ok(())
    }
}

/// One line, in reading order.
struct Line<'a> {
    timestamp: Timestamp,
    metadata: &'a Metadata<'a>,
    fields: &'a Fields,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &format_args!("{:.6}", self.timestamp))?;
        map.serialize_entry("level", self.metadata.level().as_str())?;
        map.serialize_entry("target", self.metadata.target())?;
        if let Some(message) = self.fields.0.get(MESSAGE) {
            map.serialize_entry(MESSAGE, message)?;
        }
        for (name, value) in &self.fields.0 {
            // Names are chosen in our own code; one that is taken would make two readers see two lines.
            if !matches!(*name, MESSAGE | "timestamp" | "level" | "target") {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing::subscriber::with_default;
    use tracing::{debug, error, field, info, info_span};

    use super::TEXT_BYTES_MAX;
    use crate::lines::{Form, subscriber};
    use crate::written::Written;

    fn lines(filter: &str, act: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let subscriber = subscriber(filter, Form::Json, written.clone()).unwrap();
        with_default(subscriber, act);
        written.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_its_fields_and_those_of_its_spans() {
        let lines = lines("info", || {
            let outer = info_span!("request", request_id = "r1", component = field::Empty, trace_id = "t1").entered();
            outer.record("component", "auth");
            let _inner = info_span!("call", trace_id = "t2").entered();
            info!(target: "somewhere", count = 3, ok = true, ratio = 0.5, level = "taken", request_id = "r2", "said {}", "this");
        });
        let mut line = lines[0].clone();
        let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(timestamp.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        let expected = json!({
            "level": "INFO", "target": "somewhere", "message": "said this", "count": 3, "ok": true, "ratio": 0.5,
            "component": "auth", "request_id": "r2", "trace_id": "t2",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let act = || {
            info!(target: "a", "one");
            debug!(target: "a", "two");
            debug!(target: "b", "three");
        };
        let messages = |filter: &str| -> Vec<String> {
            lines(filter, act).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(messages("info"), ["one"]);
        assert_eq!(messages("info,b=debug"), ["one", "three"]);
        assert_eq!(messages("off"), [""; 0]);
        assert!(subscriber("a=b=c", Form::Json, std::io::sink).is_err());
    }

    #[test]
    fn long_texts_are_cut_and_line_ends_do_not_make_lines() {
        let lines = lines("info", || {
            let long = "é".repeat(TEXT_BYTES_MAX);
            info!(long, debug = ?long, "a\nb\u{1b}[31m");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "a\nb\u{1b}[31m");
        for name in ["long", "debug"] {
            let text = lines[0][name].as_str().unwrap();
            assert!(text.len() <= TEXT_BYTES_MAX + 3 && text.ends_with('…'), "{} bytes", text.len());
        }
    }

    #[test]
    fn structure_stays_structure() {
        let lines = lines("info", || {
            info!(fields = r#"{"kind":"welcome","n":[1,{"a":null}]}"#, other = r#"{"n":1}"#, "one");
            info!(fields = %r#"{"n":1}"#, "two");
            info!(fields = "{no json", "three");
            info!(fields = format!("[\"{}\"]", "x".repeat(TEXT_BYTES_MAX)), "four");
            info!(fields = "[".repeat(1000), "five");
        });
        assert_eq!(lines[0]["fields"], json!({ "kind": "welcome", "n": [1, { "a": null }] }));
        assert_eq!(lines[0]["other"], r#"{"n":1}"#);
        assert_eq!(lines[1]["fields"], json!({ "n": 1 }));
        assert_eq!(lines[2]["fields"], "{no json");
        assert!(lines[3]["fields"].as_str().is_some_and(|text| text.ends_with('…')));
        assert_eq!(lines[4]["fields"], "[".repeat(1000));
    }

    #[test]
    fn errors_are_told_with_their_causes() {
        let lines = lines("info", || {
            let error =
                crate::TelemetryError::from(subscriber("a=b=c", Form::Json, std::io::sink).map(drop).unwrap_err());
            error!(error = &error as &dyn std::error::Error, "no log");
        });
        let text = lines[0]["error"].as_str().unwrap();
        assert!(text.starts_with("cannot set up log lines: the filter «a=b=c» is not like"), "{text}");
    }
}
