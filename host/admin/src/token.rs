//! Tokens: a name, a role, and the hash of a secret that only its holder knows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Marks our tokens, so that scanners for leaked secrets can find them.
const PREFIX: &str = "chassis_";

/// Random bytes of a secret. So many cannot be guessed, hence a plain hash protects them, and no slow one is needed.
const SECRET_BYTES: usize = 32;

const NAME_BYTES_MAX: usize = 64;

/// What a token may be used for. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Look.
    Read,
    /// Act on what runs: replay dead letters.
    Deploy,
    /// Everything, tokens among it.
    Admin,
}

/// What may be told of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenSummary {
    /// Names the token: `tok_` and a UUIDv7.
    pub id: String,
    /// Who uses it.
    pub name: String,
    /// What it may be used for.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) summary: TokenSummary,
    /// SHA-256 of the secret, in hexadecimal.
    sha256: String,
}

/// The secret of a token: what a caller presents.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A new one.
    pub(crate) fn make() -> Self {
        let bytes: [u8; SECRET_BYTES] = rand::random();
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What somebody presents as one.
    pub(crate) fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, for its holder alone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    fn sha256(&self) -> String {
        Sha256::digest(self.0.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Token {
    pub(crate) fn new(summary: TokenSummary, secret: &Secret) -> Self {
        Self { summary, sha256: secret.sha256() }
    }
}

/// The token that a secret belongs to. Takes as long whether there is one or not, and wherever it stands.
pub(crate) fn find<'tokens>(tokens: &'tokens [Token], secret: &Secret) -> Option<&'tokens Token> {
    let presented = secret.sha256();
    tokens.iter().fold(None, |found, token| {
        let same = token.sha256.as_bytes().ct_eq(presented.as_bytes());
        if bool::from(same) { Some(token) } else { found }
    })
}

/// Whether a text can name a token: kebab-case of at most 64 bytes.
pub(crate) fn is_name(name: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= NAME_BYTES_MAX && name.split('-').all(word)
}

#[cfg(test)]
mod tests {
    use super::{Role, Secret, is_name};

    #[test]
    fn roles_include_the_lesser_ones() {
        assert!(Role::Read < Role::Deploy && Role::Deploy < Role::Admin);
    }

    #[test]
    fn secrets_differ_and_are_not_printed() {
        let (one, other) = (Secret::make(), Secret::make());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), 8 + 43);
        assert_eq!(format!("{one:?}"), "Secret");
    }

    #[test]
    fn names_are_plain() {
        for name in ["admin", "ci-2", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-", "a-", "A", "a b", "é", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
