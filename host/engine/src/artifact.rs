//! From a `.wasm` file to compiled code on disk: read, digest, check what it is, compile in a child process, cache.
//!
//! The cache is content-addressed: a file is written once, renamed into place and never changed, because it is mapped.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use chassis_config::plan::EngineLimits;
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
    /// The cache cannot be written or read.
    #[error("the cache of compiled components at {path}: {reason}", path = path.display())]
    Cache {
        /// The file in the cache.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

const SIGXCPU: i32 = rustix::process::Signal::XCPU.as_raw();
const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();

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
    /// `compiler` is the program that answers to [`compiler::ARGUMENT`]: this binary.
    pub(crate) fn new(folder: PathBuf, compiler: PathBuf, limits: EngineLimits) -> Self {
        Self { folder, compiler, limits }
    }

    pub(crate) fn limits(&self) -> &EngineLimits {
        &self.limits
    }

    /// The compiled component: from the cache, or compiled now.
    pub(crate) async fn load(&self, engine: &Engine, artifact: &Artifact) -> Result<Component, ArtifactError> {
        let path = self.folder.join(format!("{}-{}.cwasm", artifact.digest, compatibility(engine)));
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            match load(engine, &path).await {
                Ok(component) => return Ok(component),
                // Another host that shares the cache may have tidied it away, or a disk may have spoiled it.
                Err(reason) => {
                    tracing::warn!(path = %path.display(), reason, "compiling anew what the cache could not give")
                }
            }
        }
        self.compile(artifact, &path).await?;
        self.evict(&path).await;
        load(engine, &path).await.map_err(|reason| ArtifactError::Cache { path, reason })
    }

    async fn compile(&self, artifact: &Artifact, target: &Path) -> Result<(), ArtifactError> {
        let cache =
            |error: &dyn std::fmt::Display| ArtifactError::Cache { path: target.to_owned(), reason: error.to_string() };
        tokio::fs::create_dir_all(&self.folder).await.map_err(|error| cache(&error))?;
        let folder = tempfile::tempdir_in(&self.folder).map_err(|error| cache(&error))?;
        let (input, output) = (folder.path().join("in.wasm"), folder.path().join("out.cwasm"));
        tokio::fs::write(&input, &artifact.bytes).await.map_err(|error| cache(&error))?;
        let child = Command::new(&self.compiler)
            .arg(compiler::ARGUMENT)
            .arg(&input)
            .arg(&output)
            .arg(self.limits.compile_memory.to_string())
            .arg(self.limits.compile_timeout.as_secs().max(1).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cache(&error))?;
        // CPU time is bounded in the child; a child that does not even compute is bounded here.
        let wall = self.limits.compile_timeout.saturating_mul(4);
        let Ok(finished) = tokio::time::timeout(wall, child.wait_with_output()).await else {
            return Err(self.limit(artifact, format!("{wall:?}")));
        };
        let finished = finished.map_err(|error| cache(&error))?;
        if !finished.status.success() {
            return Err(self.refusal(artifact, &finished));
        }
        tokio::fs::rename(&output, target).await.map_err(|error| cache(&error))
    }

    fn limit(&self, artifact: &Artifact, limit: String) -> ArtifactError {
        ArtifactError::CompileLimit { path: artifact.path.clone(), limit }
    }

    fn refusal(&self, artifact: &Artifact, finished: &std::process::Output) -> ArtifactError {
        let said = String::from_utf8_lossy(&finished.stderr);
        if finished.status.code() == Some(compiler::REFUSED.into()) {
            return ArtifactError::Compile { path: artifact.path.clone(), reason: said.trim().to_owned() };
        }
        // SIGXCPU and SIGKILL come at the end of its time; an allocation that fails aborts.
        let (memory, time) = (self.limits.compile_memory, self.limits.compile_timeout);
        self.limit(
            artifact,
            match finished.status.signal() {
                Some(SIGXCPU | SIGKILL) => format!("engine.compile_timeout ({time:?} of CPU time)"),
                _ => format!("engine.compile_memory ({memory} bytes)"),
            },
        )
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

async fn load(engine: &Engine, path: &Path) -> Result<Component, String> {
    let (engine, path) = (engine.clone(), path.to_owned());
    let loaded = tokio::task::spawn_blocking(move || load_file(&engine, &path)).await;
    loaded.map_err(|error| error.to_string()).and_then(|loaded| loaded.map_err(|error| format!("{error:#}")))
}

#[expect(unsafe_code, reason = "compiled code can only be loaded on trust")]
fn load_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // A file that was used counts as young when the cache is tidied; if that fails it is only compiled again one day.
    let now = SystemTime::now();
    drop(std::fs::File::options().append(true).open(path).and_then(|file| file.set_modified(now)));
    // SAFETY: the file was written by our own compiling child into a folder of the host's, under a name made of its
    // content, and renamed into place; it is never written again, so the mapping does not change.
    let component = unsafe { Component::deserialize_file(engine, path) }?;
    component.initialize_copy_on_write_image()?;
    Ok(component)
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
