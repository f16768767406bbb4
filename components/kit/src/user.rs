//! Who is calling: the extractor [`CurrentUser`], and the cache that spares a typed call per request.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp};

use crate::problem::{Problem, ProblemType};
use crate::values::time;

/// How long a verified token may be taken for good without asking again. A session that has ended is refused by every
/// instance after this time at the latest.
pub const CACHE_TIME: SignedDuration = SignedDuration::from_secs(1);
/// Tokens that one instance remembers.
pub const CACHE_TOKENS_MAX: usize = 1024;
/// Characters of a token at most.
pub const TOKEN_CHARACTERS_MAX: usize = 4096;

/// Who holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user_id: String,
    /// The session's id.
    pub session_id: String,
    /// The user's address, where it is known.
    pub email: Option<String>,
    /// The user's roles.
    pub roles: Vec<String>,
    /// When the token ceases to count.
    pub expires_at: Timestamp,
    /// When its session was looked at, or a little before: the time before the question was asked.
    pub checked_at: Timestamp,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no token of ours, or forged.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its session has ended.
    #[error("the session has ended")]
    Revoked,
    /// It cannot be checked now; the text is for the log.
    #[error("the token cannot be checked now: {0}")]
    Unavailable(String),
    /// It cannot be checked because of a fault; the text is for the log.
    #[error("the token could not be checked: {0}")]
    Fault(String),
}

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Invalid | VerifyError::Expired | VerifyError::Revoked => {
                Self::unauthorized(Some("invalid_token"), &error.to_string())
            }
            VerifyError::Unavailable(reason) => {
                crate::log::warn("a token cannot be checked now", serde_json::json!({ "reason": reason }));
                Self::new(ProblemType::Unavailable).retry_after(std::time::Duration::from_secs(1))
            }
            VerifyError::Fault(_) => Self::internal(error.to_string()),
        }
    }
}

/// What can tell who holds a token: the state of the handlers implements it.
pub trait Verifier {
    /// Who holds this token.
    ///
    /// # Errors
    /// See [`VerifyError`].
    fn verify(&self, token: &str) -> impl Future<Output = Result<Identity, VerifyError>> + Send;
}

/// The user who makes a request, by `Authorization: Bearer ...`; a request without is refused with 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentUser(pub Identity);

impl<S: Verifier + Send + Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        Ok(Self(state.verify(token).await?))
    }
}

/// The token of `Authorization: Bearer ...`.
///
/// # Errors
/// 401 where there is none, or where it cannot be read.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::unauthorized(None, "log in, and send the access token as Authorization: Bearer"));
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if !token.is_empty() && token.len() <= TOKEN_CHARACTERS_MAX => Ok(token),
        Some(_) | None => Err(Problem::unauthorized(Some("invalid_token"), "the token is not valid")),
    }
}

/// Tokens that were verified less than [`CACHE_TIME`] ago, in one instance. They are kept as they are: a digest of each would
/// cost a new instance more than the rest of its look-up, and they pass through its memory anyway.
#[derive(Default)]
pub struct TokenCache {
    entries: Mutex<HashMap<Box<str>, Identity>>,
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}

impl TokenCache {
    /// Nothing is remembered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who holds this token, if that was verified a moment ago.
    pub fn get(&self, token: &str, now: Timestamp) -> Option<Identity> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(token).filter(|identity| is_fresh(identity, now)).cloned()
    }

    /// Remember who holds this token, for what is left of [`CACHE_TIME`] since that was checked.
    pub fn put(&self, token: &str, identity: &Identity, now: Timestamp) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CACHE_TOKENS_MAX {
            entries.retain(|_key, known| is_fresh(known, now));
        }
        if entries.len() < CACHE_TOKENS_MAX {
            entries.insert(token.into(), identity.clone());
        }
    }

    /// Forget a session, which has ended.
    pub fn forget_session(&self, session_id: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_key, identity| identity.session_id != session_id);
    }
}

fn is_fresh(identity: &Identity, now: Timestamp) -> bool {
    // A clock that was set back makes an answer stale, not immortal.
    let unchanged = identity.checked_at <= now && now < time::after(identity.checked_at, CACHE_TIME);
    unchanged && now < identity.expires_at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
    }

    /// Checked at the time 0.
    fn ada(expires_at: Timestamp) -> Identity {
        let (user_id, session_id) = ("usr_1".into(), "ses_1".into());
        Identity { user_id, session_id, email: None, roles: vec!["user".into()], expires_at, checked_at: at(0) }
    }

    #[test]
    fn a_token_is_remembered_for_a_second_and_never_beyond_its_end() {
        let cache = TokenCache::new();
        cache.put("a", &ada(at(60_000)), at(0));
        cache.put("b", &ada(at(500)), at(0));
        assert!(cache.get("a", at(999)).is_some());
        assert!(cache.get("a", at(1000)).is_none());
        assert!(cache.get("a", at(-1)).is_none());
        assert!(cache.get("b", at(499)).is_some());
        assert!(cache.get("b", at(500)).is_none());
        assert!(cache.get("c", at(0)).is_none());
    }

    #[test]
    fn a_session_that_ended_is_forgotten() {
        let cache = TokenCache::new();
        cache.put("a", &ada(at(60_000)), at(0));
        cache.forget_session("ses_2");
        assert!(cache.get("a", at(1)).is_some());
        cache.forget_session("ses_1");
        assert!(cache.get("a", at(1)).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = TokenCache::new();
        for index in 0..CACHE_TOKENS_MAX + 10 {
            cache.put(&format!("{index}"), &ada(at(60_000)), at(0));
        }
        assert_eq!(cache.entries.lock().unwrap().len(), CACHE_TOKENS_MAX);
        cache.put("asked a while ago", &Identity { checked_at: at(-1), ..ada(at(60_000)) }, at(1));
        assert_eq!(cache.entries.lock().unwrap().len(), CACHE_TOKENS_MAX, "what is fresh is kept");
        cache.put("late", &Identity { checked_at: at(2000), ..ada(at(60_000)) }, at(2000));
        assert!(cache.get("late", at(2001)).is_some());
        assert_eq!(cache.entries.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_header_is_read_strictly() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned).map_err(|problem| problem.kind())
        };
        assert_eq!(read(&["Bearer abc"]).unwrap(), "abc");
        assert_eq!(read(&["bearer  abc "]).unwrap(), "abc");
        for values in [vec![], vec!["abc"], vec!["Bearer "], vec!["Basic abc"], vec!["Bearer a", "Bearer b"]] {
            assert_eq!(read(&values), Err(ProblemType::Unauthorized), "{values:?}");
        }
        let long = format!("Bearer {}", "a".repeat(TOKEN_CHARACTERS_MAX + 1));
        assert!(read(&[&long]).is_err());
    }
}
