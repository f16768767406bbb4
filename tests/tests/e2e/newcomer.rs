//! A newcomer has a clone, an empty home, and nothing on PATH but cargo, rustup and a C compiler (and curl to ask with).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chassis_tests::checkout;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::readme::{Example, examples, matches};

/// What a newcomer has. `as`, `ld` and `ar` come with a C compiler, the shell, `cat` and `sed` with the system.
const PROGRAMS: &[&str] = &["cargo", "rustc", "rustup", "cc", "as", "ld", "ar", "sh", "cat", "sed", "curl"];
/// Time for the first build, which may have to compile everything.
const BUILD_TIMEOUT: Duration = Duration::from_secs(45 * 60);
/// Time for one command of the session.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a command that only looks is run until it sees what was promised.
const LOOKS_MAX: usize = 50;
/// Time for the host to end.
const END_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_readmes_commands_give_the_readmes_answers() -> anyhow::Result<()> {
    let newcomer = Newcomer::new()?;
    let all = examples(&std::fs::read_to_string(newcomer.clone().join("README.md"))?);
    let (builds, session): (Vec<Example>, Vec<Example>) =
        all.into_iter().partition(|example| example.command.starts_with("cargo xtask"));
    // `cargo xtask test` is what runs this, so that it is not run again from here.
    let commands: Vec<&str> = builds.iter().map(|example| example.command.as_str()).collect();
    assert_eq!(commands, ["cargo xtask up", "cargo xtask test"]);
    assert!(session.len() >= 3, "the README shows a session: {session:#?}");

    let up = builds.first().context("there are two")?;
    let mut host = newcomer.up(&up.command, up.answer.as_deref().unwrap_or_default()).await?;
    let mut terminal = Terminal::open(&newcomer)?;
    for example in &session {
        terminal.try_out(example).await?;
    }
    end(&mut host).await
}

/// A clone, a home and a PATH.
struct Newcomer {
    folder: TempDir,
}

impl Newcomer {
    fn new() -> anyhow::Result<Self> {
        for port in [8000, 8001] {
            std::net::TcpListener::bind(("127.0.0.1", port)).with_context(|| {
                format!("port {port} is taken: end what listens there, the README's commands need it")
            })?;
        }
        let newcomer = Self { folder: tempfile::Builder::new().prefix("newcomer-").tempdir()? };
        std::fs::create_dir(newcomer.home())?;
        std::fs::create_dir(newcomer.programs())?;
        for program in PROGRAMS {
            let found = which(program).with_context(|| format!("`{program}` is not on PATH"))?;
            std::os::unix::fs::symlink(found, newcomer.programs().join(program))?;
        }
        clone_checkout(&newcomer.clone())?;
        Ok(newcomer)
    }

    fn clone(&self) -> PathBuf {
        self.folder.path().join("chassis")
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn programs(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// A shell in the clone. What rustup and cargo have downloaded, and what was compiled from it, is used again: they
    /// hold nothing of this project's.
    fn shell(&self, command: &str) -> anyhow::Result<tokio::process::Command> {
        let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
        let folder_of =
            |name: &str, default: &str| std::env::var_os(name).map_or_else(|| home.join(default), PathBuf::from);
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(3).context("a test runs from cargo's target directory")?.to_path_buf();
        let mut shell = tokio::process::Command::new("/bin/sh");
        shell.args(["-e", "-c", command]).current_dir(self.clone()).env_clear().stdin(Stdio::null());
        shell.env("PATH", self.programs()).env("HOME", self.home());
        shell
            .env("RUSTUP_HOME", folder_of("RUSTUP_HOME", ".rustup"))
            .env("CARGO_HOME", folder_of("CARGO_HOME", ".cargo"));
        shell.env("CARGO_TARGET_DIR", target).kill_on_drop(true);
        Ok(shell)
    }

    /// Starts what keeps running, and waits for the line that the README shows. The shell is replaced by the command,
    /// cargo by xtask and xtask by the host, so that the process that is returned is the host.
    async fn up(&self, command: &str, ready: &str) -> anyhow::Result<Child> {
        let mut child = self.shell(&format!("exec {command}"))?.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let wait = async {
            while let Some(line) = lines.next_line().await? {
                if matches(ready, &line) {
                    return anyhow::Ok(());
                }
            }
            bail!("`{command}` ended without the line «{ready}»")
        };
        tokio::time::timeout(BUILD_TIMEOUT, wait).await.with_context(|| format!("`{command}` takes too long"))??;
        // The rest of its output is read so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(child)
    }
}

/// The other terminal: one shell for all commands, since later ones use the variables of earlier ones.
struct Terminal {
    _shell: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn open(newcomer: &Newcomer) -> anyhow::Result<Self> {
        let mut shell = newcomer.shell("exec /bin/sh")?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = shell.stdin.take().context("stdin is piped")?;
        let output = BufReader::new(shell.stdout.take().context("stdout is piped")?).lines();
        Ok(Self { _shell: shell, input, output })
    }

    /// Runs an example, and compares its answer. One that only looks at something is run again for a while: what it looks
    /// for may need a moment, which a person takes by reading on.
    async fn try_out(&mut self, example: &Example) -> anyhow::Result<()> {
        let Example { command, answer } = example;
        let promised = answer.as_deref().unwrap_or_default();
        let tries = if command.contains("-d '") { 1 } else { LOOKS_MAX };
        let mut answered = String::new();
        for _ in 0..tries {
            answered =
                tokio::time::timeout(COMMAND_TIMEOUT, self.run(command)).await.context("no answer in time")??;
            if matches(promised, &answered) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("{command}\nshould answer\n{promised}\nbut answers\n{answered}")
    }

    /// What a command writes to stdout, up to a line that nothing else would write.
    async fn run(&mut self, command: &str) -> anyhow::Result<String> {
        const END: &str = "--- end of the answer ---";
        self.input.write_all(format!("{command}\nprintf '\\n%s\\n' '{END}'\n").as_bytes()).await?;
        let mut answer = String::new();
        loop {
            let line = self.output.next_line().await?.context("the shell ended")?;
            if line == END {
                return Ok(answer);
            }
            answer.push_str(&line);
            answer.push('\n');
        }
    }
}

/// Ctrl-C, as the README says.
async fn end(host: &mut Child) -> anyhow::Result<()> {
    let id =
        rustix::process::Pid::from_raw(i32::try_from(host.id().context("the host has ended")?)?).context("an id")?;
    rustix::process::kill_process(id, rustix::process::Signal::INT)?;
    let status = tokio::time::timeout(END_TIMEOUT, host.wait()).await.context("the host does not end")??;
    ensure!(status.code() == Some(0), "the host ended with {status}");
    Ok(())
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The checkout as it would be committed: a clone, with what has been changed since then on top.
fn clone_checkout(to: &Path) -> anyhow::Result<()> {
    let from = checkout();
    git(&from, &["clone", "--quiet", "--no-hardlinks", ".", &to.to_string_lossy()])?;
    for name in git(&from, &["ls-files", "--modified", "--others", "--exclude-standard", "-z"])?.split('\0') {
        let (source, copy) = (from.join(name), to.join(name));
        if name.is_empty() {
            continue;
        }
        if !source.exists() {
            std::fs::remove_file(&copy).ok();
            continue;
        }
        std::fs::create_dir_all(copy.parent().context("a file is in a folder")?)?;
        std::fs::copy(&source, &copy).with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(())
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").current_dir(folder).args(arguments).output().context("cannot start `git`")?;
    ensure!(output.status.success(), "git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
