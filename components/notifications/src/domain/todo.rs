//! What a mail says of a todo.

use chassis_values::text;
use chassis_values::violation::Violations;
use jiff::Timestamp;
use serde::Deserialize;

use super::address::ID_CHARACTERS_MAX;
use super::plain;

/// Characters of a title that are shown.
pub const TITLE_CHARACTERS_MAX: usize = 200;

/// The data of `todo.created`. Members that are not known are not read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// Whose todo it is.
    pub user_id: String,
    /// What is to be done.
    pub title: String,
    /// How much it matters.
    #[serde(default)]
    pub priority: String,
    /// When it is due.
    #[serde(default)]
    pub due_at: Option<Timestamp>,
}

/// A todo as a mail shows it: without its description, which would be a stranger's page of text under our sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whose todo it is.
    pub user_id: String,
    /// What is to be done, one line; empty where it is none to be repeated.
    pub title: String,
    /// Whether it matters more than others.
    pub is_important: bool,
    /// When it is due, for people, in UTC.
    pub due: Option<String>,
}

impl Created {
    /// Check what the event says. Texts are made fit.
    ///
    /// # Errors
    /// The event does not say whose todo it is.
    pub fn check(&self) -> Result<Note, Violations> {
        let mut all = Violations::new();
        let user_id = all.check("/data/userId", text::line(&self.user_id, 1..=ID_CHARACTERS_MAX));
        let note = user_id.map(|user_id| Note {
            user_id,
            title: plain::without_link(&plain::one_line(&self.title, TITLE_CHARACTERS_MAX)).to_owned(),
            is_important: self.priority == "high",
            due: self.due_at.map(|time| time.strftime("%-d %B %Y, %H:%M UTC").to_string()),
        });
        all.finish(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created() -> Created {
        Created {
            user_id: "usr_1".into(),
            title: " Buy\r\nmilk ".into(),
            priority: "high".into(),
            due_at: Some("2026-02-01T08:30:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn an_event_becomes_a_note() {
        let expected = Note {
            user_id: "usr_1".into(),
            title: "Buy milk".into(),
            is_important: true,
            due: Some("1 February 2026, 08:30 UTC".into()),
        };
        assert_eq!(created().check().unwrap(), expected);
    }

    #[test]
    fn a_todo_is_somebodys() {
        let violations = Created { user_id: " ".into(), ..created() }.check().unwrap_err();
        assert_eq!(violations.as_slice()[0].pointer, "/data/userId");
    }

    #[test]
    fn a_long_title_is_cut() {
        let long = Created { title: "x".repeat(5_000), ..created() }.check().unwrap();
        assert_eq!(long.title.chars().count(), TITLE_CHARACTERS_MAX);
    }

    #[test]
    fn a_title_with_a_link_is_not_repeated() {
        let title = "You have won: collect it at evil.example".to_owned();
        let note = Created { title, ..created() }.check().unwrap();
        assert_eq!((note.title.as_str(), note.is_important), ("", true));
    }
}
