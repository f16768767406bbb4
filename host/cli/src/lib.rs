//! What the binary `chassis` does: reads the command line, and wires the rooms of the host together.

mod arguments;
mod check;
mod client;
mod inspect;
mod parts;
mod print;
mod process;
mod routes;
mod signals;
mod state_dir;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

/// Many threads allocate and free for each other here, which mimalloc is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Do what the command line says. 0: done; 1: refused or failed, with the reason on stderr; 2: a wrong command line.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args();
    if words.by_ref().nth(1).as_deref() == Some(chassis_engine::compiler::ARGUMENT) {
        return chassis_engine::compiler::child_main(&words.collect::<Vec<_>>());
    }
    let outcome = match Arguments::parse().command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Routes(arguments) => routes::run(&arguments),
        Command::Ps(arguments) => inspect::ps(&arguments),
        Command::Mail(arguments) => inspect::mail(&arguments),
        Command::Queue(arguments) => inspect::queue(&arguments),
        Command::Token(arguments) => inspect::token(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<print::ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// What is wrong with the configuration says so line by line; everything else is one line.
fn report(error: &anyhow::Error) {
    match error.downcast_ref::<chassis_config::ConfigErrors>() {
        Some(errors) => print::note(errors),
        None => print::note(format_args!("error: {error:#}")),
    }
}
