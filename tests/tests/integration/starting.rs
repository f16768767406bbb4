//! What happens to a host while it starts, and to the child that compiles for it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use chassis_tests::{App, Host, HostOptions, Signal, host_binary};
use rustix::process::{Pid, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Far more than anything here takes: only a hang gets there.
const HANG: Duration = Duration::from_secs(60);

/// A host that has nothing compiled yet, in a process group of its own, as a shell would start it.
struct Starting {
    child: Child,
    host: Pid,
    compiler: Pid,
    state: TempDir,
    _app: App,
}

impl Starting {
    /// Waits until it compiles.
    async fn new() -> anyhow::Result<Self> {
        let app = App::shipped()?;
        let state = tempfile::tempdir()?;
        let mut command = Command::new(host_binary()?);
        command.arg("up").arg("--state-dir").arg(state.path().join("state"));
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).current_dir(app.folder()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn()?;
        let host = pid(child.id().context("it runs")?)?;
        let compiler = until("a compiler", || child_of(host)).await?;
        Ok(Self { child, host, compiler, state, _app: app })
    }

    /// What it wrote to stdout and to stderr, and its exit code.
    async fn ended(self) -> anyhow::Result<(Option<i32>, String, String)> {
        let output = tokio::time::timeout(HANG, self.child.wait_with_output()).await.context("it does not end")??;
        until("the compiler to end", || gone(self.compiler)).await?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }
}

fn pid(id: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(id)?).context("no process has the id 0")
}

async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> anyhow::Result<T> {
    for _ in 0..10_000 {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("waited in vain for {what}")
}

/// State and parent of a process (proc(5)): the fields behind its name, which may hold anything.
fn state_and_parent(id: &str) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn child_of(parent: Pid) -> Option<Pid> {
    let ids = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut children = ids.filter(|id| state_and_parent(id).is_some_and(|(_, of)| of == parent.as_raw_nonzero().get()));
    let child = children.next()?;
    // What was started with other words is not compiling yet.
    let words = std::fs::read(format!("/proc/{child}/cmdline")).ok()?;
    words.windows(9).any(|word| word == b"__compile").then(|| Pid::from_raw(child.parse().ok()?)).flatten()
}

fn gone(process: Pid) -> Option<()> {
    match state_and_parent(&process.as_raw_nonzero().to_string()) {
        None | Some(('Z' | 'X', _)) => Some(()),
        Some(_) => None,
    }
}

#[tokio::test]
async fn the_first_signal_ends_a_host_that_starts() -> anyhow::Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let starting = Starting::new().await?;
        kill_process(starting.host, signal)?;
        let state = starting.state.path().join("state");
        let cache = state.join("cache");
        let (host, compiler) = (starting.host, starting.compiler);
        let (code, stdout, stderr) = starting.ended().await?;
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{host:?} {compiler:?}: {stderr}");
        assert!(stderr.contains("stopped by a signal before it was ready"), "{stderr}");
        assert!(stderr.contains("loading components"), "{stderr}");
        assert!(!cache.exists() || std::fs::read_dir(cache)?.count() == 0, "{stderr}");
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_c_in_a_terminal_is_no_fault_of_the_compiler() -> anyhow::Result<()> {
    let starting = Starting::new().await?;
    kill_process_group(starting.host, Signal::INT)?;
    let (code, _, stderr) = starting.ended().await?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("compil"), "{stderr}");
    Ok(())
}

#[tokio::test]
async fn what_ends_the_compiler_is_told_by_its_name() -> anyhow::Result<()> {
    let starting = Starting::new().await?;
    kill_process(starting.compiler, Signal::TERM)?;
    let (code, stdout, stderr) = starting.ended().await?;
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("ended by SIGTERM"), "{stderr}");
    assert!(!stderr.contains("compile_memory"), "{stderr}");
    Ok(())
}

#[tokio::test]
async fn a_killed_host_takes_its_compiler_along() -> anyhow::Result<()> {
    let starting = Starting::new().await?;
    let compiler = starting.compiler;
    // It would never end by itself.
    kill_process(compiler, Signal::STOP)?;
    kill_process(starting.host, Signal::KILL)?;
    let ended = starting.ended().await;
    if ended.is_err() {
        kill_process(compiler, Signal::KILL)?;
    }
    assert_eq!(ended?.0, None, "the host was killed");
    Ok(())
}

/// Starts a host whose cache is this folder, and ends it. What it wrote to its log is answered.
async fn run_with_cache(cache: &Path) -> anyhow::Result<String> {
    let environment = vec![("CHASSIS_ENGINE_CACHE_DIR".to_owned(), cache.display().to_string())];
    let host = Host::start_with(&App::hello()?, HostOptions { environment, ..HostOptions::default() }).await?;
    assert_eq!(host.get("/hello").await?.text().await?, "Hello from a component!\n");
    Ok(host.stop().await?.stderr)
}

#[tokio::test]
async fn what_a_killed_host_left_in_the_cache_is_removed_and_what_another_may_use_is_not() -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let (old, young) = (cache.path().join(".tmpOld"), cache.path().join(".tmpYoung"));
    for folder in [&old, &young] {
        std::fs::create_dir(folder)?;
        std::fs::write(folder.join("in.wasm"), "half")?;
    }
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(86_400);
    std::fs::File::open(&old)?.set_modified(yesterday)?;
    run_with_cache(cache.path()).await?;
    assert!(!old.exists(), "the old one is gone");
    assert!(young.join("in.wasm").exists(), "the young one stays");
    Ok(())
}

#[tokio::test]
async fn compiled_code_that_has_changed_is_not_run() -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let compiled = || -> anyhow::Result<Vec<std::path::PathBuf>> {
        let paths =
            std::fs::read_dir(cache.path())?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "cwasm")).collect())
    };
    let anew = "compiling anew what the cache could not give";
    run_with_cache(cache.path()).await?;
    assert!(!run_with_cache(cache.path()).await?.contains(anew), "what is whole is used");
    let file = compiled()?.pop().context("one component, one file")?;
    let mut code = std::fs::read(&file)?;
    let middle = code.len() / 2;
    code[middle] ^= 1;
    std::fs::write(&file, code)?;
    assert!(run_with_cache(cache.path()).await?.contains(anew), "one bit is enough");
    assert!(!run_with_cache(cache.path()).await?.contains(anew), "and it was replaced");
    assert_eq!(compiled()?.len(), 1);
    Ok(())
}
