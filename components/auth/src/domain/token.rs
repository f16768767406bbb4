//! Access tokens: JWTs (RFC 7519) signed with EdDSA, checked against the clock of the caller.
//!
//! Only this component's own keys and only EdDSA are accepted, so no header can choose another algorithm. A token says
//! who somebody was when it was made; whether its session still counts is another question, which the store answers.

use std::collections::HashSet;

use chassis_values::time;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::ids::{SessionId, TokenId, UserId};
use super::signing::{SigningKey, VerifyingKey};

/// Characters of a token at most.
pub const TOKEN_CHARACTERS_MAX: usize = 4096;
/// How far the clock of another instance may be ahead.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whose it is.
    pub sub: UserId,
    /// The session that it belongs to.
    pub sid: SessionId,
    /// Its own id.
    pub jti: TokenId,
    /// When it was made, in seconds since 1970 (UTC).
    pub iat: i64,
    /// When it ends, in seconds since 1970 (UTC).
    pub exp: i64,
    /// Roles of the user when it was made.
    pub roles: Vec<String>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, is forged, or is not for here.
    #[error("the token is not valid")]
    Invalid,
    /// It is signed by a key that is not known here; it may have been made since the keys were read.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

/// Signing failed; the key is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SignError;

impl Claims {
    /// When the token ends.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_second(self.exp).unwrap_or(Timestamp::MIN)
    }

    /// Sign them.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(&self, key: &SigningKey) -> Result<String, SignError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.kid.clone());
        encode(&header, self, &key.encoding).map_err(|_error| SignError)
    }
}

/// Whose token this is, as far as the token itself can tell.
///
/// # Errors
/// See [`TokenError`].
pub fn verify(token: &str, keys: &[VerifyingKey], issuer: &str, now: Timestamp) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_CHARACTERS_MAX {
        return Err(TokenError::Invalid);
    }
    let header = decode_header(token).map_err(|_error| TokenError::Invalid)?;
    if header.alg != Algorithm::EdDSA {
        return Err(TokenError::Invalid);
    }
    let kid = header.kid.as_deref().ok_or(TokenError::Invalid)?;
    let key = keys.iter().find(|key| key.kid == kid).ok_or(TokenError::UnknownKey)?;
    let claims = decode::<Claims>(token, &key.decoding, &validation(issuer)).map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        _ => TokenError::Invalid,
    })?;
    check_times(claims.claims, now)
}

/// What the library checks. Times are not among it, because it would ask the system's clock.
fn validation(issuer: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.required_spec_claims = HashSet::from(["exp", "iss", "sub"].map(str::to_owned));
    validation.set_issuer(&[issuer]);
    validation
}

fn check_times(claims: Claims, now: Timestamp) -> Result<Claims, TokenError> {
    if claims.expires_at() <= now {
        return Err(TokenError::Expired);
    }
    match Timestamp::from_second(claims.iat) {
        Ok(made_at) if made_at <= time::after(now, SKEW) => Ok(claims),
        Ok(_) | Err(_) => Err(TokenError::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::EncodingKey;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::signing::{NONCE_BYTES, Randomness, SEED_BYTES, StoredKey};

    const ISSUER: &str = "chassis";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn stored(seed: u8) -> StoredKey {
        let randomness = Randomness { seed: [seed; SEED_BYTES], nonce: [0; NONCE_BYTES] };
        StoredKey::new(&randomness, None, at(0)).unwrap()
    }

    fn signer(seed: u8) -> SigningKey {
        stored(seed).signing(None).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            iss: ISSUER.into(),
            sub: UserId::new(at(0), [1; 10]),
            sid: SessionId::new(at(0), [2; 10]),
            jti: TokenId::new(at(0), [3; 10]),
            iat: at(0).as_second(),
            exp: at(900).as_second(),
            roles: vec!["user".into()],
        }
    }

    fn check(token: &str, now: i64) -> Result<Claims, TokenError> {
        let public = [1, 2].map(|seed| VerifyingKey::new(stored(seed).kid, &stored(seed).public_key).unwrap());
        verify(token, &public, ISSUER, at(now))
    }

    /// A token with any header and any claims, signed by our own key as far as the header lets it.
    fn forge(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> String) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = sign(message.as_bytes());
        format!("{message}.{signature}")
    }

    fn eddsa(seed: u8) -> impl Fn(&[u8]) -> String {
        move |message| jsonwebtoken::crypto::sign(message, &signer(seed).encoding, Algorithm::EdDSA).unwrap()
    }

    #[test]
    fn a_token_is_accepted_until_its_end() {
        let token = claims().sign(&signer(1)).unwrap();
        assert_eq!(check(&token, 0), Ok(claims()));
        assert_eq!(check(&token, 899), Ok(claims()));
        assert_eq!(check(&token, 900), Err(TokenError::Expired));
        assert_eq!(check(&token, -60), Ok(claims()));
        assert_eq!(check(&token, -61), Err(TokenError::Invalid));
        let header = decode_header(&token).unwrap();
        assert_eq!((header.alg, header.kid), (Algorithm::EdDSA, Some(stored(1).kid)));
    }

    #[test]
    fn other_algorithms_are_refused() {
        let claims = serde_json::to_value(claims()).unwrap();
        let kid = stored(1).kid;
        let public = URL_SAFE_NO_PAD.decode(stored(1).public_key).unwrap();
        for alg in ["none", "None", "NONE", "", "HS256", "HS512", "RS256", "ES256", "EdDSA448"] {
            let header = json!({ "alg": alg, "typ": "JWT", "kid": kid });
            let hmac = |message: &[u8]| {
                jsonwebtoken::crypto::sign(message, &EncodingKey::from_secret(&public), Algorithm::HS256).unwrap()
            };
            for token in [
                forge(&header, &claims, |_| String::new()),
                forge(&header, &claims, eddsa(1)),
                forge(&header, &claims, hmac),
            ] {
                assert_eq!(check(&token, 0), Err(TokenError::Invalid), "{alg}");
            }
        }
        let good = forge(&json!({ "alg": "EdDSA", "kid": kid }), &claims, eddsa(1));
        assert!(check(&good, 0).is_ok(), "the forge itself must work");
    }

    #[test]
    fn other_keys_are_refused() {
        assert_eq!(check(&claims().sign(&signer(3)).unwrap(), 0), Err(TokenError::UnknownKey));
        let claims = serde_json::to_value(claims()).unwrap();
        let as_first = json!({ "alg": "EdDSA", "kid": stored(1).kid });
        assert_eq!(check(&forge(&as_first, &claims, eddsa(2)), 0), Err(TokenError::Invalid));
        let nameless = json!({ "alg": "EdDSA" });
        assert_eq!(check(&forge(&nameless, &claims, eddsa(1)), 0), Err(TokenError::Invalid));
        // A key that the token brings along counts for nothing.
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": stored(3).public_key });
        let bringing = json!({ "alg": "EdDSA", "kid": stored(1).kid, "jwk": jwk });
        assert_eq!(check(&forge(&bringing, &claims, eddsa(3)), 0), Err(TokenError::Invalid));
    }

    #[test]
    fn claims_must_be_ours() {
        let header = json!({ "alg": "EdDSA", "kid": stored(1).kid });
        let with = |name: &str, value: Value| {
            let mut claims = serde_json::to_value(claims()).unwrap();
            claims[name] = value;
            check(&forge(&header, &claims, eddsa(1)), 0)
        };
        assert!(with("extra", json!(1)).is_ok());
        for (name, value) in [
            ("iss", json!("somebody")),
            ("iss", json!(null)),
            ("sub", json!("ses_1")),
            ("sid", json!("")),
            ("exp", json!("never")),
            ("exp", json!(null)),
            ("exp", json!(-1)),
            ("iat", json!(i64::MAX)),
            ("aud", json!("somebody else")),
            ("roles", json!("admin")),
        ] {
            assert_eq!(with(name, value.clone()), Err(TokenError::Invalid), "{name} {value}");
        }
        assert_eq!(with("exp", json!(i64::MAX)), Err(TokenError::Expired));
        assert_eq!(with("exp", json!(0)), Err(TokenError::Expired));
    }

    proptest! {
        #[test]
        fn any_change_of_a_character_is_refused(at in any::<prop::sample::Index>(), by in "[A-Za-z0-9._-]") {
            let token = claims().sign(&signer(1)).unwrap();
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &by);
            prop_assume!(changed != token);
            prop_assert!(check(&changed, 0).is_err());
        }

        #[test]
        fn claims_survive_signing(roles in prop::collection::vec("[a-z]{1,8}", 0..4), life in 1_i64..86_400) {
            let claims = Claims { roles, exp: at(life).as_second(), ..claims() };
            prop_assert_eq!(check(&claims.sign(&signer(2)).unwrap(), 0), Ok(claims));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", dotted in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            prop_assert!(check(&text, 0).is_err());
            prop_assert!(check(&dotted, 0).is_err());
        }
    }

    #[test]
    fn endless_tokens_are_refused_unread() {
        assert_eq!(check(&"a".repeat(TOKEN_CHARACTERS_MAX + 1), 0), Err(TokenError::Invalid));
    }
}
