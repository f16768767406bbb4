//! Where log lines go and what they look like.

use std::io::Write;

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::json::JsonLines;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Coloured text, for people.
    Pretty,
    /// One JSON object, for programs.
    Json,
}

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the filter «{filter}» is not like `info` or `info,chassis_engine=debug`")]
pub struct FilterError {
    filter: String,
    source: ParseError,
}

/// A writer that never waits while so many `lines` wait for it, the count of lines that it dropped, and a guard that writes what waits when it is dropped.
pub(crate) fn writer(output: impl Write + Send + 'static, lines: usize) -> (NonBlocking, ErrorCounter, WorkerGuard) {
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(lines).thread_name("chassis-log").finish(output);
    let dropped = writer.error_counter();
    (writer, dropped, guard)
}

/// A subscriber that writes what passes the filter.
pub(crate) fn subscriber<W>(filter: &str, form: Form, writer: W) -> Result<impl Subscriber + Send + Sync, FilterError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let parsed = EnvFilter::builder().parse(filter);
    let filter = parsed.map_err(|source| FilterError { filter: filter.to_owned(), source })?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match form {
        Form::Pretty => fmt::layer().with_ansi(true).with_writer(writer).boxed(),
        Form::Json => JsonLines::new(writer).boxed(),
    };
    Ok(Registry::default().with(lines.with_filter(filter)))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, Instant};

    use tracing::info;
    use tracing::subscriber::with_default;

    use crate::written::Written;

    use super::{Form, subscriber, writer};

    /// A reader that takes nothing until it is let go.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _released = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_delays_nobody_and_dropped_lines_are_counted() {
        let (release, stuck) = channel();
        let waiting = 1000;
        let (writer, dropped, guard) = writer(Stuck(stuck), waiting);
        let subscriber = subscriber("info", Form::Json, writer).unwrap();
        let started = Instant::now();
        let surplus = 100;
        with_default(subscriber, || (0..waiting + surplus).for_each(|number| info!(number, "line")));
        assert!(started.elapsed() < Duration::from_secs(10));
        // The thread that writes may hold one line beyond those that wait.
        let dropped = dropped.dropped_lines();
        assert!((surplus - 2..=surplus).contains(&dropped), "{dropped}");
        drop(release);
        drop(guard);
    }

    #[test]
    fn people_get_colours() {
        let written = Written::default();
        let subscriber = subscriber("info", Form::Pretty, written.clone()).unwrap();
        with_default(subscriber, || info!(answer = 42, "hello \u{1b}[2J"));
        let text = written.text();
        assert!(text.contains("\u{1b}[") && text.contains("hello") && text.contains("42"), "{text:?}");
        assert!(!text.contains("\u{1b}[2J"), "what is logged cannot steer the terminal: {text:?}");
    }
}
