//! What can be wrong with a configuration, and where.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The order in which the sources are reported: the manifest first.
    rank: u8,
    /// File as it was named, or `environment`, or `command line`.
    pub source: Arc<str>,
    /// Line and column, from 1; none where the source has no lines.
    pub position: Option<(u32, u32)>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty where the message says it.
    pub help: String,
}

/// Everything that is wrong, in the order of the files and of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

/// Something that works, but perhaps not as its author expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// How much it matters.
    pub level: Level,
    /// Where.
    pub place: Place,
    /// What Chassis makes of it.
    pub message: String,
}

/// How much a warning matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know: `chassis check` shows it, `chassis up` does not.
    Note,
    /// Something that was written has no effect here.
    Warning,
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// Collects what is found while reading goes on, so that one run reports everything.
#[derive(Debug, Default)]
pub(crate) struct Report {
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Place {
    pub(crate) fn in_file(rank: u8, source: Arc<str>, position: (u32, u32)) -> Self {
        Self { rank, source, position: Some(position) }
    }

    pub(crate) fn environment(name: &str) -> Self {
        Self { rank: 8, source: format!("environment: {name}").into(), position: None }
    }

    pub(crate) fn command_line(option: &str) -> Self {
        Self { rank: 9, source: format!("command line: {option}").into(), position: None }
    }

    /// A file as a whole.
    pub(crate) fn file(rank: u8, source: Arc<str>) -> Self {
        Self { rank, source, position: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

impl ConfigErrors {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            writeln!(f, "error: {error}")?;
            if !error.help.is_empty() {
                writeln!(f, "       {}", error.help)?;
            }
        }
        match self.0.len() {
            1 => f.write_str("1 error; nothing was started"),
            count => write!(f, "{count} errors; nothing was started"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Note => "note",
            Level::Warning => "warning",
        };
        write!(f, "{level}: {}: {}", self.place, self.message)
    }
}

impl<T> At<T> {
    pub(crate) fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

impl Report {
    /// Record an error; `help` says what to do, and may be empty.
    pub(crate) fn error(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        let error = ConfigError { place: place.clone(), message: message.into(), help: help.into() };
        self.errors.borrow_mut().push(error);
    }

    pub(crate) fn warn(&self, place: &Place, message: impl Into<String>) {
        let warning = Warning { level: Level::Warning, place: place.clone(), message: message.into() };
        self.warnings.borrow_mut().push(warning);
    }

    pub(crate) fn note(&self, place: &Place, message: impl Into<String>) {
        let note = Warning { level: Level::Note, place: place.clone(), message: message.into() };
        self.warnings.borrow_mut().push(note);
    }

    /// The result, where nothing was wrong; else everything that was.
    pub(crate) fn finish<T>(self, result: Option<T>) -> Result<(T, Vec<Warning>), ConfigErrors> {
        let mut errors = self.errors.into_inner();
        let mut warnings = self.warnings.into_inner();
        errors.sort_by(|a, b| a.place.cmp(&b.place));
        errors.dedup();
        warnings.sort_by(|a, b| a.place.cmp(&b.place));
        match result {
            Some(result) if errors.is_empty() => Ok((result, warnings)),
            _ => Err(ConfigErrors(errors)),
        }
    }
}

/// «did you mean `x`?», where one of the candidates is near; else nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let word = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min();
    match near {
        Some((distance, candidate)) if distance <= 1 + candidate.len() / 5 => format!("did you mean `{candidate}`?"),
        _ => String::new(),
    }
}
