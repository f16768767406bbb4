//! A child process that is killed in the middle of its work. The child is the same test again, told by its
//! environment where to work; what it wants to be remembered it says on its standard output.

#![expect(clippy::expect_used, reason = "a test that meets what it does not expect has failed")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "CHASSIS_TEST_VICTIM_FOLDER";

/// Before each line that is meant for the parent: the test harness prints as well.
const MARK: &str = "#victim ";

/// The folder to work in, where this process is the child.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Say something that holds even if the process dies now.
pub(crate) fn say(what: &str) {
    let line = format!("\n{MARK}{what}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens");
}

/// Start the child of `test`, let it work for `life` from its first word on, and kill it; all that it said.
pub(crate) fn live_and_die(test: &str, folder: &Path, life: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("a test has a path"))
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut said = Vec::new();
    let first = next(&mut output).expect("the child says something before it dies");
    said.push(first);
    let listener = std::thread::spawn(move || {
        while let Some(line) = next(&mut output) {
            said.push(line);
        }
        said
    });
    std::thread::sleep(life);
    // SIGKILL: nothing of the child runs after it.
    child.kill().expect("still alive");
    child.wait().expect("dead");
    listener.join().expect("listened")
}

/// The next whole line of the child; the last one may be torn.
fn next(output: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    loop {
        line.clear();
        output.read_line(&mut line).expect("text");
        let whole = line.strip_suffix('\n')?;
        if let Some(said) = whole.strip_prefix(MARK) {
            return Some(said.to_owned());
        }
    }
}
