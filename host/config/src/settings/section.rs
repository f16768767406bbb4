//! A table of settings, read from the environment first, then from a file, then from its defaults.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Setting;
use crate::diagnostics::{At, Place, Report};
use crate::environment::Environment;
use crate::table::Table;
use crate::units::{format_duration, format_size, parse_duration, parse_size};

/// What all tables of settings have in common.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    environment: &'a Environment,
    report: &'a Report,
    /// Paths in the file are relative to this folder; those of the environment to the working directory.
    folder: &'a Path,
    listed: RefCell<Vec<Setting>>,
}

/// A table of settings.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    context: &'a Context<'a>,
    name: String,
    table: Option<Table<'a>>,
    overridable: Overridable,
}

/// Whether the environment has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overridable {
    ByEnvironment,
    No,
}

/// `CHASSIS_`, the table and the key, in capitals, with `_` for `.` and `-`.
pub(super) fn variable(section: &str, key: &str) -> String {
    let path = if section.is_empty() { key.to_owned() } else { format!("{section}_{key}") };
    format!("CHASSIS_{}", path.replace(['.', '-'], "_").to_uppercase())
}

impl<'a> Context<'a> {
    pub(crate) fn new(environment: &'a Environment, report: &'a Report, folder: &'a Path) -> Self {
        Self { environment, report, folder, listed: RefCell::default() }
    }

    pub(super) fn into_listed(self) -> Vec<Setting> {
        self.listed.into_inner()
    }
}

impl<'a> Section<'a> {
    /// The document itself.
    pub(crate) fn root(table: Option<Table<'a>>, context: &'a Context<'a>) -> Self {
        Self { context, name: String::new(), table, overridable: Overridable::ByEnvironment }
    }

    /// A table of the manifest, in which the environment has no say.
    pub(crate) fn of_manifest(name: &str, table: Option<Table<'a>>, context: &'a Context<'a>) -> Self {
        Self { context, name: name.to_owned(), table, overridable: Overridable::No }
    }

    /// A table within.
    pub(crate) fn child(&self, key: &str) -> Section<'a> {
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        let table = self.table.as_ref().and_then(|table| table.table(key));
        Section { context: self.context, name, table, overridable: self.overridable }
    }

    /// The tables within, by name, where they are written.
    pub(crate) fn names(&self) -> Vec<At<String>> {
        self.table.as_ref().map(Table::keys).unwrap_or_default()
    }

    /// Whether anything is written under its name in the file.
    pub(crate) fn is_written(&self) -> bool {
        self.table.is_some()
    }

    /// Whether a list is written under a key in the file.
    pub(crate) fn is_list(&self, key: &str) -> bool {
        self.table.as_ref().and_then(|table| table.get(key)).is_some_and(|value| value.is_list())
    }

    /// Report every key that is no setting.
    pub(crate) fn finish(self) {
        if let Some(table) = self.table {
            table.finish();
        }
    }

    pub(crate) fn error(&self, key: &str, message: impl Display, help: &str) {
        self.context.report.error(&self.place(key), format!("`{}` {message}", self.full(key)), help);
    }

    /// Where a setting was written, or would be.
    pub(crate) fn place(&self, key: &str) -> Place {
        let from_environment = self.overriding(key).map(|value| value.place);
        let from_file = || self.table.as_ref().and_then(|table| table.get(key)).map(|value| value.place);
        let of_table = || self.table.as_ref().map(|table| table.place().clone());
        from_environment
            .or_else(from_file)
            .or_else(of_table)
            .unwrap_or_else(|| Place::file(crate::load::SETTINGS_RANK, "chassis.toml".into()))
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn overriding(&self, key: &str) -> Option<At<&'a str>> {
        match self.overridable {
            Overridable::ByEnvironment => self.context.environment.get(&variable(&self.name, key)),
            Overridable::No => None,
        }
    }

    fn list(&self, key: &str, default: &str, range: &str) {
        let (section, key, default) = (self.name.clone(), key.to_owned(), default.to_owned());
        self.context.listed.borrow_mut().push(Setting { section, key, default, range: range.to_owned() });
    }

    /// What was written, as text.
    fn written(&self, key: &str) -> Option<At<String>> {
        let in_file = self.table.as_ref().and_then(|table| table.get(key));
        let in_file = in_file.and_then(|value| Some(At::new(value.scalar()?, value.place)));
        match self.overriding(key) {
            Some(value) => Some(At::new(value.value.to_owned(), value.place)),
            None => in_file,
        }
    }

    /// What was written, read by `parse`; nothing where it is absent or wrong, which is reported without the value, since
    /// that may be a secret in the wrong place.
    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.written(key)?.value) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.error(key, format!("cannot be read: {reason}"), "");
                None
            }
        }
    }

    fn in_range<T: PartialOrd>(&self, key: &str, value: T, range: Range<'_, T>) -> Option<T> {
        if range.values.contains(&value) {
            return Some(value);
        }
        self.error(key, format!("is out of range: {}", range.text), "");
        None
    }

    /// A size in bytes.
    pub(crate) fn size(&self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let text = format!("{} to {}", format_size(*range.start()), format_size(*range.end()));
        self.list(key, &format_size(default), &text);
        let found = self.parsed(key, |text| parse_size(text).map_err(|error| error.to_string()));
        let found = found.and_then(|value| self.in_range(key, value, Range { values: range, text: &text }));
        found.unwrap_or(default)
    }

    /// A size in bytes, of a value that is counted in 32 bits.
    pub(crate) fn small_size(&self, key: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        u32::try_from(self.size(key, default.into(), range)).unwrap_or(default)
    }

    /// A duration.
    pub(crate) fn duration(&self, key: &str, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        let text = format!("{} to {}", format_duration(*range.start()), format_duration(*range.end()));
        self.list(key, &format_duration(default), &text);
        let found = self.parsed(key, |text| parse_duration(text).map_err(|error| error.to_string()));
        let found = found.and_then(|value| self.in_range(key, value, Range { values: range, text: &text }));
        found.unwrap_or(default)
    }

    /// A number.
    pub(crate) fn count(&self, key: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.optional_count(key, &default.to_string(), range).unwrap_or(default)
    }

    /// A number whose default depends on something else, which is said in words.
    pub(crate) fn optional_count(&self, key: &str, default: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let text = format!("{} to {}", range.start(), range.end());
        self.list(key, default, &text);
        // Read as a wide number, so that what is too large or negative is out of range, and not no number at all.
        let whole = |text: &str| text.parse::<i128>().ok().ok_or_else(|| "write a whole number".to_owned());
        let found = self.parsed(key, whole)?;
        let values = i128::from(*range.start())..=i128::from(*range.end());
        u32::try_from(self.in_range(key, found, Range { values, text: &text })?).ok()
    }

    /// A truth value, false by default.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.list(key, "false", "true or false");
        let found = self.parsed(key, |text| text.parse().ok().ok_or_else(|| "write true or false".to_owned()));
        found.unwrap_or_default()
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, key: &str, default: &str) -> String {
        self.optional_text(key, default, "text").unwrap_or_else(|| default.to_owned())
    }

    /// A text that is not empty, whose default depends on something else, which is said in words.
    pub(crate) fn optional_text(&self, key: &str, default: &str, range: &str) -> Option<String> {
        self.list(key, default, range);
        let filled = |text: &str| if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) };
        self.parsed(key, filled)
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy + PartialEq>(&self, key: &str, default: T, choices: &[(&str, T)]) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let expected = words.join(", ");
        let usual = choices.iter().find(|(_, value)| *value == default).map(|(word, _)| *word);
        self.list(key, usual.unwrap_or_default(), &expected);
        let find = |text: &str| choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        self.parsed(key, |text| find(text).ok_or_else(|| format!("it is one of {expected}"))).unwrap_or(default)
    }

    /// The address of a listener.
    pub(crate) fn address(&self, key: &str, default: SocketAddr) -> At<SocketAddr> {
        self.list(key, &default.to_string(), "address and port; port 0 picks a free one");
        let parse = |text: &str| {
            let help = "write an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000";
            text.parse().ok().ok_or_else(|| help.to_owned())
        };
        At::new(self.parsed(key, parse).unwrap_or(default), self.place(key))
    }

    /// A path.
    pub(crate) fn path(&self, key: &str, default: &str) -> Option<At<PathBuf>> {
        let path = self.optional_text(key, default, "path, relative to the file that names it")?;
        let of_environment = self.overriding(key).is_some();
        let path = if of_environment { PathBuf::from(path) } else { self.context.folder.join(path) };
        Some(At::new(path, self.place(key)))
    }

    /// A list of texts, empty by default; with commas between them in the environment.
    pub(crate) fn texts(&self, key: &str, range: &str) -> Vec<At<String>> {
        self.list(key, "[]", range);
        let in_file = self.table.as_ref().map(|table| table.texts(key)).unwrap_or_default();
        let Some(value) = self.overriding(key) else {
            return in_file;
        };
        let items = value.value.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| At::new(item.to_owned(), value.place.clone())).collect()
    }
}

/// A range, and how it is written.
struct Range<'a, T> {
    values: RangeInclusive<T>,
    text: &'a str,
}
