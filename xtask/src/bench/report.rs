//! What is told of a measurement: text as it goes on, a summary at the end, and all figures as JSON.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::figures::{Figure, Spread};
use super::load::{CONNECTIONS, Run};
use super::machine::Machine;

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    connections: u32,
    seconds: u64,
    runs: usize,
    processes: Vec<Process>,
    trials: Vec<Trial>,
    figures: Vec<Figure>,
}

/// A process that was measured.
#[derive(Debug, Serialize)]
struct Process {
    name: &'static str,
    command: String,
}

/// Contenders that answered the same request.
#[derive(Debug, Serialize)]
pub(crate) struct Trial {
    pub(crate) what: &'static str,
    /// Command lines, to do it again.
    pub(crate) commands: Vec<String>,
    pub(crate) series: Vec<Series>,
}

/// The runs of one contender.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    runs: Vec<Run>,
    /// Microseconds of processor time that the process used for each answer, run by run; none where it did other things,
    /// too.
    processor_us: Vec<f64>,
}

impl Series {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, runs: Vec::new(), processor_us: Vec::new() }
    }

    pub(crate) fn push(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// With the processor time that all the answers took.
    pub(crate) fn push_with_processor(&mut self, run: Run, seconds: f64) {
        self.processor_us.push(seconds * 1e6 / f64::from(run.answers));
        self.runs.push(run);
    }

    pub(crate) fn rates(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.rate).collect()
    }

    pub(crate) fn p99s(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.p99_ms).collect()
    }

    fn p50s(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.p50_ms).collect()
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, seconds: u64, runs: usize) -> Self {
        let (processes, trials, figures) = (Vec::new(), Vec::new(), Vec::new());
        let report = Self { machine, connections: CONNECTIONS, seconds, runs, processes, trials, figures };
        print(&report.head());
        report
    }

    pub(crate) fn process(&mut self, name: &'static str, command: &str) {
        print(&format!("{name}:\n  $ {command}"));
        self.processes.push(Process { name, command: command.to_owned() });
    }

    pub(crate) fn trial(&mut self, trial: Trial) {
        print(&self.table(&trial));
        self.trials.push(trial);
    }

    pub(crate) fn figure(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Every figure beside its aim.
    pub(crate) fn summary(&self) {
        let lines = self.figures.iter().fold(String::new(), |lines, figure| format!("{lines}{figure}\n"));
        let missed = self.figures.iter().filter(|figure| !figure.met).count();
        print(&format!("\n{lines}{} figures, {missed} of them missed their aim.", self.figures.len()));
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write figures as JSON")?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    fn head(&self) -> String {
        let Machine { date, commit, processor, cores, load_before, kernel, profile } = &self.machine;
        format!(
            "{date}, commit {commit}\n{cores} cores of {processor}, Linux {kernel}, load average before: {load_before}\n\
             profile {profile}\n\
             The load generator and what it measures share these cores: rates would be higher from another machine, and \
             ratios are what to look at."
        )
    }

    fn table(&self, trial: &Trial) -> String {
        let Self { connections, seconds, runs, .. } = self;
        let Trial { what, commands, series } = trial;
        let mut text = format!("\n{what}: {connections} connections, {runs} runs of {seconds} s, interleaved\n");
        for command in commands {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "  $ {command}");
        }
        let heads = ["answers/s", "p50 ms", "p99 ms", "processor us each"].map(|head| format!("{head:>24}"));
        let _infallible = writeln!(text, "  {:<24}{}", "", heads.concat());
        for series in series {
            let columns = [
                cell(&series.rates(), 0),
                cell(&series.p50s(), 2),
                cell(&series.p99s(), 2),
                cell(&series.processor_us, 1),
            ];
            let columns = columns.map(|cell| format!("{cell:>24}"));
            let _infallible = writeln!(text, "  {:<24}{}", series.name, columns.concat());
        }
        text.trim_end().to_owned()
    }
}

/// The median, and the range behind it.
fn cell(values: &[f64], digits: usize) -> String {
    match Spread::of(values) {
        Some(Spread { median, least, most }) => format!("{median:.digits$} ({least:.digits$} .. {most:.digits$})"),
        None => "-".to_owned(),
    }
}

#[expect(clippy::print_stdout, reason = "figures are what the command is for")]
fn print(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_every_contender_with_its_median_and_range() {
        let machine = Machine::look(Path::new("."));
        let report = Report::new(machine, 10, 3);
        let run = |rate| Run { rate, p50_ms: 1.0, p99_ms: 2.5, answers: 10 };
        let (mut native, mut other) = (Series::new("native"), Series::new("other"));
        for rate in [300.0, 100.0, 200.0] {
            native.push_with_processor(run(rate), 0.0001);
            other.push(run(rate));
        }
        let series = vec![native, other];
        let table = report.table(&Trial { what: "hello", commands: vec!["oha x".into()], series });
        for part in [
            "hello: 32 connections, 3 runs of 10 s",
            "$ oha x",
            "200 (100 .. 300)",
            "2.50 (2.50 .. 2.50)",
            "10.0 (10.0 ",
        ] {
            assert!(table.contains(part), "{table}");
        }
    }
}
