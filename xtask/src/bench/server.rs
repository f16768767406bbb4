//! The processes that are measured, and a client that looks at their answers.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use ureq::Agent;

use crate::cargo::shown;

/// Time for a process to be ready: at its first start a host compiles its components.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Time for a process to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a process that did not start to say why.
const COMPLAINT_TIME: Duration = Duration::from_secs(2);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Time for one request and its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Fields of an answer that differ between two equal ones.
const DIFFERING: [&str; 2] = ["date", "x-request-id"];

/// A running process. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Its command line, and the folder for it.
    pub(crate) command: String,
    ready: String,
}

impl Server {
    /// Starts a process and waits for its line `ready name=url ...`. What it logs goes nowhere: it is written all the
    /// same, and a file would measure the disk.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let line = shown_with_folder(command);
        let cannot = || format!("cannot start `{line}`");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(cannot)?;
        let stdout = child.stdout.take().context("its stdout is a pipe")?;
        let mut server = Self { child, command: line.clone(), ready: String::new() };
        match first_line(stdout) {
            Ok(ready) => server.ready = ready,
            Err(error) => {
                drop(server);
                return Err(error.context(complaint(command)).context(cannot()));
            }
        }
        Ok(server)
    }

    /// A URL of the ready line.
    pub(crate) fn url(&self, name: &str) -> anyhow::Result<&str> {
        let mut entries = self.ready.split_whitespace().filter_map(|word| word.split_once('='));
        let found = entries.find(|(known, _)| *known == name).map(|(_, url)| url);
        found.with_context(|| format!("no {name} in «{}»", self.ready))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.id())?).context("no process has the id 0")?;
        rustix::process::kill_process(id, Signal::TERM).context("cannot send a signal")?;
        let begin = std::time::Instant::now();
        while begin.elapsed() < END_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "`{}` ended with {status}", self.command);
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        bail!("`{}` does not end", self.command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The command line with the folder that it is to be given in.
fn shown_with_folder(command: &Command) -> String {
    let line = shown(command);
    command.get_current_dir().map_or_else(|| line.clone(), |folder| format!("cd {} && {line}", folder.display()))
}

/// What a command that did not start says when it is tried once more.
fn complaint(command: &mut Command) -> String {
    let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() else { return String::new() };
    std::thread::sleep(COMPLAINT_TIME);
    let _already_ended = child.kill();
    child.wait_with_output().map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default()
}

/// The first line of a pipe; what follows is read and thrown away, so that nobody waits for us.
fn first_line(stdout: ChildStdout) -> anyhow::Result<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        let read = reader.read_line(&mut line).map(|_bytes| line);
        let _nobody_waits = sender.send(read);
        let _ended = std::io::copy(&mut reader.by_ref(), &mut std::io::sink());
    });
    let line = receiver.recv_timeout(START_TIMEOUT).context("it said nothing in time")??;
    if line.starts_with("ready ") { Ok(line) } else { bail!("it ended, or said «{}»", line.trim()) }
}

/// A request that is measured, and how it is sent once to look at its answer.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The path, with its query.
    pub(crate) path: String,
    /// The access token, where the path needs one.
    pub(crate) token: Option<String>,
}

/// An answer without what differs between two equal ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Sends single requests.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
}

impl Client {
    pub(crate) fn new() -> Self {
        let config = Agent::config_builder().timeout_global(Some(REQUEST_TIMEOUT)).http_status_as_error(false);
        Self { agent: config.proxy(None).build().into() }
    }

    /// `GET`, as it is measured.
    pub(crate) fn ask(&self, server: &str, ask: &Ask) -> anyhow::Result<Answer> {
        let url = format!("{server}{}", ask.path);
        let mut request = self.agent.get(&url);
        if let Some(token) = &ask.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().with_context(|| format!("no answer from {url}"))?;
        let named = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut headers: Vec<_> = response.headers().iter().map(named).collect();
        headers.retain(|(name, _)| !DIFFERING.contains(&name.as_str()));
        headers.sort();
        let body = response.body_mut().read_to_string().with_context(|| format!("{url}: the body broke off"))?;
        Ok(Answer { status: response.status().as_u16(), headers, body })
    }

    /// `POST` of a JSON document that is to be answered with this status.
    pub(crate) fn post(&self, url: &str, token: Option<&str>, status: u16, body: &Value) -> anyhow::Result<Value> {
        let mut request = self.agent.post(url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.send_json(body).with_context(|| format!("no answer from {url}"))?;
        let text = response.body_mut().read_to_string().with_context(|| format!("{url}: the body broke off"))?;
        let found = response.status().as_u16();
        anyhow::ensure!(found == status, "{url}: {found} instead of {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{url} is not JSON: {text}"))
    }
}

/// A command with no more of the caller's environment than it needs to start: nothing else changes what is measured.
pub(crate) fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear();
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_tells_its_folder() {
        let mut command = command(Path::new("/somewhere/chassis"), Path::new("/tmp/bench/shipped"));
        assert_eq!(shown_with_folder(command.arg("up")), "cd /tmp/bench/shipped && chassis up");
    }
}
