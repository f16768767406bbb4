//! The compiling child process: this binary, called by itself.
//!
//! It keeps the compiler's memory out of the host, runs at low priority, bounds its own memory and CPU time before it
//! reads a byte of what it compiles, and ends when the host does.

use std::path::Path;
use std::process::ExitCode;

use rustix::process::{
    Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setpriority_process, setrlimit,
};

/// The hidden first argument that makes the binary compile instead: `ARGUMENT IN OUT MEMORY_BYTES CPU_SECONDS HOST_ID`.
pub const ARGUMENT: &str = "__compile";

/// Exit code of a compiler that understood the file well enough to refuse it.
pub const REFUSED: u8 = 3;

const NICENESS: i32 = 10;

/// Compile one component; `arguments` are those after [`ARGUMENT`].
#[must_use]
pub fn child_main(arguments: &[String]) -> ExitCode {
    let [input, output, memory, seconds, host] = arguments else { return ExitCode::from(2) };
    let (Ok(memory), Ok(seconds), Ok(host)) = (memory.parse(), seconds.parse(), host.parse()) else {
        return ExitCode::from(2);
    };
    match end_with(host)
        .and_then(|()| confine(memory, seconds))
        .map_err(wasmtime::Error::from)
        .and_then(|()| compile(input.as_ref(), output.as_ref()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(REFUSED)
        }
    }
}

/// Let the system end this process when the thread that started it ends. That is the one that starts the host, which
/// lives as long as the host does.
fn end_with(host: i32) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A host that was gone before that would never be missed.
    let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    if parent == host { Ok(()) } else { Err(std::io::Error::other("the host has ended")) }
}

fn confine(memory: u64, seconds: u64) -> std::io::Result<()> {
    let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
    // Not the address space: allocators reserve far more of that than they ever touch.
    setrlimit(Resource::Data, limit(memory))?;
    // At the first of these the system sends SIGXCPU, at the second it kills.
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(1)) })?;
    setrlimit(Resource::Core, limit(0))?;
    setpriority_process(None, NICENESS)?;
    Ok(())
}

fn compile(input: &Path, output: &Path) -> wasmtime::Result<()> {
    let engine = crate::runtime::compiling()?;
    let code = engine.precompile_component(&std::fs::read(input)?)?;
    let mut file = std::fs::File::create_new(output)?;
    std::io::Write::write_all(&mut file, &code)?;
    // It is renamed into the cache next, and must not be found there half-written after a power cut.
    file.sync_all()?;
    Ok(())
}
