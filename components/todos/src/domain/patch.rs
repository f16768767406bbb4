//! Changes to a todo: a JSON merge patch (RFC 7396).
//!
//! A member that is left out stays, one that is `null` is taken away and so gets its default, any other value is set.
//! Lists are replaced as a whole. The title has no default, and so cannot be taken away.

use chassis_values::patch::Change;
use chassis_values::violation::{Rule, Violations};
use serde::Deserialize;

use super::todo::{self, Content};
use super::words::{Priority, Status};
use super::{time, todo::title_required};

/// The changes that are asked for, as they were typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Patch {
    /// The title.
    pub title: Change<String>,
    /// The description.
    pub description: Change<String>,
    /// A word of [`Status`].
    pub status: Change<String>,
    /// A word of [`Priority`].
    pub priority: Change<String>,
    /// When it is due (RFC 3339).
    pub due_at: Change<String>,
    /// All tags.
    pub tags: Change<Vec<String>>,
}

impl Patch {
    /// The content after the changes.
    ///
    /// # Errors
    /// All rules that are broken, by member of the body.
    pub fn apply(&self, to: &Content) -> Result<Content, Violations> {
        let mut all = Violations::new();
        let mut content = to.clone();
        let title = settle(&self.title, &to.title, |typed| todo::title(typed), Err(title_required()));
        set(&mut content.title, all.check("/title", title));
        let description = settle(&self.description, &to.description, |t| todo::description(t), Ok(String::new()));
        set(&mut content.description, all.check("/description", description));
        let status = settle(&self.status, &to.status, |typed| Status::parse(typed), Ok(Status::default()));
        set(&mut content.status, all.check("/status", status));
        let priority = settle(&self.priority, &to.priority, |typed| Priority::parse(typed), Ok(Priority::default()));
        set(&mut content.priority, all.check("/priority", priority));
        let due_at = settle(&self.due_at, &to.due_at, |typed| time::parse(typed).map(Some), Ok(None));
        set(&mut content.due_at, all.check("/dueAt", due_at));
        match &self.tags {
            Change::Keep => {}
            Change::Clear => content.tags.clear(),
            Change::Set(typed) => content.tags = todo::tags(typed, &mut all),
        }
        all.finish(Some(content))
    }
}

fn settle<T, U: Clone>(
    change: &Change<T>,
    current: &U,
    parse: impl FnOnce(&T) -> Result<U, Rule>,
    default: Result<U, Rule>,
) -> Result<U, Rule> {
    match change {
        Change::Keep => Ok(current.clone()),
        Change::Clear => default,
        Change::Set(typed) => parse(typed),
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::todo::Draft;

    fn full() -> Content {
        let tags = ["home".to_owned(), "shop".to_owned()];
        let draft = Draft {
            title: Some("Buy milk"),
            description: Some("Two litres"),
            status: Some("done"),
            priority: Some("high"),
            due_at: Some("2026-01-31T12:00:00Z"),
            tags: Some(&tags),
        };
        draft.check().unwrap()
    }

    fn document(content: &Content) -> Value {
        json!({
            "title": content.title,
            "description": content.description,
            "status": content.status.as_str(),
            "priority": content.priority.as_str(),
            "dueAt": content.due_at.map(|time| time.to_string()),
            "tags": content.tags,
        })
    }

    fn patched(patch: &Value) -> Result<Content, Vec<(String, &'static str)>> {
        let patch: Patch = serde_json::from_value(patch.clone()).unwrap();
        patch.apply(&full()).map_err(|all| all.as_slice().iter().map(|v| (v.pointer.clone(), v.code)).collect())
    }

    #[test]
    fn what_is_left_out_stays() {
        assert_eq!(patched(&json!({})).unwrap(), full());
        let expected = Content { status: Status::Open, ..full() };
        assert_eq!(patched(&json!({ "status": "open", "unknown": [1] })).unwrap(), expected);
    }

    #[test]
    fn null_takes_away_and_so_gives_the_default() {
        let patch = json!({ "description": null, "status": null, "priority": null, "dueAt": null, "tags": null });
        let expected = Draft { title: Some("Buy milk"), ..Draft::default() }.check().unwrap();
        assert_eq!(patched(&patch).unwrap(), expected);
        assert_eq!(patched(&json!({ "title": null })).unwrap_err(), [("/title".to_owned(), "required")]);
    }

    #[test]
    fn lists_are_replaced() {
        assert_eq!(patched(&json!({ "tags": ["work"] })).unwrap().tags, ["work"]);
        assert_eq!(patched(&json!({ "tags": [] })).unwrap().tags, Vec::<String>::new());
    }

    #[test]
    fn the_rules_are_those_of_a_new_todo() {
        let patch = json!({ "title": "", "status": "x", "dueAt": "2026", "tags": ["a", "a"] });
        let expected = [
            ("/title", "too-short"),
            ("/status", "unknown-value"),
            ("/dueAt", "invalid-time"),
            ("/tags/1", "duplicate"),
        ];
        assert_eq!(patched(&patch).unwrap_err(), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn other_types_are_refused_when_read() {
        for patch in [json!({ "title": 1 }), json!({ "tags": "a" }), json!({ "tags": [1] }), json!("x"), json!(null)] {
            assert!(serde_json::from_value::<Patch>(patch.clone()).is_err(), "{patch}");
        }
    }

    /// RFC 7396, section 2, literally.
    fn merge(target: Value, patch: &Value) -> Value {
        let Value::Object(members) = patch else { return patch.clone() };
        let mut target = target.as_object().cloned().unwrap_or_default();
        for (name, value) in members {
            if value.is_null() {
                target.remove(name);
            } else {
                let current = target.remove(name).unwrap_or(Value::Null);
                target.insert(name.clone(), merge(current, value));
            }
        }
        Value::Object(target)
    }

    fn word(words: &'static [&'static str]) -> impl Strategy<Value = Option<Value>> {
        proptest::option::of(proptest::sample::select(words).prop_map(Value::from))
    }

    prop_compose! {
        fn patches()(
            title in proptest::option::of("[a-z]{1,9}"),
            description in proptest::option::of(proptest::option::of("[a-z]{0,9}")),
            status in proptest::option::of(word(Status::WORDS)),
            priority in proptest::option::of(word(Priority::WORDS)),
            tags in proptest::option::of(proptest::option::of(proptest::collection::btree_set("[a-z]{1,3}", 0..5))),
        ) -> Value {
            let mut members = serde_json::Map::new();
            let given = [
                ("title", title.map(|t| json!(t))),
                ("description", description.map(|t| json!(t))),
                ("status", status.map(|t| json!(t))),
                ("priority", priority.map(|t| json!(t))),
                ("tags", tags.map(|t| json!(t))),
            ];
            for (name, value) in given {
                if let Some(value) = value {
                    members.insert(name.to_owned(), value);
                }
            }
            Value::Object(members)
        }
    }

    proptest! {
        /// Patching does what merging the documents does, with defaults in place of what was taken away.
        #[test]
        fn a_patch_is_a_merge_of_documents(patch in patches()) {
            let mut expected = json!({
                "title": "", "description": "", "status": "open", "priority": "normal", "dueAt": null, "tags": [],
            });
            for (name, value) in merge(document(&full()), &patch).as_object().unwrap() {
                expected[name] = value.clone();
            }
            prop_assert_eq!(document(&patched(&patch).unwrap()), expected);
        }

        #[test]
        fn a_patch_twice_is_a_patch_once(patch in patches()) {
            let patch: Patch = serde_json::from_value(patch).unwrap();
            let once = patch.apply(&full()).unwrap();
            prop_assert_eq!(patch.apply(&once).unwrap(), once);
        }
    }
}
