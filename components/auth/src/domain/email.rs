//! E-mail addresses.
//!
//! Addresses are ASCII: the domain of an international address is written in its ASCII form (`xn--...`), and local
//! parts beyond ASCII (RFC 6531) are refused, because few mail servers take them and letters that look alike would
//! make different accounts. Two addresses are the same account if they are equal without regard to letter case: RFC
//! 5321 lets the receiver tell the cases of a local part apart, no receiver of note does, and people do not.

use chassis_values::violation::Rule;
use email_address::{EmailAddress, Options};

/// Bytes of an address at most (RFC 5321, section 4.5.3.1.3, without the angle brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Bytes of the part before the `@` at most (RFC 5321, section 4.5.3.1.1).
pub const LOCAL_PART_BYTES_MAX: usize = 64;

/// A well-formed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    text: String,
    key: String,
}

impl Email {
    /// Read what was typed; white space around it is dropped.
    ///
    /// # Errors
    /// It is no address, or too long.
    pub fn parse(typed: &str) -> Result<Self, Rule> {
        let text = typed.trim();
        if text.len() > EMAIL_BYTES_MAX {
            return Err(Rule::new("too-long", format!("must have at most {EMAIL_BYTES_MAX} characters")));
        }
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let well_formed = text.is_ascii()
            && !text.contains('"')
            && EmailAddress::parse_with_options(text, options)
                .is_ok_and(|address| address.local_part().len() <= LOCAL_PART_BYTES_MAX);
        if !well_formed {
            return Err(Rule::new("invalid-email", "must be an e-mail address, such as ada@example.com"));
        }
        Ok(Self { text: text.to_owned(), key: text.to_ascii_lowercase() })
    }

    /// As it was typed, for display and for mail.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is compared: equal for all spellings of one address.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// What stands for an address in a search where it is none: nobody has it, and a search for it takes as long.
pub fn search_key(typed: &str) -> String {
    match Email::parse(typed) {
        Ok(email) => email.key,
        Err(_rule) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        for text in
            ["ada@example.com", " Ada.Lovelace+x@Mail.Example.ORG ", "a_b-c@xn--bcher-kva.example", "o'neil@a.io"]
        {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "a b@example.com",
            "ada@exam ple.com",
            "ada@@example.com",
            "ada@example..com",
            ".ada@example.com",
            "Ada <ada@example.com>",
            "\"a b\"@example.com",
            "ada@[127.0.0.1]",
            "ädä@example.com",
            "ada@bücher.example",
            "ada@example.com\r\nBcc: x@y.z",
            "ada@example.com\0",
            "a@b.c, d@e.f",
        ] {
            assert_eq!(Email::parse(text).map_err(|rule| rule.code), Err("invalid-email"), "{text}");
        }
    }

    #[test]
    fn lengths() {
        let local = "a".repeat(LOCAL_PART_BYTES_MAX);
        assert!(Email::parse(&format!("{local}@example.com")).is_ok());
        assert!(Email::parse(&format!("{local}a@example.com")).is_err());
        let domain = ["b".repeat(60), "c".repeat(60), "d".repeat(60), "com".to_owned()].join(".");
        assert!(Email::parse(&format!("a@{domain}")).is_ok());
        let long = format!("{local}@{domain}.{}", "e".repeat(60));
        assert_eq!(Email::parse(&long).map_err(|rule| rule.code), Err("too-long"));
    }

    proptest! {
        #[test]
        fn letter_case_and_space_around_do_not_matter(
            local in "[a-z0-9]{1,20}", domain in "[a-z0-9]{1,20}", upper: [bool; 8], space in "[ \t]{0,3}",
        ) {
            let plain = format!("{local}@{domain}.example");
            let mixed: String = plain
                .chars()
                .zip(upper.into_iter().cycle())
                .map(|(c, up)| if up { c.to_ascii_uppercase() } else { c })
                .collect();
            let (a, b) = (Email::parse(&plain).unwrap(), Email::parse(&format!("{space}{mixed}{space}")).unwrap());
            prop_assert_eq!(a.key(), b.key());
            prop_assert_eq!(b.as_str(), mixed.as_str());
            prop_assert_eq!(search_key(&mixed), a.key());
            // The key is itself an address with the same key: normalising twice changes nothing.
            let again = Email::parse(a.key()).unwrap();
            prop_assert_eq!(again.key(), a.key());
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Email::parse(&text);
        }

        #[test]
        fn what_is_accepted_has_one_line_and_fits(text in "[ -~]{0,300}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.as_str().len() <= EMAIL_BYTES_MAX);
                prop_assert!(email.as_str().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
