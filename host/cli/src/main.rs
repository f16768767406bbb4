//! The binary `chassis`.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis_cli::main()
}
