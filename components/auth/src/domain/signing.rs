//! The keys that sign access tokens: Ed25519 (RFC 8032), named by their thumbprint (RFC 7638), sealed where the
//! operator gives a secret.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::Sha256;

/// Random bytes of a private key (the seed of RFC 8032).
pub const SEED_BYTES: usize = 32;
/// Random bytes that sealing one key takes.
pub const NONCE_BYTES: usize = 24;

/// What comes before the seed in a PKCS#8 private key of Ed25519 (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A key cannot be used. No variant holds anything secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not an Ed25519 key.
    #[error("the signing key {kid} is damaged")]
    Damaged {
        /// Which.
        kid: String,
    },
    /// It is sealed, and no secret was given.
    #[error("the signing key {kid} is sealed; set the variable secret_key to the secret that it was sealed with")]
    Sealed {
        /// Which.
        kid: String,
    },
    /// It is sealed with another secret, or was tampered with.
    #[error("the signing key {kid} cannot be opened with the present secret_key")]
    WrongSecret {
        /// Which.
        kid: String,
    },
    /// A new key could not be made.
    #[error("a signing key could not be made")]
    NotMade,
}

/// A key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its thumbprint.
    pub kid: String,
    /// The public half: base64url, as `x` of a JWK.
    pub public_key: String,
    /// The private half: the seed, or the nonce and the sealed seed.
    pub private_key: Vec<u8>,
    /// Whether the private half is sealed.
    pub is_sealed: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A key that can sign.
#[derive(Clone)]
pub struct SigningKey {
    /// Its thumbprint.
    pub kid: String,
    pub(super) encoding: EncodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A key that can verify.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    /// Its thumbprint.
    pub kid: String,
    pub(super) decoding: DecodingKey,
}

/// What making a key takes.
#[derive(Clone, Copy)]
pub struct Randomness {
    /// The private key.
    pub seed: [u8; SEED_BYTES],
    /// For sealing it.
    pub nonce: [u8; NONCE_BYTES],
}

impl std::fmt::Debug for Randomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Randomness").finish_non_exhaustive()
    }
}

impl StoredKey {
    /// A new key, sealed if there is a secret.
    ///
    /// # Errors
    /// [`KeyError::NotMade`].
    pub fn new(randomness: &Randomness, secret: Option<&str>, now: Timestamp) -> Result<Self, KeyError> {
        let jwk = Jwk::from_encoding_key(&encoding_key(&randomness.seed), Algorithm::EdDSA)
            .map_err(|_error| KeyError::NotMade)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_error| KeyError::NotMade)?;
        let AlgorithmParameters::OctetKeyPair(parameters) = jwk.algorithm else { return Err(KeyError::NotMade) };
        let private_key = match secret {
            Some(secret) => seal(&kid, secret, randomness)?,
            None => randomness.seed.to_vec(),
        };
        Ok(Self { kid, public_key: parameters.x, private_key, is_sealed: secret.is_some(), created_at: now })
    }

    /// The half that signs.
    ///
    /// # Errors
    /// It is sealed and cannot be opened, or damaged.
    pub fn signing(&self, secret: Option<&str>) -> Result<SigningKey, KeyError> {
        let damaged = || KeyError::Damaged { kid: self.kid.clone() };
        let seed = match (self.is_sealed, secret) {
            (true, Some(secret)) => open(&self.kid, secret, &self.private_key)?,
            (true, None) => return Err(KeyError::Sealed { kid: self.kid.clone() }),
            (false, _) => self.private_key.clone(),
        };
        let seed = <[u8; SEED_BYTES]>::try_from(seed.as_slice()).map_err(|_length| damaged())?;
        Ok(SigningKey { kid: self.kid.clone(), encoding: encoding_key(&seed) })
    }
}

impl VerifyingKey {
    /// The half that verifies, by its name and as it is stored.
    ///
    /// # Errors
    /// It is damaged.
    pub fn new(kid: String, public_key: &str) -> Result<Self, KeyError> {
        let decoding = DecodingKey::from_ed_components(public_key);
        // The verifier of the library takes the first 32 bytes without looking.
        let whole = |key: &DecodingKey| key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 32);
        match decoding {
            Ok(decoding) if whole(&decoding) => Ok(Self { kid, decoding }),
            Ok(_) | Err(_) => Err(KeyError::Damaged { kid }),
        }
    }
}

/// The public halves, as `/.well-known/jwks.json` publishes them (RFC 7517).
///
/// # Errors
/// A key is damaged.
pub fn key_set(keys: &[VerifyingKey]) -> Result<JwkSet, KeyError> {
    keys.iter().map(public_jwk).collect::<Result<_, _>>().map(|keys| JwkSet { keys })
}

fn public_jwk(key: &VerifyingKey) -> Result<Jwk, KeyError> {
    let mut jwk = Jwk::from_decoding_key(&key.decoding, Some(Algorithm::EdDSA))
        .map_err(|_error| KeyError::Damaged { kid: key.kid.clone() })?;
    jwk.common.key_id = Some(key.kid.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}

fn encoding_key(seed: &[u8; SEED_BYTES]) -> EncodingKey {
    EncodingKey::from_ed_der(&[PKCS8_HEAD.as_slice(), seed].concat())
}

/// The nonce, and the seed under XChaCha20-Poly1305 with the key's name as associated data.
fn seal(kid: &str, secret: &str, randomness: &Randomness) -> Result<Vec<u8>, KeyError> {
    let payload = Payload { msg: &randomness.seed, aad: kid.as_bytes() };
    let sealed =
        cipher(secret)?.encrypt(&XNonce::from(randomness.nonce), payload).map_err(|_error| KeyError::NotMade)?;
    Ok([randomness.nonce.as_slice(), &sealed].concat())
}

fn open(kid: &str, secret: &str, stored: &[u8]) -> Result<Vec<u8>, KeyError> {
    let wrong = || KeyError::WrongSecret { kid: kid.to_owned() };
    let (nonce, sealed) = stored.split_first_chunk::<NONCE_BYTES>().ok_or_else(wrong)?;
    let payload = Payload { msg: sealed, aad: kid.as_bytes() };
    cipher(secret)?.decrypt(&XNonce::from(*nonce), payload).map_err(|_error| wrong())
}

fn cipher(secret: &str) -> Result<XChaCha20Poly1305, KeyError> {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, secret.as_bytes())
        .expand(b"chassis auth: sealing of signing keys, version 1", &mut key)
        .map_err(|_error| KeyError::NotMade)?;
    Ok(XChaCha20Poly1305::new(&Key::from(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn randomness(byte: u8) -> Randomness {
        Randomness { seed: [byte; SEED_BYTES], nonce: [byte; NONCE_BYTES] }
    }

    fn key(secret: Option<&str>) -> StoredKey {
        StoredKey::new(&randomness(7), secret, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn the_public_half_is_that_of_rfc_8037() {
        // Appendix A.1 to A.3: the private key, its public key, and its thumbprint.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let randomness = Randomness { seed, nonce: [0; NONCE_BYTES] };
        let key = StoredKey::new(&randomness, None, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(key.public_key, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_sealed_key_opens_with_its_secret_only() {
        let sealed = key(Some(SECRET));
        assert!(sealed.is_sealed);
        assert!(sealed.signing(Some(SECRET)).is_ok());
        let kid = sealed.kid.clone();
        assert_eq!(sealed.signing(None).unwrap_err(), KeyError::Sealed { kid: kid.clone() });
        let other = "x".repeat(32);
        assert_eq!(sealed.signing(Some(&other)).unwrap_err(), KeyError::WrongSecret { kid: kid.clone() });
        for index in 0..sealed.private_key.len() {
            let mut tampered = sealed.clone();
            tampered.private_key[index] ^= 1;
            assert_eq!(tampered.signing(Some(SECRET)).unwrap_err(), KeyError::WrongSecret { kid: kid.clone() });
        }
        let mut swapped = sealed.clone();
        swapped.kid = "another".into();
        assert!(swapped.signing(Some(SECRET)).is_err());
    }

    #[test]
    fn the_sealed_form_does_not_hold_the_seed() {
        let mut randomness = randomness(7);
        randomness.nonce = [1; NONCE_BYTES];
        let sealed = StoredKey::new(&randomness, Some(SECRET), Timestamp::UNIX_EPOCH).unwrap();
        assert!(!sealed.private_key.windows(4).any(|part| part == [7; 4]));
        assert_eq!(sealed.private_key.len(), NONCE_BYTES + SEED_BYTES + 16);
    }

    #[test]
    fn without_a_secret_it_is_kept_plain() {
        let plain = key(None);
        assert!(!plain.is_sealed);
        // A secret that is set later does not make older keys unusable.
        assert!(plain.signing(None).is_ok() && plain.signing(Some(SECRET)).is_ok());
    }

    #[test]
    fn damaged_keys_are_refused() {
        let mut short = key(None);
        short.private_key.pop();
        assert!(matches!(short.signing(None), Err(KeyError::Damaged { .. })));
        for public_key in ["", "AAAA", "not base64!"] {
            let damaged = VerifyingKey::new("its name".into(), public_key).unwrap_err();
            assert_eq!(damaged, KeyError::Damaged { kid: "its name".into() }, "{public_key}");
        }
    }

    #[test]
    fn the_published_set_has_no_private_half() {
        let public = VerifyingKey::new("its name".into(), &key(None).public_key).unwrap();
        let set = serde_json::to_value(key_set(&[public]).unwrap()).unwrap();
        let jwk = set["keys"][0].as_object().unwrap();
        let mut names: Vec<_> = jwk.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
        assert_eq!(
            (&jwk["alg"], &jwk["crv"], &jwk["kty"], &jwk["use"]),
            (&"EdDSA".into(), &"Ed25519".into(), &"OKP".into(), &"sig".into())
        );
    }

    #[test]
    fn debugging_shows_nothing_private() {
        let text = format!("{:?} {:?} {:?}", key(None), key(None).signing(None).unwrap(), randomness(7));
        assert!(!text.contains("7, 7"), "{text}");
    }
}
