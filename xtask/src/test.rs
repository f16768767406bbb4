//! `cargo xtask test`: every check, cheap ones first, stopping at the first that fails.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::cargo::{cargo, ensure_wasm_target, run as run_command};
use crate::steps::Steps;
use crate::workspace::{WASM_TARGET, Workspace};
use crate::{bench, components, spin, supply_chain, tidy, up};

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run these steps alone, in their usual order. `unit`, `integration` and `e2e` need what `components` and `host` build.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STEP,...")]
    only: Vec<Step>,
}

/// The checks, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Formatting (`cargo fmt --check`)
    Fmt,
    /// Rules of the house (`cargo xtask tidy`)
    Tidy,
    /// Clippy on everything native; warnings are errors
    Clippy,
    /// Clippy on components and guests for wasm32-wasip2; warnings are errors
    ClippyWasm,
    /// Documentation builds without a warning
    Doc,
    /// Licences, sources and doubled versions of dependencies (cargo-deny)
    Deny,
    /// Build components and guests, with their migrations inside
    Components,
    /// What Spin composes: only interfaces of Spin's are imported, and one HTTP handler is exported
    Spin,
    /// Build the host, the one that dies on purpose, and the native twin that components are compared with
    Host,
    /// Unit tests and the contract suites of the capabilities
    Unit,
    /// Whole host, real components, plain HTTP: integration and conformance
    Integration,
    /// The README's commands in a fresh checkout, with an empty home
    E2e,
}

impl Step {
    fn title(self) -> &'static str {
        match self {
            Self::Fmt => "formatting",
            Self::Tidy => "rules of the house",
            Self::Clippy => "clippy (native)",
            Self::ClippyWasm => "clippy (wasm32-wasip2)",
            Self::Doc => "documentation",
            Self::Deny => "dependencies (cargo-deny)",
            Self::Components => "build components",
            Self::Spin => "composition for Spin",
            Self::Host => "build host",
            Self::Unit => "unit tests and contract suites",
            Self::Integration => "integration and conformance tests",
            Self::E2e => "end-to-end tests",
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        match self {
            Self::Fmt => run_command(cargo(workspace).args(["fmt", "--all", "--check"])),
            Self::Tidy => tidy::run(&workspace.root),
            Self::Clippy => clippy(workspace),
            Self::ClippyWasm => clippy_wasm(workspace),
            Self::Doc => documentation(workspace),
            Self::Deny => supply_chain::run(workspace),
            Self::Components => components::run(workspace),
            Self::Spin => spin::run(workspace),
            Self::Host => hosts(workspace),
            Self::Unit => unit(workspace),
            Self::Integration => suites(workspace, |suite| suite != E2E),
            Self::E2e => suites(workspace, |suite| suite == E2E),
        }
    }
}

/// Runs the steps that are asked for.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let chosen: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| arguments.only.is_empty() || arguments.only.contains(step))
        .collect();
    let mut steps = Steps::new(chosen.len());
    for step in &chosen {
        let alone = format!("cargo xtask test --only {}", step.name());
        steps.run(step.title(), &alone, || step.run(workspace))?;
    }
    eprintln!("\nAll {} steps passed in {}.", chosen.len(), steps.elapsed());
    Ok(ExitCode::SUCCESS)
}

/// What only hosts with failpoints have is looked at as well.
fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    for features in [&[][..], &FAILPOINTS] {
        let mut command = cargo(workspace);
        command.args(["clippy", "--release", "--locked", "--workspace", "--all-targets"]).args(features);
        run_command(command.args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// How a host is built that dies on purpose. It stands beside the one that is shipped, under a name of its own.
const FAILPOINTS: [&str; 2] = ["--features", "chassis/failpoints"];

fn hosts(workspace: &Workspace) -> anyhow::Result<()> {
    up::build_host(workspace)?;
    let mut command = cargo(workspace);
    command.args(["build", "--release", "--locked", "--workspace", "--bin", "chassis-failpoints"]);
    run_command(command.args(FAILPOINTS))?;
    bench::build_baseline(workspace)
}

fn clippy_wasm(workspace: &Workspace) -> anyhow::Result<()> {
    ensure_wasm_target(workspace)?;
    let mut command = cargo(workspace);
    command.args(["clippy", "--release", "--locked", "--target", WASM_TARGET]);
    for component in &workspace.components {
        command.args(["--package", &component.name]);
    }
    run_command(command.args(["--", "-D", "warnings"]))
}

fn documentation(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = cargo(workspace);
    run_command(command.env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--release",
        "--locked",
        "--workspace",
        "--no-deps",
    ]))
}

/// The suite that builds a checkout of its own.
const E2E: &str = "e2e";

/// Every command that builds natively selects the whole workspace and then names its targets: another selection would
/// switch on other features of shared dependencies, and wasmtime would be compiled once for each.
fn workspace_tests(workspace: &Workspace) -> std::process::Command {
    let mut command = cargo(workspace);
    command.args(["test", "--release", "--locked", "--workspace"]);
    command
}

fn unit(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = workspace_tests(workspace);
    command.args(["--lib", "--bins"]);
    for name in &workspace.contract_tests {
        command.args(["--test", name]);
    }
    run_command(&mut command)
}

/// Suites start real hosts, each with ports and a state folder of its own, so they may run beside each other; on a
/// small machine a handful at a time keeps their time limits honest.
fn suites(workspace: &Workspace, chosen: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let mut command = workspace_tests(workspace);
    for name in workspace.suites.iter().filter(|name| chosen(name)) {
        command.args(["--test", name]);
    }
    run_command(command.args(["--", "--test-threads", "4"]))
}
