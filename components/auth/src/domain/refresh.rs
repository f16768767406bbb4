//! Refresh tokens: opaque, used once, kept as hashes; and what is decided when one comes.
//!
//! Rotation is a compare-and-swap: [`decide`] looks at what is stored, and the batch that follows states again what it
//! relied on (unused token, live session). Of two equal requests one wins, and the other is decided anew and then sees
//! a used token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::session::Session;

/// Random bytes of a token.
pub const SECRET_BYTES: usize = 32;

const PREFIX: &str = "rt_";
const CHARACTERS: usize = 43;

/// A refresh token as its holder has it.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(String);

/// What is kept of a refresh token: SHA-256. It needs no salt, because tokens are random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl RefreshToken {
    /// A new token.
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
    }

    /// Read what a client sent; none where it cannot be a token.
    pub fn parse(text: &str) -> Option<Self> {
        let secret = text.strip_prefix(PREFIX)?;
        let plausible =
            secret.len() == CHARACTERS && URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == SECRET_BYTES);
        plausible.then(|| Self(text.to_owned()))
    }

    /// Its text, for its holder only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshToken")
    }
}

/// A token as it is stored, with its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used, if it was.
    pub used_at: Option<Timestamp>,
    /// Its session.
    pub session: Session,
}

/// What is done with a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is good: use it up, and give out its successor.
    Rotate,
    /// It was used before: whoever has it now, one of two holders is a thief. End the session.
    EndSession,
    /// It does not count; there is nothing to do.
    Refuse,
}

/// Decide. The client is told the same for [`Decision::EndSession`] and [`Decision::Refuse`].
pub fn decide(stored: Option<&StoredToken>, now: Timestamp) -> Decision {
    let Some(token) = stored else { return Decision::Refuse };
    if token.session.check(now).is_err() {
        return Decision::Refuse;
    }
    if token.used_at.is_some() {
        return Decision::EndSession;
    }
    if token.expires_at <= now { Decision::Refuse } else { Decision::Rotate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{SessionId, UserId};
    use crate::domain::settings::Settings;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn session() -> Session {
        Session::new(SessionId::new(at(0), [1; 10]), UserId::new(at(0), [2; 10]), at(0))
    }

    fn stored() -> StoredToken {
        StoredToken { expires_at: at(1000), used_at: None, session: session() }
    }

    #[test]
    fn decisions() {
        let (fresh, now) = (stored(), at(10));
        let used = StoredToken { used_at: Some(at(5)), ..stored() };
        let ended =
            |token: StoredToken| StoredToken { session: Session { ended_at: Some(at(6)), ..session() }, ..token };
        let inactive = StoredToken { session: Session { user_is_active: false, ..session() }, ..stored() };
        assert_eq!(decide(None, now), Decision::Refuse);
        assert_eq!(decide(Some(&fresh), now), Decision::Rotate);
        assert_eq!(decide(Some(&fresh), at(1000)), Decision::Refuse);
        assert_eq!(decide(Some(&used), now), Decision::EndSession);
        // A stolen token that comes late, after its own time but within the session's, still tells of the theft.
        assert_eq!(decide(Some(&used), at(2000)), Decision::EndSession);
        // What has ended is not ended again: one entry in the audit, however often the token comes.
        assert_eq!(decide(Some(&ended(used)), now), Decision::Refuse);
        assert_eq!(decide(Some(&ended(fresh)), now), Decision::Refuse);
        assert_eq!(decide(Some(&inactive), now), Decision::Refuse);
        assert_eq!(decide(Some(&stored()), at(31 * 86_400)), Decision::Refuse);
    }

    #[test]
    fn tokens_are_read_strictly_and_shown_to_nobody() {
        let token = RefreshToken::new([9; SECRET_BYTES]);
        assert_eq!(RefreshToken::parse(token.expose()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "RefreshToken");
        let text = token.expose();
        let bad = [
            &text[3..],
            &text[..45],
            "",
            "rt_",
            &format!("{text}A"),
            &text.replace("rt_", "RT_"),
            &text.replace('k', "="),
        ];
        for bad in bad {
            assert_eq!(RefreshToken::parse(bad), None, "{bad}");
        }
    }

    /// The store, as the batches of the component change it.
    #[derive(Debug)]
    struct Family {
        session: Session,
        tokens: Vec<(Timestamp, Option<Timestamp>)>,
        endings: usize,
    }

    impl Family {
        fn new() -> Self {
            Self { session: session(), tokens: vec![(at(0), None)], endings: 0 }
        }

        fn present(&mut self, index: usize, now: Timestamp) -> bool {
            let stored = self.tokens.get(index).map(|(made_at, used_at)| StoredToken {
                expires_at: self.session.refresh_expiry(&Settings::default(), *made_at),
                used_at: *used_at,
                session: self.session.clone(),
            });
            match decide(stored.as_ref(), now) {
                Decision::Rotate => {
                    self.tokens[index].1 = Some(now);
                    self.tokens.push((now, None));
                    true
                }
                Decision::EndSession => {
                    self.session.ended_at = Some(now);
                    self.endings += 1;
                    false
                }
                Decision::Refuse => false,
            }
        }

        fn unused(&self) -> usize {
            self.tokens.iter().filter(|(_, used)| used.is_none()).count()
        }
    }

    proptest! {
        #[test]
        fn a_family_has_one_tip_and_ends_once(steps in prop::collection::vec((0_usize..12, 0_i64..400_000), 1..60)) {
            let mut family = Family::new();
            let mut now = 0;
            for (index, pause) in steps {
                now += pause;
                let was_used = family.tokens.get(index).is_some_and(|(_, used)| used.is_some());
                let was_live = family.session.check(at(now)).is_ok();
                let rotated = family.present(index, at(now));
                prop_assert!(!rotated || !was_used, "a used token was rotated");
                prop_assert!(!rotated || was_live, "a token of a lapsed session was rotated");
                prop_assert!(!was_used || !was_live || family.session.ended_at.is_some(), "a reuse went unnoticed");
                prop_assert_eq!(family.unused(), 1);
                prop_assert!(family.endings <= 1);
            }
        }

        #[test]
        fn refreshing_in_time_works_until_the_session_ends(pauses in prop::collection::vec(1_i64..7 * 86_400, 1..40)) {
            let mut family = Family::new();
            let mut now = 0;
            for pause in pauses {
                now += pause;
                let tip = family.tokens.len() - 1;
                prop_assert_eq!(family.present(tip, at(now)), now < 30 * 86_400);
            }
        }

        #[test]
        fn different_tokens_have_different_hashes(a: [u8; 32], b: [u8; 32]) {
            let (first, second) = (RefreshToken::new(a), RefreshToken::new(b));
            prop_assert_eq!(a == b, first.hash() == second.hash());
        }
    }
}
