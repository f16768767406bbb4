//! The project's automation, in one language and behind one door: `cargo xtask <verb>`.
//!
//! It needs nothing but cargo, rustup and a C compiler. What a person runs and what continuous integration runs is the
//! same `cargo xtask test`.

mod bench;
mod cargo;
mod components;
mod migrations;
mod spin;
mod steps;
mod supply_chain;
mod test;
mod tidy;
mod tools;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, runs and checks Chassis.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
#[command(after_help = "\
Begin with:
  cargo xtask up      build everything and serve it on http://127.0.0.1:8000
  cargo xtask test    run every check, in the order and the way of continuous integration

Everything is built with cargo's profile `release` (optimised, with debug assertions and overflow checks), so that
each dependency is compiled once. A target directory that is given (CARGO_TARGET_DIR) is used and reused.")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the components and the host, then serve the application.
    Up(up::Arguments),
    /// Run all checks; stop at the first that fails.
    Test(test::Arguments),
    /// Measure components against the same code without them.
    Bench(bench::Arguments),
    /// Build the components and the guests for tests, and put each one's migrations into its file.
    BuildComponents(components::Arguments),
    /// Compose the components that the manifest gives dependencies as Spin does, and check that Spin could run them.
    ComposeSpin,
    /// Check the rules of the house: dependency arrows, the rooms of each component, file sizes and the like.
    Tidy,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::load()?;
    match &arguments.verb {
        Verb::Up(arguments) => up::run(&workspace, arguments),
        Verb::Test(arguments) => test::run(&workspace, arguments),
        Verb::Bench(arguments) => bench::run(&workspace, arguments),
        Verb::BuildComponents(arguments) => components::run_chosen(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Verb::ComposeSpin => spin::run(&workspace).map(|()| ExitCode::SUCCESS),
        Verb::Tidy => tidy::run(&workspace.root).map(|()| ExitCode::SUCCESS),
    }
}
