//! How a mail reads: templates, compiled once, and what is put into them.
//!
//! The templates are files of this crate and part of its code: nobody can bring another one. What is put into them comes
//! from strangers. In a `.html` template it is escaped; a variable that a template names and nobody gives is an error.

use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::address::Address;
use super::plain;
use super::todo::Note;

/// Characters of a subject at most. Four bytes each stay below the 998 of RFC 5322, section 2.1.1.
pub const SUBJECT_CHARACTERS_MAX: usize = 150;

macro_rules! template {
    ($name:literal) => {
        ($name, include_str!(concat!("../templates/", $name)))
    };
}

const FILES: &[(&str, &str)] = &[
    template!("layout.html"),
    template!("welcome.subject"),
    template!("welcome.txt"),
    template!("welcome.html"),
    template!("todo-created.subject"),
    template!("todo-created.txt"),
    template!("todo-created.html"),
];

/// A mail's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// One line.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part, a whole document.
    pub html: String,
}

/// A template is broken, or was not given what it names.
#[derive(Debug, thiserror::Error)]
#[error("a template failed: {source}")]
pub struct TemplateError {
    #[from]
    source: minijinja::Error,
}

/// The compiled templates.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// Compile them.
    ///
    /// # Errors
    /// One of them is broken.
    pub fn new() -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in FILES {
            environment.add_template(name, text)?;
        }
        Ok(Self { environment })
    }

    /// The mail to a user who has registered.
    ///
    /// # Errors
    /// A template failed.
    pub fn welcome(&self, to: &Address) -> Result<Content, TemplateError> {
        self.render("welcome", context! { name => to.greeting() })
    }

    /// The mail to the owner of a new todo.
    ///
    /// # Errors
    /// A template failed.
    pub fn todo_created(&self, to: &Address, note: &Note) -> Result<Content, TemplateError> {
        let values = context! {
            name => to.greeting(),
            title => note.title.as_str(),
            important => note.is_important,
            due => note.due.as_deref(),
        };
        self.render("todo-created", values)
    }

    fn render(&self, name: &str, values: Value) -> Result<Content, TemplateError> {
        let part = |ending| self.environment.get_template(&format!("{name}.{ending}"))?.render(values.clone());
        Ok(Content {
            subject: plain::one_line(&part("subject")?, SUBJECT_CHARACTERS_MAX),
            text: part("txt")?,
            html: part("html")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(first_name: &str) -> Address {
        Address {
            user_id: "usr_1".into(),
            email: "ada@example.com".into(),
            first_name: first_name.into(),
            last_name: String::new(),
        }
    }

    fn note(title: &str) -> Note {
        Note { user_id: "usr_1".into(), title: title.into(), is_important: false, due: None }
    }

    #[test]
    fn a_welcome() {
        let mail = Templates::new().unwrap().welcome(&address("Ada")).unwrap();
        assert_eq!(mail.subject, "Welcome to Chassis, Ada");
        assert!(mail.text.starts_with("Hello Ada,\n\n"), "{}", mail.text);
        assert!(mail.html.contains("<p>Hello Ada,</p>"), "{}", mail.html);
        assert!(mail.html.starts_with("<!doctype html>"));
        assert!(mail.html.contains("<title>Welcome to Chassis</title>"));
    }

    #[test]
    fn a_welcome_to_somebody_without_a_name() {
        let templates = Templates::new().unwrap();
        for name in ["", "buy at evil.example"] {
            let mail = templates.welcome(&address(name)).unwrap();
            assert_eq!(mail.subject, "Welcome to Chassis");
            assert!(mail.text.starts_with("Hello,\n\n"), "{}", mail.text);
            assert!(!mail.html.contains("evil"));
        }
    }

    #[test]
    fn a_todo_with_everything() {
        let full = Note { is_important: true, due: Some("1 February 2026, 08:30 UTC".into()), ..note("Buy milk") };
        let mail = Templates::new().unwrap().todo_created(&address("Ada"), &full).unwrap();
        assert_eq!(mail.subject, "New todo: Buy milk");
        let expected = "Hello Ada,\n\na todo was added to your list:\n\n  Buy milk\n\nDue: 1 February 2026, 08:30 UTC\n\
             Priority: high\n\nYou get";
        assert!(mail.text.starts_with(expected), "{}", mail.text);
        for part in ["Buy milk", "1 February 2026, 08:30 UTC", "Priority: high"] {
            assert!(mail.html.contains(part), "{part} in {}", mail.html);
        }
    }

    #[test]
    fn a_todo_with_its_title_alone() {
        let mail = Templates::new().unwrap().todo_created(&address(""), &note("Buy milk")).unwrap();
        let expected = "Hello,\n\na todo was added to your list:\n\n  Buy milk\n\nYou get";
        assert!(mail.text.starts_with(expected), "{}", mail.text);
        for part in [&mail.text, &mail.html] {
            assert!(!part.contains("Due") && !part.contains("Priority") && !part.contains("none"), "{part}");
        }
    }

    #[test]
    fn a_todo_whose_title_is_none_to_be_repeated() {
        let mail = Templates::new().unwrap().todo_created(&address("Ada"), &note("")).unwrap();
        assert_eq!(mail.subject, "New todo");
        let reason = "Its title may hold a link, and is not shown here.";
        let expected = format!("Hello Ada,\n\na todo was added to your list. {reason}\n\nYou get");
        assert!(mail.text.starts_with(&expected), "{}", mail.text);
        assert!(mail.html.contains(&format!("<p>a todo was added to your list. {reason}</p>")), "{}", mail.html);
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let hostile = "<script>alert('x')</script> & \"y\"";
        let mail = Templates::new().unwrap().todo_created(&address("Ada"), &note(hostile)).unwrap();
        assert!(mail.text.contains(hostile));
        assert!(mail.subject.contains(hostile));
        assert!(!mail.html.contains("<script") && !mail.html.contains("\"y\""), "{}", mail.html);
        assert!(mail.html.contains("&lt;script&gt;"), "{}", mail.html);
    }

    #[test]
    fn what_is_put_in_is_no_template() {
        let mail = Templates::new().unwrap().todo_created(&address("Ada"), &note("{{ 7 * 7 }} {% x %}")).unwrap();
        assert!(mail.text.contains("{{ 7 * 7 }} {% x %}"));
    }

    #[test]
    fn a_mail_loads_nothing_from_elsewhere() {
        for (name, text) in FILES {
            assert!(!text.contains("http") && !text.contains("src=") && !text.contains("|safe"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_out(title in any::<String>(), name in any::<String>()) {
            let templates = Templates::new().unwrap();
            let quiet = templates.todo_created(&address("x"), &note("x")).unwrap();
            let mail = templates.todo_created(&address(&name), &note(&title)).unwrap();
            prop_assert!(!mail.subject.chars().any(char::is_control));
            prop_assert!(mail.subject.len() <= 998);
            // Whatever is put in, the document has the tags that it has: none more.
            prop_assert!(mail.html.matches('<').count() <= quiet.html.matches('<').count());
        }
    }
}
