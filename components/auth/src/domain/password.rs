//! Passwords: what is accepted, and how they are kept.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use chassis_values::text;
use chassis_values::violation::Rule;

/// Characters (Unicode scalar values) of a password at least.
pub const CHARACTERS_MIN: usize = 8;
/// Characters of a password at most. Argon2 hashes all of them, so nothing is cut off.
pub const CHARACTERS_MAX: usize = 128;

/// Memory of one hash in KiB, passes over it, and lanes: the floor that OWASP recommends for Argon2id.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What is hashed where there is no account, so that nobody learns from the time that there is none. The password that
/// fits it opens nothing.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Y2hhc3Npcy1kZWNveS1zYWx0$GcSSnStucBPJuLTf7CnrAQ5hnEPfOzwZQfaln/CfpV0";

/// Hashing failed; not because of the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

/// Whether a new password is accepted. Every character is; only the length counts.
///
/// # Errors
/// Too short, or too long.
pub fn check(password: &str) -> Result<(), Rule> {
    text::length(password, CHARACTERS_MIN..=CHARACTERS_MAX)
}

/// The hash of a password, in the PHC string format, with 16 random bytes of salt. Takes tens of milliseconds and
/// 19 MiB: call it where that harms nobody.
///
/// # Errors
/// See [`HashError`].
pub fn hash(password: &str, salt: [u8; 16]) -> Result<String, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| HashError(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash =
        argon2.hash_password_with_salt(password.as_bytes(), &salt).map_err(|error| HashError(error.to_string()))?;
    Ok(hash.to_string())
}

/// Whether a password is the one of this hash. Without a hash the answer is no, after the same work.
///
/// A password that no account can have is not hashed at all: that says nothing about any account, and an endless one
/// must not cost endless time.
pub fn verify(password: &str, stored: Option<&str>) -> bool {
    if text::length(password, 0..=CHARACTERS_MAX).is_err() {
        return false;
    }
    fits(password, stored) && stored.is_some()
}

/// Whether a password is the one of this hash, or of the decoy where there is none.
fn fits(password: &str, stored: Option<&str>) -> bool {
    PasswordHash::new(stored.unwrap_or(DECOY))
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(check("1234567").map_err(|rule| rule.code), Err("too-short"));
        assert_eq!(check("12345678"), Ok(()));
        assert_eq!(check(&"ü".repeat(128)), Ok(()));
        assert_eq!(check(&"ü".repeat(129)).map_err(|rule| rule.code), Err("too-long"));
        assert_eq!(check("        "), Ok(()));
    }

    #[test]
    fn a_password_fits_its_hash_only() {
        let stored = hash("correct horse", [7; 16]).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse", Some(&stored)));
        for wrong in ["correct hors", "Correct horse", "correct horse ", ""] {
            assert!(!verify(wrong, Some(&stored)), "{wrong}");
        }
        assert_ne!(stored, hash("correct horse", [8; 16]).unwrap());
    }

    #[test]
    fn every_character_counts() {
        let long = "a".repeat(CHARACTERS_MAX);
        let stored = hash(&long, [7; 16]).unwrap();
        assert!(verify(&long, Some(&stored)));
        assert!(!verify(&format!("{}b", &long[1..]), Some(&stored)));
    }

    #[test]
    fn the_decoy_is_a_hash_with_the_same_parameters_and_fits_nobody() {
        assert!(DECOY.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(PasswordHash::new(DECOY).is_ok());
        assert!(!verify("anything", None));
    }

    #[test]
    fn no_account_takes_the_work_of_a_wrong_password() {
        // Only who has hashed it knows that this is the decoy's; its parameters are those of all hashes, as asked above.
        assert!(fits("the password of the decoy", None));
        assert!(!fits("another", None));
        assert!(!verify("the password of the decoy", None), "and still there is no account");
    }

    #[test]
    fn what_no_account_can_have_is_not_hashed() {
        assert!(!verify(&"x".repeat(1_000_000), None));
    }
}
