//! Todos, and the rules for what they hold.

use std::collections::BTreeSet;

use chassis_values::text;
use chassis_values::time::whole_millis;
use chassis_values::violation::{Rule, Violations};
use jiff::Timestamp;

use super::ids::TodoId;
use super::time;
use super::words::{Priority, Status};

/// Todos of one user at most, done ones among them: one account is not to fill the database.
pub const TODOS_PER_USER_MAX: i64 = 10_000;
/// Characters of a title at most.
pub const TITLE_CHARACTERS_MAX: usize = 200;
/// Characters of a description at most.
pub const DESCRIPTION_CHARACTERS_MAX: usize = 10_000;
/// Tags of a todo at most.
pub const TAGS_MAX: usize = 20;
/// Characters of a tag at most.
pub const TAG_CHARACTERS_MAX: usize = 50;

/// What somebody typed who makes a todo. What was left out has its default.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    /// What is to be done. It has no default.
    pub title: Option<&'a str>,
    /// More about it.
    pub description: Option<&'a str>,
    /// A word of [`Status`].
    pub status: Option<&'a str>,
    /// A word of [`Priority`].
    pub priority: Option<&'a str>,
    /// When it is due (RFC 3339).
    pub due_at: Option<&'a str>,
    /// Words to find it by.
    pub tags: Option<&'a [String]>,
}

/// What a todo holds, by the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What is to be done: 1 to [`TITLE_CHARACTERS_MAX`] characters, no white space around them.
    pub title: String,
    /// More about it; empty where there is nothing more.
    pub description: String,
    /// How far it is.
    pub status: Status,
    /// How much it matters.
    pub priority: Priority,
    /// When it is due, to the millisecond.
    pub due_at: Option<Timestamp>,
    /// Words to find it by, each once, in the order in which they were given.
    pub tags: Vec<String>,
}

impl Draft<'_> {
    /// Check every rule.
    ///
    /// # Errors
    /// All rules that are broken, by member of the body.
    pub fn check(&self) -> Result<Content, Violations> {
        let mut all = Violations::new();
        let title = all.check("/title", self.title.ok_or_else(title_required).and_then(title));
        let description = all.check("/description", self.description.map_or(Ok(String::new()), description));
        let status = all.check("/status", self.status.map_or(Ok(Status::default()), Status::parse));
        let priority = all.check("/priority", self.priority.map_or(Ok(Priority::default()), Priority::parse));
        let due_at = all.check("/dueAt", self.due_at.map(time::parse).transpose());
        let tags = tags(self.tags.unwrap_or_default(), &mut all);
        let content = match (title, description, status, priority, due_at) {
            (Some(title), Some(description), Some(status), Some(priority), Some(due_at)) => {
                Some(Content { title, description, status, priority, due_at, tags })
            }
            _ => None,
        };
        all.finish(content)
    }
}

pub(super) fn title_required() -> Rule {
    Rule::new("required", "a todo has a title")
}

pub(super) fn title(typed: &str) -> Result<String, Rule> {
    text::line(typed, 1..=TITLE_CHARACTERS_MAX)
}

pub(super) fn description(typed: &str) -> Result<String, Rule> {
    text::paragraph(typed, 0..=DESCRIPTION_CHARACTERS_MAX)
}

/// The tags that break no rule; those that do are noted.
pub(super) fn tags(typed: &[String], all: &mut Violations) -> Vec<String> {
    if typed.len() > TAGS_MAX {
        all.push("/tags", Rule::new("too-many", format!("must have at most {TAGS_MAX} tags")));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for (index, text) in typed.iter().enumerate() {
        let pointer = format!("/tags/{index}");
        let Some(tag) = all.check(&pointer, text::line(text, 1..=TAG_CHARACTERS_MAX)) else { continue };
        if seen.insert(tag.clone()) {
            kept.push(tag);
        } else {
            all.push(pointer, Rule::new("duplicate", "is given twice"));
        }
    }
    kept
}

/// A todo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Todo {
    /// Its id.
    pub id: TodoId,
    /// Whose it is.
    pub user_id: String,
    /// What it holds.
    pub content: Content,
    /// Counts its changes, from 1. Its entity tag is made of it.
    pub version: i64,
    /// When it was made, to the millisecond.
    pub created_at: Timestamp,
    /// When it was last changed, to the millisecond.
    pub updated_at: Timestamp,
}

impl Todo {
    /// A new todo of this user.
    pub fn new(id: TodoId, user_id: &str, content: Content, now: Timestamp) -> Self {
        // To the millisecond, because that is what the database gives back.
        let now = whole_millis(now);
        Self { id, user_id: user_id.to_owned(), content, version: 1, created_at: now, updated_at: now }
    }

    /// This todo with other content; none where nothing changes.
    pub fn changed(&self, content: Content, now: Timestamp) -> Option<Self> {
        if content == self.content {
            return None;
        }
        // A clock that was set back does not bring a todo behind its own past.
        let updated_at = whole_millis(now).max(self.updated_at);
        Some(Self { content, version: self.version.saturating_add(1), updated_at, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn broken(draft: &Draft<'_>) -> Vec<(String, &'static str)> {
        draft.check().unwrap_err().as_slice().iter().map(|v| (v.pointer.clone(), v.code)).collect()
    }

    #[test]
    fn a_title_is_enough() {
        let content = Draft { title: Some("  Buy milk\n"), ..Draft::default() }.check().unwrap();
        let expected = Content {
            title: "Buy milk".into(),
            description: String::new(),
            status: Status::Open,
            priority: Priority::Normal,
            due_at: None,
            tags: vec![],
        };
        assert_eq!(content, expected);
    }

    #[test]
    fn everything_can_be_said() {
        let tags = [" home ".to_owned(), "Home".to_owned()];
        let draft = Draft {
            title: Some("Buy milk"),
            description: Some("Two litres,\n\tfresh"),
            status: Some("inProgress"),
            priority: Some("high"),
            due_at: Some("2026-01-31T12:00:00+01:00"),
            tags: Some(&tags),
        };
        let content = draft.check().unwrap();
        assert_eq!((content.status, content.priority), (Status::InProgress, Priority::High));
        assert_eq!(content.description, "Two litres,\n\tfresh");
        assert_eq!(content.due_at.unwrap().to_string(), "2026-01-31T11:00:00Z");
        assert_eq!(content.tags, ["home", "Home"]);
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let long = "x".repeat(DESCRIPTION_CHARACTERS_MAX + 1);
        let tags = ["a".to_owned(), String::new(), " a".to_owned(), "x".repeat(51)];
        let draft = Draft {
            title: Some(" \t "),
            description: Some(&long),
            status: Some("finished"),
            priority: Some("HIGH"),
            due_at: Some("tomorrow"),
            tags: Some(&tags),
        };
        let expected = [
            ("/title", "too-short"),
            ("/description", "too-long"),
            ("/status", "unknown-value"),
            ("/priority", "unknown-value"),
            ("/dueAt", "invalid-time"),
            ("/tags/1", "too-short"),
            ("/tags/2", "duplicate"),
            ("/tags/3", "too-long"),
        ];
        assert_eq!(broken(&draft), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
        assert_eq!(broken(&Draft::default()), [("/title".to_owned(), "required")]);
    }

    #[test]
    fn bounds_are_exact() {
        let title = "ä".repeat(TITLE_CHARACTERS_MAX);
        let tags: Vec<String> = (0..TAGS_MAX).map(|n| format!("{n:0>50}")).collect();
        let draft = Draft { title: Some(&title), tags: Some(&tags), ..Draft::default() };
        assert!(draft.check().is_ok());
        let longer = format!("{title}ä");
        assert_eq!(broken(&Draft { title: Some(&longer), ..draft.clone() }), [("/title".to_owned(), "too-long")]);
        let more: Vec<String> = (0..=TAGS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(broken(&Draft { tags: Some(&more), ..draft }), [("/tags".to_owned(), "too-many")]);
    }

    #[test]
    fn a_title_cannot_carry_a_header() {
        let draft = Draft { title: Some("Milk\r\nBcc: x"), ..Draft::default() };
        assert_eq!(broken(&draft), [("/title".to_owned(), "invalid-character")]);
    }

    fn content(title: &str) -> Content {
        Draft { title: Some(title), ..Draft::default() }.check().unwrap()
    }

    #[test]
    fn a_change_counts_and_no_change_does_not() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let todo = Todo::new(TodoId::new(at(5), [1; 10]), "usr_1", content("a"), at(5));
        assert_eq!((todo.version, todo.created_at, todo.updated_at), (1, at(5), at(5)));
        assert_eq!(todo.changed(content("a"), at(9)), None);
        let changed = todo.changed(content("b"), at(9)).unwrap();
        assert_eq!((changed.version, changed.created_at, changed.updated_at), (2, at(5), at(9)));
        assert_eq!((&changed.id, changed.user_id.as_str()), (&todo.id, "usr_1"));
        assert_eq!(changed.changed(content("c"), at(3)).unwrap().updated_at, at(9));
    }

    proptest! {
        #[test]
        fn what_passes_keeps_the_rules(title in "\\PC*", tags in proptest::collection::vec("\\PC{0,60}", 0..30)) {
            let draft = Draft { title: Some(&title), tags: Some(&tags), ..Draft::default() };
            if let Ok(content) = draft.check() {
                prop_assert!((1..=TITLE_CHARACTERS_MAX).contains(&content.title.chars().count()));
                prop_assert_eq!(content.title.trim(), &content.title);
                prop_assert_eq!(content.tags.len(), tags.len());
                prop_assert_eq!(content.tags.iter().collect::<BTreeSet<_>>().len(), tags.len());
                // What was accepted once is accepted again, unchanged.
                let again = Draft { title: Some(&content.title), tags: Some(&content.tags), ..Draft::default() };
                prop_assert_eq!(again.check().unwrap(), content);
            }
        }
    }
}
