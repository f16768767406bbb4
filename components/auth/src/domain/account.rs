//! Accounts.

use chassis_values::text;
use chassis_values::violation::{Rule, Violations};
use jiff::Timestamp;

use super::email::Email;
use super::ids::UserId;
use super::password;

/// Characters of a first or last name at most.
pub const NAME_CHARACTERS_MAX: usize = 100;
/// The role that everybody gets.
pub const ROLE_USER: &str = "user";

/// What somebody typed who wants an account.
#[derive(Debug, Clone, Copy)]
pub struct Application<'a> {
    /// An e-mail address.
    pub email: &'a str,
    /// A password.
    pub password: &'a str,
    /// First name.
    pub first_name: &'a str,
    /// Last name.
    pub last_name: &'a str,
}

/// An application that breaks no rule. The password is not in it: it is only hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// The address.
    pub email: Email,
    /// First name, without white space around it.
    pub first_name: String,
    /// Last name, without white space around it.
    pub last_name: String,
}

impl Application<'_> {
    /// Check every rule.
    ///
    /// # Errors
    /// All rules that are broken, by member of the body.
    pub fn check(&self) -> Result<Applicant, Violations> {
        let mut all = Violations::new();
        let email = all.check("/email", Email::parse(self.email));
        let password = all.check("/password", password::check(self.password));
        let first_name = all.check("/firstName", name(self.first_name));
        let last_name = all.check("/lastName", name(self.last_name));
        let applicant = match (email, password, first_name, last_name) {
            (Some(email), Some(()), Some(first_name), Some(last_name)) => {
                Some(Applicant { email, first_name, last_name })
            }
            _ => None,
        };
        all.finish(applicant)
    }
}

fn name(typed: &str) -> Result<String, Rule> {
    text::line(typed, 1..=NAME_CHARACTERS_MAX)
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The address, as it was typed.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Roles, in alphabetical order.
    pub roles: Vec<String>,
    /// Whether the user may log in.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// The account of somebody new.
    pub fn new(id: UserId, applicant: &Applicant, now: Timestamp) -> Self {
        Self {
            id,
            email: applicant.email.as_str().to_owned(),
            first_name: applicant.first_name.clone(),
            last_name: applicant.last_name.clone(),
            roles: vec![ROLE_USER.to_owned()],
            is_active: true,
            created_at: now,
            updated_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application() -> Application<'static> {
        Application { email: "Ada@Example.com", password: "correct horse", first_name: " Ada ", last_name: "Lovelace" }
    }

    #[test]
    fn a_good_application_passes() {
        let applicant = application().check().unwrap();
        assert_eq!(applicant.first_name, "Ada");
        assert_eq!(applicant.email.as_str(), "Ada@Example.com");
        let user = User::new(UserId::new(Timestamp::UNIX_EPOCH, [1; 10]), &applicant, Timestamp::UNIX_EPOCH);
        assert_eq!(user.roles, ["user"]);
        assert!(user.is_active);
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let long = "x".repeat(101);
        let bad = Application { email: "ada", password: "short", first_name: "  ", last_name: &long };
        let violations = bad.check().unwrap_err();
        let found: Vec<_> = violations.as_slice().iter().map(|v| (v.pointer.as_str(), v.code)).collect();
        let expected = [
            ("/email", "invalid-email"),
            ("/password", "too-short"),
            ("/firstName", "too-short"),
            ("/lastName", "too-long"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_hold_no_control_characters() {
        let bad = Application { first_name: "Ada\r\nBcc: x", ..application() };
        assert_eq!(bad.check().unwrap_err().as_slice()[0].code, "invalid-character");
    }
}
