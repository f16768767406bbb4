//! The compiling child process: this binary, called by itself.
//!
//! It keeps the compiler's memory out of the host, runs at low priority, and bounds its own memory and CPU time before
//! it reads a byte of what it compiles.

use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};

/// The hidden first argument that makes the binary compile instead: `ARGUMENT IN OUT MEMORY_BYTES CPU_SECONDS`.
pub const ARGUMENT: &str = "__compile";

/// Exit code of a compiler that understood the file well enough to refuse it.
pub const REFUSED: u8 = 3;

const NICENESS: i32 = 10;

/// Compile one component; `arguments` are those after [`ARGUMENT`].
#[must_use]
pub fn child_main(arguments: &[String]) -> ExitCode {
    let [input, output, memory, seconds] = arguments else { return ExitCode::from(2) };
    let (Ok(memory), Ok(seconds)) = (memory.parse(), seconds.parse()) else { return ExitCode::from(2) };
    match confine(memory, seconds)
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
