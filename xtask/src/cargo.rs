//! Runs other programs in the open: each command line is shown before it starts, and its output passes through.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::workspace::{WASM_TARGET, Workspace};

/// A `cargo` command in the workspace's folder, with the cargo that runs this program.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(&workspace.root).stdin(Stdio::null());
    command
}

/// Shows the command and runs it to its end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        // What a command has of our own environment is nothing to type.
        let inherited = std::env::var_os(name);
        if let Some(value) = value.filter(|value| inherited.as_deref() != Some(value)) {
            let _infallible = write!(line, "{}='{}' ", name.to_string_lossy(), value.to_string_lossy());
        }
    }
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    line.push_str(&program.to_string_lossy());
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&quoted(&argument.to_string_lossy()));
    }
    line
}

/// An argument in quotes, where a shell would otherwise take it apart. `$NAME` still stands for a variable.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    let escaped = argument.chars().fold(String::new(), |text, c| match c {
        '\\' | '"' | '`' => format!("{text}\\{c}"),
        _ => format!("{text}{c}"),
    });
    format!("\"{escaped}\"")
}

/// Adds the target for components when the toolchain lacks it, and says so.
pub(crate) fn ensure_wasm_target(workspace: &Workspace) -> anyhow::Result<()> {
    let output = Command::new("rustc")
        .current_dir(&workspace.root)
        .args(["--print", "target-libdir", "--target", WASM_TARGET])
        .output()
        .context("cannot start `rustc`: is Rust installed? See https://rustup.rs")?;
    let folder = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && std::path::Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    eprintln!("The target {WASM_TARGET} is missing; adding it.");
    run(Command::new("rustup").current_dir(&workspace.root).args(["target", "add", WASM_TARGET])).with_context(|| {
        format!("the target {WASM_TARGET} is needed to build components: add it with `rustup target add {WASM_TARGET}`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new("/somewhere/oha");
        command.env("A", "b c").arg("-H").arg("authorization: Bearer $TOKEN").arg("say \"it\"").arg("http://a/?b=c");
        let expected = r#"A='b c' oha -H "authorization: Bearer $TOKEN" "say \"it\"" "http://a/?b=c""#;
        assert_eq!(shown(&command), expected);
    }
}
