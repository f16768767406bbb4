//! Whom to write to.

use chassis_values::text;
use chassis_values::violation::{Rule, Violations};
use serde::Deserialize;

use super::plain;

/// Characters of an id at most.
pub const ID_CHARACTERS_MAX: usize = 128;
/// Characters of a mail address at most (RFC 5321, with the correction of erratum 1690).
pub const EMAIL_CHARACTERS_MAX: usize = 254;
/// Characters of a name that are kept; the rest is cut off.
pub const NAME_CHARACTERS_MAX: usize = 100;

/// The data of `user.registered`. Members that are not known are not read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// Whose account it is.
    pub user_id: String,
    /// The address.
    pub email: String,
    /// First name.
    #[serde(default)]
    pub first_name: String,
    /// Last name.
    #[serde(default)]
    pub last_name: String,
}

/// A user who can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The user.
    pub user_id: String,
    /// The mail address, fit for a header.
    pub email: String,
    /// First name, one line.
    pub first_name: String,
    /// Last name, one line.
    pub last_name: String,
}

impl Registered {
    /// Check what the event says. Names are made fit, because a mail without one is better than none; an address cannot
    /// be.
    ///
    /// # Errors
    /// All rules that are broken, by member of the event.
    pub fn check(&self) -> Result<Address, Violations> {
        let mut all = Violations::new();
        let user_id = all.check("/data/userId", text::line(&self.user_id, 1..=ID_CHARACTERS_MAX));
        let email = all.check("/data/email", email(&self.email));
        let address = user_id.zip(email).map(|(user_id, email)| Address {
            user_id,
            email,
            first_name: plain::one_line(&self.first_name, NAME_CHARACTERS_MAX),
            last_name: plain::one_line(&self.last_name, NAME_CHARACTERS_MAX),
        });
        all.finish(address)
    }
}

/// Enough to keep an address from being several, or a header; whether it is one is known by whoever let it register.
fn email(typed: &str) -> Result<String, Rule> {
    let email = text::line(typed, 3..=EMAIL_CHARACTERS_MAX)?;
    let one = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let forbidden = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>' | '(' | ')' | '"' | '\\');
    if one && !email.contains(forbidden) {
        Ok(email)
    } else {
        Err(Rule::new("invalid-email", "must be one mail address"))
    }
}

impl Address {
    /// How to address the user in a mail; empty where the name is none to be repeated.
    pub fn greeting(&self) -> &str {
        plain::without_link(&self.first_name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn registered(email: &str, first_name: &str) -> Registered {
        let (email, first_name) = (email.to_owned(), first_name.to_owned());
        Registered { user_id: "usr_1".into(), email, first_name, last_name: "Lovelace".into() }
    }

    #[test]
    fn a_good_event_gives_an_address() {
        let address = registered("Ada@example.com", " Ada ").check().unwrap();
        let expected = Address {
            user_id: "usr_1".into(),
            email: "Ada@example.com".into(),
            first_name: "Ada".into(),
            last_name: "Lovelace".into(),
        };
        assert_eq!(address, expected);
    }

    #[test]
    fn what_is_not_one_address_is_refused() {
        for email in ["", "ada", "@example.com", "ada@", "a@b,c@d", "Ada <a@b>", "a@b\r\nBcc: c@d", "a b@c", "\"a\"@b"]
        {
            let violations = registered(email, "Ada").check().unwrap_err();
            assert_eq!(violations.as_slice()[0].pointer, "/data/email", "{email}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        assert!(registered(&long, "Ada").check().is_err());
    }

    #[test]
    fn a_name_is_made_fit() {
        let address = registered("a@b", "Ada\r\nBcc: x@y").check().unwrap();
        assert_eq!(address.first_name, "Ada Bcc: x@y");
        let long = registered("a@b", &"x".repeat(1000)).check().unwrap();
        assert_eq!(long.first_name.chars().count(), NAME_CHARACTERS_MAX);
    }

    #[test]
    fn nobody_is_greeted_by_a_link() {
        let greeting = |name: &str| registered("a@b", name).check().unwrap().greeting().to_owned();
        assert_eq!(greeting("Mary-Jane"), "Mary-Jane");
        assert_eq!(greeting("win at evil.example"), "");
    }

    proptest! {
        #[test]
        fn an_address_is_fit_for_a_header(email in "\\PC{0,40}", name in any::<String>()) {
            if let Ok(address) = registered(&email, &name).check() {
                for text in [&address.email, &address.first_name, &address.last_name] {
                    prop_assert!(!text.chars().any(char::is_control));
                }
                prop_assert!(!address.email.contains([' ', ',', '<', '>']));
                let _ = address.greeting();
            }
        }
    }
}
