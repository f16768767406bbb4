//! The same host with points at which it dies on purpose, and with a disk that fails: for tests, never shipped.

use std::process::ExitCode;

use chassis_capabilities::failpoint;

fn main() -> ExitCode {
    let said = failpoint::VARIABLE.and_then(std::env::var_os).unwrap_or_default();
    if let Err(error) = failpoint::configure(&said.to_string_lossy()) {
        eprintln!("error: {}: {error}", failpoint::VARIABLE.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    chassis_cli::main()
}
