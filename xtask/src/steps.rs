//! Numbered steps with their time, so that a person knows where a long run is.

use std::time::{Duration, Instant};

use anyhow::Context;

/// Counts the steps of one run.
#[derive(Debug)]
pub(crate) struct Steps {
    total: usize,
    done: usize,
    begin: Instant,
}

impl Steps {
    /// A run of `total` steps, which begins now.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0, begin: Instant::now() }
    }

    /// Runs one step: its number and title before, its time after. `alone` is how to run nothing but this step.
    pub(crate) fn run(
        &mut self,
        title: &str,
        alone: &str,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.done += 1;
        let place = format!("[{}/{}] {title}", self.done, self.total);
        eprintln!("\n{place} ...");
        let begin = Instant::now();
        work().with_context(|| {
            format!("{place} failed after {}; run it alone with `{alone}`", spoken(begin.elapsed()))
        })?;
        eprintln!("{place} ... {}", spoken(begin.elapsed()));
        Ok(())
    }

    /// Time since the run began, for the closing line.
    pub(crate) fn elapsed(&self) -> String {
        spoken(self.begin.elapsed())
    }
}

/// `0.4 s`, `41 s`, `12 min 5 s`.
fn spoken(time: Duration) -> String {
    match time.as_secs() {
        0..=9 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..=119 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(spoken(Duration::from_millis(420)), "0.4 s");
        assert_eq!(spoken(Duration::from_millis(41_700)), "41 s");
        assert_eq!(spoken(Duration::from_secs(725)), "12 min 5 s");
    }

    #[test]
    fn a_failed_step_says_which_it_was() {
        let mut steps = Steps::new(2);
        steps.run("first", "x 1", || Ok(())).unwrap();
        let error = steps.run("second", "x 2", || anyhow::bail!("why")).unwrap_err();
        assert!(format!("{error:#}").starts_with("[2/2] second failed after "), "{error:#}");
        assert!(format!("{error:#}").ends_with("; run it alone with `x 2`: why"), "{error:#}");
    }
}
