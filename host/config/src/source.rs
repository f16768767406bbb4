//! Texts of configuration files, and the places in them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use crate::diagnostics::{Place, Report};

/// Bytes of a configuration file at most.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The text of one file.
#[derive(Debug)]
pub(crate) struct Source {
    rank: u8,
    name: Arc<str>,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Read a file, and report it under the name that its user gave. `rank` orders the reports of several files. Answers
    /// with nothing, and reports why, where it cannot be read.
    pub(crate) fn read(path: &Path, name: &Path, rank: u8, report: &Report) -> Option<Self> {
        let name: Arc<str> = name.to_string_lossy().into();
        let fail = |reason: String| {
            report.error(&Place::file(rank, name.clone()), reason, "correct the path, or make the file readable")
        };
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                fail(format!("has {} bytes; a configuration file has at most {FILE_BYTES_MAX}", metadata.len()));
                return None;
            }
            Ok(_) => {}
            Err(error) => {
                fail(format!("cannot be read: {error}"));
                return None;
            }
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Some(Self::new(name, rank, text)),
            Err(error) => {
                fail(format!("cannot be read as UTF-8 text: {error}"));
                None
            }
        }
    }

    fn new(name: Arc<str>, rank: u8, text: String) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        Self { rank, name, text, line_starts }
    }

    /// The document, or nothing where its syntax is wrong, which is reported.
    pub(crate) fn parse(&self, report: &Report) -> Option<Spanned<DeTable<'_>>> {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        for error in &errors {
            let place = self.place(&error.span().unwrap_or(0..0));
            report.error(&place, format!("not TOML: {}", error.message().replace('\n', ", ")), "");
        }
        errors.is_empty().then_some(document)
    }

    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        let line_start = line.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
        let before = self.text.get(line_start..span.start).unwrap_or_default();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Place::in_file(self.rank, self.name.clone(), (number(line), number(before.chars().count() + 1)))
    }
}
