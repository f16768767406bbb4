//! `cargo xtask bench`: what components cost, beside the same code without them.
//!
//! Figures are printed beside their aims and never asserted: a machine that is busy is no fault of the code. What is
//! asserted is that every answer was right. `docs/benchmarks.md` tells what is compared.

mod figures;
mod load;
mod machine;
mod measure;
mod report;
mod server;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use self::load::Load;
use self::machine::Machine;
use self::measure::{Bench, Twins};
use self::report::Report;
use self::server::Client;
use self::stage::Stage;
use crate::cargo::{cargo, run as run_command};
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{components, up};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench                                  everything, in about 15 minutes
  cargo xtask bench --only hello --seconds 3 --runs 1    a first impression
  cargo xtask bench --json figures.json              the same, for programs

The machine should have nothing else to do. A figure that misses its aim is printed as `missed` and is no error; an
answer that is wrong is one, and the exit code says so.")]
pub(crate) struct Arguments {
    /// Measure only this; may be given several times, or as a list with commas.
    #[arg(long, value_enum, value_name = "SUBJECT", value_delimiter = ',')]
    only: Vec<Subject>,
    /// Seconds of one measured run, after 3 seconds of warm-up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Runs of each contender, taken by turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    runs: u8,
    /// Write all figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave the folder of the measurement, so that the printed commands can be given again, and say where it is.
    #[arg(long)]
    keep: bool,
    /// Measure what is built already.
    #[arg(long)]
    no_build: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// A greeting: component against native, fresh instance against reused
    Hello,
    /// Todos read from SQLite with their token check: the same
    Todos,
    /// How long others wait beside endless loops
    Neighbour,
    /// Memory of an idle host
    Memory,
    /// Time from the start of the process to the first answer
    Start,
}

/// Components that are measured, or belong to the shipped application.
const COMPONENTS: [&str; 5] = ["auth", "todos", "notifications", "greeting", "hello"];

/// Builds, starts, measures, tells.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !arguments.no_build {
        build(workspace)?;
    }
    let runs = usize::from(arguments.runs);
    let (load, client) = (Load::find(workspace)?, Client::new());
    let mut report = Report::new(Machine::look(&workspace.root), arguments.seconds, runs);
    eprintln!("Signing somebody up, with a host that compiles its components.");
    let mut stage = Stage::set(workspace, &client)?;
    if arguments.keep {
        let folder = stage.keep()?.display();
        eprintln!("Everything is kept in {folder}; for the printed commands: export TOKEN=\"$(cat {folder}/token)\"");
    }
    let bench = Bench { load, client, stage, time: Duration::from_secs(arguments.seconds), runs };
    measure(&bench, arguments, &mut report)?;
    report.summary();
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(bench: &Bench, arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let wanted = |subject| arguments.only.is_empty() || arguments.only.contains(&subject);
    if wanted(Subject::Hello) || wanted(Subject::Todos) {
        let twins = Twins::start(bench, report)?;
        if wanted(Subject::Hello) {
            bench.hello(&twins, report)?;
        }
        if wanted(Subject::Todos) {
            bench.todos(&twins, report)?;
        }
    }
    if wanted(Subject::Neighbour) {
        bench.neighbour(report)?;
    }
    if wanted(Subject::Memory) {
        bench.memory(report)?;
    }
    if wanted(Subject::Start) {
        bench.start(report)?;
    }
    Ok(())
}

fn build(workspace: &Workspace) -> anyhow::Result<()> {
    let mut steps = Steps::new(2);
    steps
        .run("build components", "cargo xtask build-components", || components::build_named(workspace, &COMPONENTS))?;
    steps.run("build host and native twin", "cargo xtask test --only host", || {
        up::build_host(workspace)?;
        build_baseline(workspace)
    })
}

/// Builds the native twin that components are compared with.
pub(crate) fn build_baseline(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = ["build", "--release", "--locked", "--workspace", "--bin", "chassis-baseline"];
    run_command(cargo(workspace).args(arguments))
}
