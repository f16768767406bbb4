//! Which todos of a user are listed, in which order, and where a page begins.

use chassis_values::cursor::{self, InvalidCursor};
use chassis_values::page::Start;
use chassis_values::text;
use chassis_values::time::to_millis;
use chassis_values::violation::Violations;
use jiff::Timestamp;
use serde::Deserialize;

use super::ids::TodoId;
use super::time;
use super::todo::{TAG_CHARACTERS_MAX, Todo};
use super::words::{Priority, Sort, Status};

/// Characters of a text that is searched for, at most.
pub const SEARCH_CHARACTERS_MAX: usize = 100;

/// The members of a query string that choose and order todos, as they were typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// A word of [`Status`].
    pub status: Option<String>,
    /// A word of [`Priority`].
    pub priority: Option<String>,
    /// A tag, in its letter case.
    pub tag: Option<String>,
    /// Due at this time or later (RFC 3339).
    pub due_after: Option<String>,
    /// Due before this time (RFC 3339).
    pub due_before: Option<String>,
    /// A part of title or description, in whatever letter case.
    pub q: Option<String>,
    /// A word of [`Sort`].
    pub sort: Option<String>,
}

/// Which todos are meant. What is none does not choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// How far it is.
    pub status: Option<Status>,
    /// How much it matters.
    pub priority: Option<Priority>,
    /// A tag that it has.
    pub tag: Option<String>,
    /// It is due at this time or later.
    pub due_after: Option<Timestamp>,
    /// It is due before this time.
    pub due_before: Option<Timestamp>,
    /// What its title or its description holds, folded by [`fold`].
    pub search: Option<String>,
}

/// A listing of one user's todos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whose todos.
    pub user_id: String,
    /// Which of them.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
}

/// Where a page begins: behind this key, and then so many items further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The sort key of the item before.
    pub key: i64,
    /// The id of the item before, which tells apart items with the same key.
    pub id: String,
    /// Items to skip from there.
    pub skip: u32,
}

impl ListQuery {
    /// Check what was typed, for this user.
    ///
    /// # Errors
    /// All members that break a rule, by name.
    pub fn check(&self, user_id: &str) -> Result<Listing, Violations> {
        let mut all = Violations::new();
        let status = all.check("status", self.status.as_deref().map(Status::parse).transpose());
        let priority = all.check("priority", self.priority.as_deref().map(Priority::parse).transpose());
        let tag = all.check("tag", self.tag.as_deref().map(|t| text::line(t, 1..=TAG_CHARACTERS_MAX)).transpose());
        let due_after = all.check("dueAfter", self.due_after.as_deref().map(time::parse).transpose());
        let due_before = all.check("dueBefore", self.due_before.as_deref().map(time::parse).transpose());
        let search = self.q.as_deref().map(|q| text::line(q, 0..=SEARCH_CHARACTERS_MAX)).transpose();
        let search = all.check("q", search);
        let sort = all.check("sort", self.sort.as_deref().map_or(Ok(Sort::default()), Sort::parse));
        let filter = Filter {
            status: status.flatten(),
            priority: priority.flatten(),
            tag: tag.flatten(),
            due_after: due_after.flatten(),
            due_before: due_before.flatten(),
            // An empty search box chooses nothing.
            search: search.flatten().map(|q| fold(&q)).filter(|q| !q.is_empty()),
        };
        all.finish(sort.map(|sort| Listing { user_id: user_id.to_owned(), filter, sort }))
    }
}

impl Listing {
    /// Where a page begins.
    ///
    /// # Errors
    /// The cursor is not one of this listing: of another user, filter or order.
    pub fn position(&self, start: &Start) -> Result<Position, InvalidCursor> {
        // The key before the first: whatever an item has, it comes behind.
        let before_all = match self.sort {
            Sort::NewestFirst | Sort::ChangedFirst => i64::MAX,
            Sort::OldestFirst | Sort::DueFirst => i64::MIN,
        };
        let begin = |skip| Position { key: before_all, id: String::new(), skip };
        match start {
            Start::First => Ok(begin(0)),
            Start::Skip(count) => Ok(begin(*count)),
            Start::After(text) => {
                let (key, id): (i64, TodoId) = cursor::decode(&self.name(), text)?;
                Ok(Position { key, id: id.as_str().to_owned(), skip: 0 })
            }
        }
    }

    /// The cursor of the page behind this item.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn cursor_after(&self, last: &Todo) -> Result<String, InvalidCursor> {
        cursor::encode(&self.name(), &(self.key(last), &last.id))
    }

    /// The sort key of an item.
    pub fn key(&self, todo: &Todo) -> i64 {
        match self.sort {
            Sort::NewestFirst | Sort::OldestFirst => to_millis(todo.created_at),
            Sort::ChangedFirst => to_millis(todo.updated_at),
            // What is never due comes last; the statement says the same.
            Sort::DueFirst => todo.content.due_at.map_or(i64::MAX, to_millis),
        }
    }

    /// Names the listing, so that a cursor of one is refused by another. Written with lengths, so that no two listings
    /// have one name.
    fn name(&self) -> String {
        let filter = &self.filter;
        let due = |time: Option<Timestamp>| time.map(|time| to_millis(time).to_string()).unwrap_or_default();
        let parts = [
            self.user_id.clone(),
            self.sort.as_str().to_owned(),
            filter.status.map_or("", Status::as_str).to_owned(),
            filter.priority.map_or("", Priority::as_str).to_owned(),
            filter.tag.clone().unwrap_or_default(),
            due(filter.due_after),
            due(filter.due_before),
            filter.search.clone().unwrap_or_default(),
        ];
        parts.iter().fold("todos".to_owned(), |name, part| format!("{name};{}:{part}", part.len()))
    }
}

/// Text without differences of letter case. Character by character, so that a part of a text is a part of the folded
/// text too.
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// What `like ... escape '\'` needs to find a text anywhere.
pub fn pattern(folded: &str) -> String {
    let mut pattern = String::from("%");
    for c in folded.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests;
