//! A running `chassis up`.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response};
pub use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::{App, failpoints_binary, host_binary};

/// Time for a host to be ready: it compiles its components, perhaps with many others beside it.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for a host to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for one request and its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of the log that are kept, from the beginning.
const LOG_MAX: usize = 8 << 20;

/// Which host.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The one that is shipped.
    #[default]
    Shipped,
    /// The one that is built with the feature `failpoints`.
    Failpoints,
}

/// How to start a host, beside its application.
#[derive(Debug, Default)]
pub struct HostOptions {
    /// Which host.
    pub program: Program,
    /// What a shell does before it becomes the host, such as `ulimit -f 1024`; no shell where nothing is given.
    pub shell: Option<String>,
    /// Where it keeps its state; a fresh folder where none is given.
    pub state_dir: Option<PathBuf>,
    /// Its environment, beside `PATH` and `HOME`.
    pub environment: Vec<(String, String)>,
    /// Further arguments of `chassis up`. A later argument wins over those of the harness.
    pub arguments: Vec<OsString>,
}

/// How a host ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr: log lines and errors.
    pub stderr: String,
}

/// A running host. It is killed when dropped.
#[derive(Debug)]
pub struct Host {
    child: Child,
    gateway: String,
    admin: String,
    state_dir: PathBuf,
    output: Output,
    client: reqwest::Client,
    /// Deletes the folder when the host was given none.
    _fresh_state: Option<TempDir>,
}

impl Host {
    /// Starts a host with a fresh state folder, on free ports, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time; the error holds what it wrote.
    pub async fn start(app: &App) -> anyhow::Result<Self> {
        Self::start_with(app, HostOptions::default()).await
    }

    /// Starts a host in a way of the test's own.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time; the error holds what it wrote.
    pub async fn start_with(app: &App, options: HostOptions) -> anyhow::Result<Self> {
        let (fresh, state_dir) = state_dir(&options)?;
        let mut child = command(app, &options, &state_dir)?.spawn().context("cannot start the host")?;
        let (output, ready) = Output::follow(&mut child)?;
        let line = tokio::select! {
            line = ready => line.ok(),
            () = tokio::time::sleep(START_TIMEOUT) => None,
        };
        let Some((gateway, admin)) = line.as_deref().and_then(addresses) else {
            let _already_ended = child.start_kill();
            let status = child.wait().await?;
            bail!("the host is not ready ({status})\n{}\n{}", output.stdout.text(), output.stderr.text());
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_TIMEOUT)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { child, gateway, admin, state_dir, output, client, _fresh_state: fresh })
    }

    /// Address of the gateway, such as `127.0.0.1:41234`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.gateway.trim_start_matches("http://")
    }

    /// URL of a path of the gateway.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.gateway)
    }

    /// URL of a path of the admin listener.
    #[must_use]
    pub fn admin_url(&self, path: &str) -> String {
        format!("{}{path}", self.admin)
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// A request to the gateway, to be completed and sent by the test.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// `GET` from the gateway.
    ///
    /// # Errors
    ///
    /// If no response comes.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        self.request(Method::GET, path).send().await.with_context(|| format!("GET {path}"))
    }

    /// `POST` of a JSON document to the gateway.
    ///
    /// # Errors
    ///
    /// If no response comes.
    pub async fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Response> {
        self.request(Method::POST, path).json(body).send().await.with_context(|| format!("POST {path}"))
    }

    /// The token that the host made at its first run.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn admin_token(&self) -> anyhow::Result<String> {
        let path = self.state_dir.join("admin-token");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// A request to the admin listener, with the token.
    ///
    /// # Errors
    ///
    /// If there is no token.
    pub fn admin_request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        Ok(self.client.request(method, self.admin_url(path)).bearer_auth(self.admin_token()?))
    }

    /// `GET` of a JSON document from the admin listener.
    ///
    /// # Errors
    ///
    /// If the answer is not a success, or not JSON.
    pub async fn admin_json(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.admin_request(Method::GET, path)?.send().await.with_context(|| format!("GET {path}"))?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "GET {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("GET {path} is not JSON: {text}"))
    }

    /// Waits until a component is as it should be, by what the admin listener says of it.
    ///
    /// # Errors
    ///
    /// If it is not within a minute.
    pub async fn await_component(&self, name: &str, fits: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let components = self.admin_json("/v1/components").await?;
            let items = components.get("items").and_then(Value::as_array).into_iter().flatten();
            let found = items.clone().find(|item| item.get("name").is_some_and(|known| known == name));
            if found.is_some_and(&fits) {
                return Ok(());
            }
            anyhow::ensure!(begin.elapsed() < REQUEST_TIMEOUT, "{name} is still not as it should be: {components}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has written to stderr so far: log lines and errors.
    #[must_use]
    pub fn log(&self) -> String {
        self.output.stderr.text()
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.stdout.text()
    }

    /// Waits until the log holds this text.
    ///
    /// # Errors
    ///
    /// If it does not within ten seconds.
    pub async fn await_log(&self, text: &str) -> anyhow::Result<()> {
        for _ in 0..200 {
            if self.log().contains(text) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the log lacks «{text}»:\n{}", self.log())
    }

    /// Waits until the log holds a JSON line with all these members, and answers with that line.
    ///
    /// # Errors
    ///
    /// If it does not within ten seconds.
    pub async fn await_line(&self, members: &Value) -> anyhow::Result<Value> {
        for _ in 0..1000 {
            if let Some(line) = line_with(&self.log(), members) {
                return Ok(line);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("no line of the log has {members}:\n{}", self.log())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().context("the host has ended")?;
        let id = rustix::process::Pid::from_raw(i32::try_from(id)?).context("no process has the id 0")?;
        rustix::process::kill_process(id, signal).context("cannot send a signal")
    }

    /// Asks it to end (SIGTERM), and waits.
    ///
    /// # Errors
    ///
    /// If it does not end in time.
    pub async fn stop(self) -> anyhow::Result<Ended> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill the host")
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// If it does not end in time.
    pub async fn ended(mut self) -> anyhow::Result<Ended> {
        let status = tokio::time::timeout(END_TIMEOUT, self.child.wait())
            .await
            .with_context(|| format!("the host does not end\n{}", self.log()))??;
        Ok(self.output.ended(status).await)
    }
}

/// Runs a host that is expected to refuse its application, to its end.
///
/// # Errors
///
/// If it cannot be started, or does not end in time.
pub async fn run_to_end(app: &App, options: HostOptions) -> anyhow::Result<Ended> {
    let (_fresh, state_dir) = state_dir(&options)?;
    let mut child = command(app, &options, &state_dir)?.spawn().context("cannot start the host")?;
    let (output, _ready) = Output::follow(&mut child)?;
    let Ok(status) = tokio::time::timeout(END_TIMEOUT, child.wait()).await else {
        child.kill().await?;
        bail!("the host was to refuse, but runs\n{}\n{}", output.stdout.text(), output.stderr.text());
    };
    Ok(output.ended(status?).await)
}

fn state_dir(options: &HostOptions) -> anyhow::Result<(Option<TempDir>, PathBuf)> {
    if let Some(folder) = &options.state_dir {
        return Ok((None, folder.clone()));
    }
    let fresh = tempfile::Builder::new().prefix("chassis-state-").tempdir().context("cannot make a folder")?;
    let path = fresh.path().join("state");
    Ok((Some(fresh), path))
}

fn command(app: &App, options: &HostOptions, state_dir: &Path) -> anyhow::Result<Command> {
    let program = match options.program {
        Program::Shipped => host_binary()?,
        Program::Failpoints => failpoints_binary()?,
    };
    let mut command = match &options.shell {
        None => Command::new(program),
        Some(before) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\"")).arg(program);
            shell
        }
    };
    command.current_dir(app.folder()).env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    // Each test has a state folder of its own; compiling every component for each of them would take most of the time.
    command.env("CHASSIS_ENGINE_CACHE_DIR", crate::release_dir()?.join("chassis-test-cache"));
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    command.arg("up").arg("--manifest").arg(app.path("spin.toml")).arg("--state-dir").arg(state_dir);
    // clap refuses a flag that is given twice, so that the defaults step back where the test has its own.
    for (flag, address) in [("--listen", "127.0.0.1:0"), ("--admin", "127.0.0.1:0")] {
        if !options.arguments.iter().any(|argument| argument == flag) {
            command.args([flag, address]);
        }
    }
    command.args(&options.arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// The first line that is a JSON object with all these members.
fn line_with(log: &str, members: &Value) -> Option<Value> {
    let members = members.as_object()?;
    let fits = |line: &Value| members.iter().all(|(name, value)| line.get(name) == Some(value));
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).find(fits)
}

/// `ready gateway=http://127.0.0.1:8000 admin=http://127.0.0.1:8001`
fn addresses(line: &str) -> Option<(String, String)> {
    let rest = line.strip_prefix("ready ")?;
    let value = |name: &str| rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Some((value("gateway")?.to_owned(), value("admin")?.to_owned()))
}

/// Both streams of a process, read to their ends.
#[derive(Debug)]
struct Output {
    stdout: Lines,
    stderr: Lines,
    readers: Vec<tokio::task::JoinHandle<()>>,
}

impl Output {
    /// Reads both streams; the receiver gets the line that begins with `ready `.
    fn follow(child: &mut Child) -> anyhow::Result<(Self, oneshot::Receiver<String>)> {
        let (sender, ready) = oneshot::channel();
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers = vec![
            tokio::spawn(read(child.stdout.take().context("stdout is piped")?, stdout.clone(), Some(sender))),
            tokio::spawn(read(child.stderr.take().context("stderr is piped")?, stderr.clone(), None)),
        ];
        Ok((Self { stdout, stderr, readers }, ready))
    }

    async fn ended(self, status: ExitStatus) -> Ended {
        for reader in self.readers {
            // A grandchild could hold the stream open: what has come by then is what there is.
            let _late = tokio::time::timeout(Duration::from_secs(5), reader).await;
        }
        Ended { code: status.code(), signal: status.signal(), stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

/// What has been read so far.
#[derive(Debug, Default, Clone)]
struct Lines(Arc<Mutex<String>>);

impl Lines {
    fn push(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() < LOG_MAX {
            text.push_str(line);
            text.push('\n');
        }
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read(stream: impl AsyncRead + Unpin, lines: Lines, mut ready: Option<oneshot::Sender<String>>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        lines.push(text);
        if text.starts_with("ready ")
            && let Some(ready) = ready.take()
        {
            let _nobody_waits = ready.send(text.to_owned());
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_all_members_that_are_asked_for() {
        let log = "no json\n{\"a\":1}\n{\"a\":1,\"b\":\"x\",\"c\":[]}\n";
        let found = |members: Value| line_with(log, &members);
        assert_eq!(found(serde_json::json!({ "a": 1 })), Some(serde_json::json!({ "a": 1 })));
        assert_eq!(
            found(serde_json::json!({ "b": "x", "a": 1 })),
            Some(serde_json::json!({ "a": 1, "b": "x", "c": [] }))
        );
        assert_eq!(found(serde_json::json!({ "a": "1" })), None);
    }

    #[test]
    fn the_ready_line_is_understood() {
        let line = "ready gateway=http://127.0.0.1:1 admin=http://127.0.0.1:2";
        assert_eq!(addresses(line), Some(("http://127.0.0.1:1".into(), "http://127.0.0.1:2".into())));
        assert_eq!(addresses("ready gateway=http://127.0.0.1:1"), None);
        assert_eq!(addresses("listening"), None);
    }
}
