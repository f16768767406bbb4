//! The file of tokens: `tokens.json` in the state folder, readable by its owner alone, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::token::{self, Role, Secret, Token, TokenSummary};

/// Holds the secret of the first token.
const ADMIN_TOKEN: &str = "admin-token";
const TOKENS: &str = "tokens.json";
const FORMAT: u32 = 1;

/// Tokens that one host knows.
const TOKENS_MAX: usize = 256;

/// Bits of a file's mode by which others than its owner could read or write it.
const OTHERS: u32 = 0o077;

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("cannot {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others than the owner can read or write the file.
    #[error("{0} can be read by others: run `chmod 600` on it, and revoke the tokens if others may have seen it")]
    Exposed(PathBuf),
    /// The file is not what this host writes.
    #[error("{path} is not a file of tokens: put it right, or remove it to begin anew")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it is not.
        source: serde_json::Error,
    },
    /// The file was written by another version.
    #[error("{path} has format {found}, this host knows {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The name is none.
    #[error("a token's name is kebab-case, of at most 64 bytes")]
    Name,
    /// The name is taken.
    #[error("there is a token of that name")]
    Taken,
    /// There are as many tokens as may be.
    #[error("there are {TOKENS_MAX} tokens: revoke one first")]
    Full,
    /// Nobody could make tokens any more.
    #[error("this is the last token that can make others: make another one first")]
    Last,
    /// The work was cut off by the end of the process.
    #[error("the host is shutting down")]
    Ending,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    tokens: Vec<Token>,
}

/// Who may call.
#[derive(Debug)]
pub struct TokenStore {
    folder: PathBuf,
    /// What the file says. Replaced as a whole, so that whoever panics leaves it whole.
    known: Arc<RwLock<Arc<[Token]>>>,
    /// Held while the file is replaced.
    writing: Arc<Mutex<()>>,
}

impl TokenStore {
    /// Read the tokens in a state folder. At first run make one of role `admin` and write its secret to `admin-token`.
    ///
    /// # Errors
    /// Where the file cannot be read, is exposed to other users, or is none of ours.
    pub async fn open(state_dir: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let folder = state_dir.to_owned();
        let tokens = blocking(move || read_or_begin(&folder, now)).await?;
        Ok(Self { folder: state_dir.to_owned(), known: Arc::new(RwLock::new(tokens.into())), writing: Arc::default() })
    }

    /// Every token, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<TokenSummary> {
        self.known().iter().map(|token| token.summary.clone()).collect()
    }

    /// The token that a secret belongs to.
    pub(crate) fn find(&self, secret: &Secret) -> Option<TokenSummary> {
        token::find(&self.known(), secret).map(|token| token.summary.clone())
    }

    /// Make a token. Its secret is known to the caller alone.
    pub(crate) async fn create(
        &self,
        name: &str,
        role: Role,
        now: Timestamp,
    ) -> Result<(TokenSummary, Secret), StoreError> {
        let alone = Arc::clone(&self.writing).lock_owned().await;
        let known = self.known();
        if !token::is_name(name) {
            return Err(StoreError::Name);
        }
        if known.iter().any(|token| token.summary.name == name) {
            return Err(StoreError::Taken);
        }
        if known.len() >= TOKENS_MAX {
            return Err(StoreError::Full);
        }
        let secret = Secret::make();
        let token = make(name, role, &secret, now);
        let summary = token.summary.clone();
        self.replace(known.iter().cloned().chain([token]).collect(), alone).await?;
        Ok((summary, secret))
    }

    /// Take a token back. None: unknown.
    pub(crate) async fn revoke(&self, id: &str) -> Result<Option<TokenSummary>, StoreError> {
        let alone = Arc::clone(&self.writing).lock_owned().await;
        let known = self.known();
        let Some(gone) = known.iter().find(|token| token.summary.id == id) else {
            return Ok(None);
        };
        let left: Vec<Token> = known.iter().filter(|token| token.summary.id != id).cloned().collect();
        if !left.iter().any(|token| token.summary.role == Role::Admin) {
            return Err(StoreError::Last);
        }
        self.replace(left, alone).await?;
        Ok(Some(gone.summary.clone()))
    }

    fn known(&self) -> Arc<[Token]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Write the file, and only then believe it. What has begun ends, also where whoever asked is gone by then: the file and
    /// what is believed are never two things.
    async fn replace(&self, tokens: Vec<Token>, alone: OwnedMutexGuard<()>) -> Result<(), StoreError> {
        let (folder, known) = (self.folder.clone(), Arc::clone(&self.known));
        blocking(move || {
            let _alone = alone;
            let tokens = write_tokens(&folder, tokens)?;
            *known.write().unwrap_or_else(PoisonError::into_inner) = tokens.into();
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_cut_off| StoreError::Ending)?
}

fn make(name: &str, role: Role, secret: &Secret, now: Timestamp) -> Token {
    let id = format!("tok_{}", Uuid::now_v7());
    Token::new(TokenSummary { id, name: name.to_owned(), role, created_at: now }, secret)
}

fn read_or_begin(folder: &Path, now: Timestamp) -> Result<Vec<Token>, StoreError> {
    let path = folder.join(TOKENS);
    let failed = |doing| {
        let path = path.clone();
        move |source| StoreError::File { doing, path, source }
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return begin(folder, now),
        Err(error) => return Err(failed("read")(error)),
    };
    let mode = file.metadata().map_err(failed("read"))?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(StoreError::Exposed(path));
    }
    let text = io::read_to_string(file).map_err(failed("read"))?;
    let content: Content =
        serde_json::from_str(&text).map_err(|source| StoreError::Malformed { path: path.clone(), source })?;
    if content.format != FORMAT {
        return Err(StoreError::Format { path, found: content.format });
    }
    Ok(content.tokens)
}

/// The secret is written first: without `tokens.json` a host that was cut off in between begins anew.
fn begin(folder: &Path, now: Timestamp) -> Result<Vec<Token>, StoreError> {
    let secret = Secret::make();
    write_alone(&folder.join(ADMIN_TOKEN), secret.reveal().as_bytes())?;
    write_tokens(folder, vec![make("admin", Role::Admin, &secret, now)])
}

fn write_tokens(folder: &Path, tokens: Vec<Token>) -> Result<Vec<Token>, StoreError> {
    let path = folder.join(TOKENS);
    let content = Content { format: FORMAT, tokens };
    let text =
        serde_json::to_vec_pretty(&content).map_err(|source| StoreError::Malformed { path: path.clone(), source })?;
    write_alone(&path, &text)?;
    Ok(content.tokens)
}

/// Replace a file as a whole, durably; only its owner can read it, at any moment.
fn write_alone(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().ok_or_else(|| io::Error::other("the file is in no folder"))?;
        // Such files are made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| StoreError::File { doing: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
