//! What the commands write to their terminal, where a reader may go away and a disk may be full.

use std::fmt;
use std::io::{ErrorKind, Write as _};

use anyhow::Context;

/// Nobody reads stdout any more: `chassis mail 1 | head`. What was asked for was given.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output")
    }
}

impl std::error::Error for ReaderGone {}

/// A line of a command's answer, on stdout.
///
/// # Errors
/// [`ReaderGone`], or what keeps it from being written.
pub(crate) fn line(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("cannot write to stdout"),
    }
}

/// A line for whoever looks on, on stderr. Where it cannot be written, there is nobody to tell.
pub(crate) fn note(text: impl fmt::Display) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
