//! From a `.wasm` file to compiled code on disk: read, digest, check what it is, compile in a child process, cache.
//!
//! The cache is content-addressed: a file is written once, renamed into place and never changed, because it is mapped. Its
//! name tells what it was compiled from, for which machine, and the digest of what it holds, which is checked whenever it
//! is loaded: what is in it is executed.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use chassis_capabilities::trusted_folder::{self, FolderError};
use chassis_config::plan::EngineLimits;
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compiler;

/// A `.wasm` file, read and known to be a component by its preamble.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Where it was read.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: bytes::Bytes,
    /// SHA-256 of the bytes, in hexadecimal.
    pub digest: String,
}

/// Why a file is not a component that can run.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than `engine.component_bytes`.
    #[error("{path}: {bytes} bytes are more than engine.component_bytes ({limit})", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is not WebAssembly.
    #[error("{path}: not a WebAssembly file", path = path.display())]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// The file is a core module.
    #[error("{path}: a core module, not a component: build it with `cargo build --target wasm32-wasip2`", path = path.display())]
    CoreModule {
        /// The file.
        path: PathBuf,
    },
    /// The file is cut off, or its sections are broken otherwise.
    #[error("{path}: not a whole component: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The compiler refused it.
    #[error("{path}: does not compile: {reason}", path = path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// What the compiler said.
        reason: String,
    },
    /// The compiler was stopped at a limit.
    #[error("{path}: compiling it took more than {limit}", path = path.display())]
    CompileLimit {
        /// The file.
        path: PathBuf,
        /// Which limit.
        limit: String,
    },
    /// Something else ended the compiler.
    #[error("{path}: the compiler was ended by {by}: {said}", path = path.display())]
    CompileEnded {
        /// The file.
        path: PathBuf,
        /// The signal, or the exit code.
        by: String,
        /// What it had said by then.
        said: String,
    },
    /// The cache cannot be written or read.
    #[error("the cache of compiled components at {path}: {reason}", path = path.display())]
    Cache {
        /// The file in the cache.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What the standard library says before it aborts for want of memory.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// Signals that end a process, by name.
const SIGNALS: [(Signal, &str); 12] = [
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::HUP, "SIGHUP"),
    (Signal::ILL, "SIGILL"),
    (Signal::INT, "SIGINT"),
    (Signal::KILL, "SIGKILL, as the system does where memory runs out"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::SYS, "SIGSYS"),
    (Signal::TERM, "SIGTERM"),
    (Signal::XCPU, "SIGXCPU"),
];

/// Compiling children leave a folder of such a name behind where the host is killed under them.
const UNFINISHED: &str = ".tmp";
/// Bytes of compiled code that are digested at a time.
const PIECE: usize = 256 << 10;

const MAGIC: &[u8] = b"\0asm";
/// Version and layer of a component, after the magic number (component model, Binary.md).
const COMPONENT_LAYER: &[u8] = &[0x0d, 0x00, 0x01, 0x00];

impl Artifact {
    /// Read a file and check its preamble.
    ///
    /// # Errors
    /// Where it cannot be read, is too large, or is no component.
    pub async fn read(path: &Path, limits: &EngineLimits) -> Result<Self, ArtifactError> {
        let read = |source| ArtifactError::Read { path: path.to_owned(), source };
        let file = tokio::fs::File::open(path).await.map_err(read)?;
        let bytes = file.metadata().await.map_err(read)?.len();
        if bytes > limits.component_bytes {
            return Err(ArtifactError::TooLarge { path: path.to_owned(), bytes, limit: limits.component_bytes });
        }
        let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.take(limits.component_bytes).read_to_end(&mut content).await.map_err(read)?;
        match content.strip_prefix(MAGIC) {
            None => return Err(ArtifactError::NotWasm { path: path.to_owned() }),
            Some(rest) if rest.starts_with(COMPONENT_LAYER) => {}
            Some(_) => return Err(ArtifactError::CoreModule { path: path.to_owned() }),
        }
        let digest = hex(&Sha256::digest(&content));
        Ok(Self { path: path.to_owned(), bytes: content.into(), digest })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The folder of compiled components.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
    compiler: PathBuf,
    limits: EngineLimits,
}

impl Cache {
    /// `compiler` is the program that answers to [`compiler::ARGUMENT`]: this binary. What hosts that were killed left in
    /// the folder is removed beside what is done next.
    ///
    /// # Errors
    /// Where others may write to the folder: what is in it is executed.
    pub(crate) fn open(folder: PathBuf, compiler: PathBuf, limits: EngineLimits) -> Result<Self, FolderError> {
        trusted_folder::open(&folder)?;
        let cache = Self { folder, compiler, limits };
        // Another host may share the folder: what is younger than its compiler may live could be in use.
        let (folder, age) = (cache.folder.clone(), cache.compile_time().saturating_mul(2));
        tokio::task::spawn_blocking(move || remove_unfinished(&folder, age));
        Ok(cache)
    }

    /// CPU time is bounded in the child; a child that does not even compute is bounded by this.
    fn compile_time(&self) -> Duration {
        self.limits.compile_timeout.saturating_mul(4)
    }

    pub(crate) fn limits(&self) -> &EngineLimits {
        &self.limits
    }

    /// The compiled component: from the cache, or compiled now.
    pub(crate) async fn load(&self, engine: &Engine, artifact: &Artifact) -> Result<Component, ArtifactError> {
        let stem = format!("{}-{}-", artifact.digest, compatibility(engine));
        if let Some(path) = self.find(&stem).await {
            match load(engine, &path).await {
                Ok(component) => return Ok(component),
                // Another host that shares the cache may have tidied it away, or a disk may have spoiled it.
                Err(reason) => {
                    tracing::warn!(path = %path.display(), reason, "compiling anew what the cache could not give");
                    // Where it stays, it is found and refused again, and what is compiled now replaces it.
                    drop(tokio::fs::remove_file(&path).await);
                }
            }
        }
        let path = self.compile(artifact, &stem).await?;
        self.evict(&path).await;
        load(engine, &path).await.map_err(|reason| ArtifactError::Cache { path, reason })
    }

    /// The file whose name begins with `stem`.
    async fn find(&self, stem: &str) -> Option<PathBuf> {
        let mut entries = tokio::fs::read_dir(&self.folder).await.ok()?;
        while let Some(entry) = entries.next_entry().await.ok()? {
            let name = entry.file_name();
            if name.to_str().and_then(|name| name.strip_prefix(stem)).is_some_and(|rest| rest.ends_with(".cwasm")) {
                return Some(entry.path());
            }
        }
        None
    }

    /// Compile in a child process, and answer with the file in the cache: `stem` and the digest of what it holds.
    async fn compile(&self, artifact: &Artifact, stem: &str) -> Result<PathBuf, ArtifactError> {
        let cache = |error: &dyn std::fmt::Display| ArtifactError::Cache {
            path: self.folder.clone(),
            reason: error.to_string(),
        };
        let folder = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.folder);
        let folder = folder.map_err(|error| cache(&error))?;
        let (input, output) = (folder.path().join("in.wasm"), folder.path().join("out.cwasm"));
        tokio::fs::write(&input, &artifact.bytes).await.map_err(|error| cache(&error))?;
        let child = Command::new(&self.compiler)
            .arg(compiler::ARGUMENT)
            .arg(&input)
            .arg(&output)
            .arg(self.limits.compile_memory.to_string())
            .arg(self.limits.compile_timeout.as_secs().max(1).to_string())
            .arg(std::process::id().to_string())
            // Memory that an allocator only reserves is not to count for its limit.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            // Ctrl-C in a terminal is for the host, which ends the child where it means to.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cache(&error))?;
        let wall = self.compile_time();
        let Ok(finished) = tokio::time::timeout(wall, child.wait_with_output()).await else {
            return Err(self.limit(artifact, format!("four times engine.compile_timeout ({wall:?} in all)")));
        };
        let finished = finished.map_err(|error| cache(&error))?;
        if !finished.status.success() {
            return Err(self.refusal(artifact, &finished));
        }
        let digest = digest(&output).await.map_err(|error| cache(&error))?;
        let target = self.folder.join(format!("{stem}{digest}.cwasm"));
        tokio::fs::rename(&output, &target).await.map_err(|error| cache(&error))?;
        Ok(target)
    }

    fn limit(&self, artifact: &Artifact, limit: String) -> ArtifactError {
        ArtifactError::CompileLimit { path: artifact.path.clone(), limit }
    }

    fn refusal(&self, artifact: &Artifact, finished: &std::process::Output) -> ArtifactError {
        let said = String::from_utf8_lossy(&finished.stderr);
        if finished.status.code() == Some(compiler::REFUSED.into()) {
            return ArtifactError::Compile { path: artifact.path.clone(), reason: said.trim().to_owned() };
        }
        let signal = finished.status.signal();
        if signal == Some(Signal::XCPU.as_raw()) {
            let time = self.limits.compile_timeout;
            return self.limit(artifact, format!("engine.compile_timeout ({time:?} of CPU time)"));
        }
        if signal == Some(Signal::ABORT.as_raw()) && said.contains(OUT_OF_MEMORY) {
            return self.limit(artifact, format!("engine.compile_memory ({} bytes)", self.limits.compile_memory));
        }
        let by = signal.map_or_else(|| finished.status.to_string(), signal_name);
        ArtifactError::CompileEnded { path: artifact.path.clone(), by, said: said.trim().to_owned() }
    }

    /// Remove the files that were not used for longest, until the rest fits. What is mapped stays mapped.
    async fn evict(&self, keep: &Path) {
        let (folder, keep, limit) = (self.folder.clone(), keep.to_owned(), self.limits.cache_bytes);
        let evicted = tokio::task::spawn_blocking(move || evict(&folder, &keep, limit)).await;
        if let Ok(Err(error)) = evicted {
            tracing::warn!(%error, "could not tidy the cache of compiled components");
        }
    }
}

/// Names everything beside the bytes that the compiled code depends on: wasmtime's version, its settings, this CPU.
fn compatibility(engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn signal_name(signal: i32) -> String {
    let named = SIGNALS.iter().find(|(known, _)| known.as_raw() == signal);
    named.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

async fn digest(path: &Path) -> std::io::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || digest_file(&path)).await.map_err(std::io::Error::other)?
}

fn digest_file(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece)?;
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
            return Ok(hex(&hasher.finalize()));
        };
        hasher.update(piece);
    }
}

async fn load(engine: &Engine, path: &Path) -> Result<Component, String> {
    let (engine, path) = (engine.clone(), path.to_owned());
    let loaded = tokio::task::spawn_blocking(move || load_file(&engine, &path)).await;
    loaded.map_err(|error| error.to_string()).and_then(|loaded| loaded.map_err(|error| format!("{error:#}")))
}

#[expect(unsafe_code, reason = "compiled code can only be loaded on trust")]
fn load_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    let named = path.file_stem().and_then(|stem| stem.to_str()?.rsplit('-').next());
    wasmtime::ensure!(named == Some(digest_file(path)?.as_str()), "it does not hold what its name says");
    // A file that was used counts as young when the cache is tidied; if that fails it is only compiled again one day.
    let now = SystemTime::now();
    drop(std::fs::File::options().append(true).open(path).and_then(|file| file.set_modified(now)));
    // SAFETY: the file was written by our own compiling child into a folder of the host's, and renamed into place under a
    // name made of its content, which it still has; it is never written again, so the mapping does not change.
    let component = unsafe { Component::deserialize_file(engine, path) }?;
    component.initialize_copy_on_write_image()?;
    Ok(component)
}

/// Remove the folders of compilers that ended with their host, and so long ago that none of another host is meant.
fn remove_unfinished(folder: &Path, age: Duration) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Ok(metadata) = entry.metadata() else { continue };
        let old = metadata.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|elapsed| elapsed > age);
        if metadata.is_dir() && old && name.to_string_lossy().starts_with(UNFINISHED) {
            match std::fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!(path = %entry.path().display(), "removed what a killed host left behind"),
                Err(error) => tracing::warn!(path = %entry.path().display(), %error, "cannot be removed"),
            }
        }
    }
}

fn evict(folder: &Path, keep: &Path, limit: u64) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() && entry.path() != keep {
            let age = metadata.modified()?.elapsed().unwrap_or(Duration::ZERO);
            files.push((age, metadata.len(), entry.path()));
        }
    }
    files.sort();
    let mut total = std::fs::metadata(keep)?.len();
    for (_, bytes, path) in files {
        total = total.saturating_add(bytes);
        if total > limit {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
