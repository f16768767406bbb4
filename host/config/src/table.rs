//! A TOML table that knows which of its keys were asked for.
//!
//! What nobody asked for is unknown, and reported with its place: the code that reads a table is the list of its keys.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostics::{At, Place, Report, did_you_mean};
use crate::source::Source;

/// A table that is being read.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    context: Context<'a>,
    name: String,
    place: Place,
    entries: &'a DeTable<'a>,
    asked: RefCell<BTreeSet<String>>,
}

/// A value that is being read.
#[derive(Debug, Clone)]
pub(crate) struct Value<'a> {
    context: Context<'a>,
    /// Its path in the document, such as `component.auth.source`.
    pub(crate) name: String,
    /// Where the value stands.
    pub(crate) place: Place,
    value: &'a DeValue<'a>,
}

/// The file that is read, and where its errors go.
#[derive(Debug, Clone, Copy)]
struct Context<'a> {
    source: &'a Source,
    report: &'a Report,
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(crate) fn document(source: &'a Source, document: &'a Spanned<DeTable<'a>>, report: &'a Report) -> Self {
        let context = Context { source, report };
        Self::new(context, String::new(), source.place(&(0..0)), document.get_ref())
    }

    fn new(context: Context<'a>, name: String, place: Place, entries: &'a DeTable<'a>) -> Self {
        Self { context, name, place, entries, asked: RefCell::default() }
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Its path in the document, in brackets.
    fn title(&self) -> String {
        if self.name.is_empty() { "the file".to_owned() } else { format!("[{}]", self.name) }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.asked.borrow_mut().insert(key.to_owned());
        let (written, value) = self.entries.get_key_value(key)?;
        Some(self.value(written, value))
    }

    /// Every entry, with its key: for tables whose keys are names. All of them count as asked for.
    pub(crate) fn named(self) -> Vec<(At<String>, Value<'a>)> {
        let entry = |(key, value)| (self.key(key), self.value(key, value));
        self.entries.iter().map(entry).collect()
    }

    /// Whether a key is written. It does not count as asked for.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Report an error.
    pub(crate) fn error(&self, place: &Place, message: impl Into<String>, help: &str) {
        self.context.report.error(place, message, help);
    }

    /// The keys of the table, which are names. They do not count as asked for.
    pub(crate) fn keys(&self) -> Vec<At<String>> {
        self.entries.keys().map(|key| self.key(key)).collect()
    }

    fn key(&self, key: &Spanned<std::borrow::Cow<'_, str>>) -> At<String> {
        At::new(key.get_ref().to_string(), self.context.source.place(&key.span()))
    }

    fn value(&self, key: &Spanned<std::borrow::Cow<'_, str>>, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        let key = key.get_ref();
        let name = if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) };
        let place = self.context.source.place(&value.span());
        Value { context: self.context, name, place, value: value.get_ref() }
    }

    /// The value of a key, which must be there.
    pub(crate) fn required(&self, key: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("`{key}` is missing in {}", self.title());
            self.context.report.error(&self.place, message, "");
        }
        value
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Option<At<String>> {
        self.get(key)?.text()
    }

    /// A truth value; false where it is absent.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(|value| value.flag()).unwrap_or_default()
    }

    /// A list of texts; empty where it is absent.
    pub(crate) fn texts(&self, key: &str) -> Vec<At<String>> {
        self.get(key).map(|value| value.texts()).unwrap_or_default()
    }

    /// A table within.
    pub(crate) fn table(&self, key: &str) -> Option<Table<'a>> {
        self.get(key)?.table()
    }

    /// A table within whose keys are names; empty where it is absent.
    pub(crate) fn names(&self, key: &str) -> Vec<(At<String>, Value<'a>)> {
        self.table(key).map(Table::named).unwrap_or_default()
    }

    /// Take note of a key of Spin's that has no effect here, and why.
    pub(crate) fn ignored(&self, key: &str, why: &str) {
        if let Some(value) = self.get(key) {
            self.context.report.warn(&value.place, format!("`{}` has no effect: {why}", value.name));
        }
    }

    /// Refuse a key of Spin's, saying what to do instead.
    pub(crate) fn refused(&self, key: &str, help: &str) {
        if let Some(value) = self.get(key) {
            self.context.report.error(&value.place, format!("`{}` is not supported", value.name), help);
        }
    }

    /// Report every key that was not asked for.
    pub(crate) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries.iter().filter(|(key, _)| !asked.contains(key.get_ref().as_ref() as &str)) {
            let key = self.key(key);
            let message = format!("unknown key `{}` in {}", key.value, self.title());
            let mut help = did_you_mean(&key.value, asked.iter().map(String::as_str));
            if help.is_empty() && !asked.is_empty() {
                let known: Vec<String> = asked.iter().map(|key| format!("`{key}`")).collect();
                help = format!("known here: {}", known.join(", "));
            }
            self.context.report.error(&key.place, message, help);
        }
    }
}

impl<'a> Value<'a> {
    /// Report that it should have been something else.
    fn mismatch(&self, expected: &str) {
        let found = self.value.type_str();
        self.error(format!("`{}` should be {expected}, but is of type {found}", self.name), "");
    }

    /// Report an error at its place.
    pub(crate) fn error(&self, message: impl Into<String>, help: &str) {
        self.context.report.error(&self.place, message, help);
    }

    /// Take note of something that has no effect.
    pub(crate) fn warn(&self, message: impl std::fmt::Display) {
        self.context.report.warn(&self.place, format!("`{}` {message}", self.name));
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(crate) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(crate) fn text(&self) -> Option<At<String>> {
        let text = self.value.as_str().map(|text| At::new(text.to_owned(), self.place.clone()));
        if text.is_none() {
            self.mismatch("a text in quotes");
        }
        text
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.mismatch("true or false");
        }
        flag
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        let integer = self.value.as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        if integer.is_none() {
            self.mismatch("a whole number");
        }
        integer
    }

    pub(crate) fn table(&self) -> Option<Table<'a>> {
        let table = self.value.as_table();
        if table.is_none() {
            self.mismatch("a table");
        }
        table.map(|entries| Table::new(self.context, self.name.clone(), self.place.clone(), entries))
    }

    pub(crate) fn list(&self) -> Vec<Value<'a>> {
        let Some(list) = self.value.as_array() else {
            self.mismatch("a list");
            return Vec::new();
        };
        let item = |value: &'a Spanned<DeValue<'a>>| Value {
            context: self.context,
            name: self.name.clone(),
            place: self.context.source.place(&value.span()),
            value: value.get_ref(),
        };
        list.iter().map(item).collect()
    }

    pub(crate) fn texts(&self) -> Vec<At<String>> {
        self.list().iter().filter_map(Value::text).collect()
    }

    /// The value as the environment would spell it: settings are read alike from both.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            // Wider than TOML asks for, so that what is too large is out of range, and not no number at all.
            DeValue::Integer(n) => i128::from_str_radix(n.as_str(), n.radix()).ok().map(|integer| integer.to_string()),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.mismatch("a single value");
                None
            }
        }
    }
}
