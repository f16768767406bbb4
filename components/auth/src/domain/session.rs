//! Sessions: one log-in, the family of its refresh tokens, and how long each part of it lives.

use chassis_values::time;
use jiff::{SignedDuration, Timestamp};

use super::ids::{SessionId, UserId};
use super::settings::{SESSION_LIFE, Settings};

/// Live sessions of one user at most; a further log-in ends the oldest.
pub const SESSIONS_PER_USER_MAX: i64 = 100;
/// How long the audit is kept.
pub const AUDIT_RETENTION: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When it was ended before its time, if it was.
    pub ended_at: Option<Timestamp>,
    /// Whether its user may be logged in.
    pub user_is_active: bool,
}

/// Why a session does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// It was ended: by a logout, by the reuse of a refresh token, or by newer sessions; or its user was deactivated.
    Ended,
    /// Its time is over.
    Expired,
}

impl Session {
    /// A new session of an active user.
    pub fn new(id: SessionId, user_id: UserId, now: Timestamp) -> Self {
        let expires_at = time::after(now, SESSION_LIFE);
        Self { id, user_id, expires_at, ended_at: None, user_is_active: true }
    }

    /// Whether it counts.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now: Timestamp) -> Result<(), Lapse> {
        if self.ended_at.is_some() || !self.user_is_active {
            Err(Lapse::Ended)
        } else if self.expires_at <= now {
            Err(Lapse::Expired)
        } else {
            Ok(())
        }
    }

    /// When an access token made now ends: never after its session.
    pub fn access_expiry(&self, settings: &Settings, now: Timestamp) -> Timestamp {
        time::after(now, settings.access_life).min(self.expires_at)
    }

    /// When a refresh token made now ends: never after its session.
    pub fn refresh_expiry(&self, settings: &Settings, now: Timestamp) -> Timestamp {
        time::after(now, settings.refresh_life).min(self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn session() -> Session {
        Session::new(SessionId::new(at(0), [1; 10]), UserId::new(at(0), [2; 10]), at(0))
    }

    #[test]
    fn a_session_counts_until_it_ends() {
        let days_30 = 30 * 86_400;
        assert_eq!(session().check(at(days_30 - 1)), Ok(()));
        assert_eq!(session().check(at(days_30)), Err(Lapse::Expired));
        let ended = Session { ended_at: Some(at(5)), ..session() };
        assert_eq!(ended.check(at(days_30)), Err(Lapse::Ended));
        let inactive = Session { user_is_active: false, ..session() };
        assert_eq!(inactive.check(at(1)), Err(Lapse::Ended));
    }

    proptest! {
        #[test]
        fn no_token_outlives_its_session(offset in 0_i64..30 * 86_400) {
            let (session, settings, now) = (session(), Settings::default(), at(offset));
            for (expiry, life) in [
                (session.access_expiry(&settings, now), settings.access_life),
                (session.refresh_expiry(&settings, now), settings.refresh_life),
            ] {
                prop_assert!(expiry <= session.expires_at);
                prop_assert!(expiry > now);
                prop_assert!(expiry.duration_since(now) <= life);
            }
        }
    }
}
