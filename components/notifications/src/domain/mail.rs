//! What names a mail, and how many there may be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

/// Bytes of an event's id that are taken as they are.
const PLAIN_BYTES_MAX: usize = 100;

/// Mails about todos that one user is sent within [`TODO_MAILS_WINDOW`]. Todos beyond are made without a mail: nobody has
/// proved that the address is theirs, and a stranger's is not to be flooded. Mails that are on their way at the same
/// moment do not see one another, so it may be exceeded by as many.
pub const TODO_MAILS_MAX: i64 = 20;
/// The time that [`TODO_MAILS_MAX`] counts for.
pub const TODO_MAILS_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// Which mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To a user who has registered.
    Welcome,
    /// To the owner of a new todo.
    TodoCreated,
}

impl Kind {
    /// As it is stored, and as the ids of such mails begin.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::TodoCreated => "todo-created",
        }
    }

    /// The id of the mail that an event makes: the same at every try, so that all copies have one Message-ID.
    ///
    /// The host permits letters, digits, `.`, `_` and `-`. An event's id of another kind, or a long one, is hashed.
    pub fn mail_id(self, event_id: &str) -> String {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let name = if !event_id.is_empty() && event_id.len() <= PLAIN_BYTES_MAX && event_id.bytes().all(is_plain) {
            event_id.to_owned()
        } else {
            // The underscore tells a hash from an id that looks like one.
            format!("_{}", URL_SAFE_NO_PAD.encode(Sha256::digest(event_id.as_bytes())))
        };
        format!("{}.{name}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_events_of_this_host_keep_their_ids() {
        let id = "01997a5c-0f2b-7c3e-8a1b-2c3d4e5f6071";
        assert_eq!(Kind::Welcome.mail_id(id), format!("welcome.{id}"));
        assert_ne!(Kind::Welcome.mail_id(id), Kind::TodoCreated.mail_id(id));
    }

    #[test]
    fn hashes_do_not_meet_plain_ids() {
        let hashed = Kind::Welcome.mail_id("a b");
        let name = hashed.strip_prefix("welcome.").unwrap();
        assert_ne!(Kind::Welcome.mail_id(name), hashed);
    }

    proptest! {
        #[test]
        fn every_event_has_an_id_that_the_host_permits(id in any::<String>(), other in any::<String>()) {
            let mail_id = Kind::TodoCreated.mail_id(&id);
            let permitted = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            prop_assert!(mail_id.len() <= 128 && mail_id.bytes().all(permitted));
            prop_assert_eq!(Kind::TodoCreated.mail_id(&id), mail_id.clone());
            prop_assert_eq!(Kind::TodoCreated.mail_id(&other) == mail_id, id == other);
        }
    }
}
