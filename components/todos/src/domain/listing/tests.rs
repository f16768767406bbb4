//! Queries, cursors and search.

use proptest::prelude::*;

use super::*;
use crate::domain::todo::Draft;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

fn listing(sort: &str) -> Listing {
    ListQuery { sort: Some(sort.to_owned()), ..ListQuery::default() }.check("usr_1").unwrap()
}

fn todo(created: i64, due: Option<i64>, random: u8) -> Todo {
    let due = due.map(|ms| at(ms).to_string());
    let content = Draft { title: Some("x"), due_at: due.as_deref(), ..Draft::default() }.check().unwrap();
    Todo::new(TodoId::new(at(created), [random; 10]), "usr_1", content, at(created))
}

#[test]
fn nothing_asked_lists_all_newest_first() {
    let all = ListQuery::default().check("usr_1").unwrap();
    assert_eq!(all, Listing { user_id: "usr_1".into(), filter: Filter::default(), sort: Sort::NewestFirst });
}

#[test]
fn every_member_chooses() {
    let query = ListQuery {
        status: Some("done".into()),
        priority: Some("low".into()),
        tag: Some("Home".into()),
        due_after: Some("2026-01-01T00:00:00Z".into()),
        due_before: Some("2026-02-01T00:00:00Z".into()),
        q: Some("  MILK ".into()),
        sort: Some("dueAt".into()),
    };
    let listing = query.check("usr_1").unwrap();
    let expected = Filter {
        status: Some(Status::Done),
        priority: Some(Priority::Low),
        tag: Some("Home".into()),
        due_after: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        due_before: Some("2026-02-01T00:00:00Z".parse().unwrap()),
        search: Some("milk".into()),
    };
    assert_eq!((listing.filter, listing.sort), (expected, Sort::DueFirst));
}

#[test]
fn everything_wrong_is_named_at_once() {
    let wrong = Some("?".repeat(101));
    let query = ListQuery {
        status: wrong.clone(),
        priority: wrong.clone(),
        tag: wrong.clone(),
        due_after: wrong.clone(),
        due_before: wrong.clone(),
        q: wrong.clone(),
        sort: wrong,
    };
    let violations = query.check("usr_1").unwrap_err();
    let found: Vec<_> = violations.as_slice().iter().map(|v| (v.pointer.as_str(), v.code)).collect();
    let expected = [
        ("status", "unknown-value"),
        ("priority", "unknown-value"),
        ("tag", "too-long"),
        ("dueAfter", "invalid-time"),
        ("dueBefore", "invalid-time"),
        ("q", "too-long"),
        ("sort", "unknown-value"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_empty_search_box_chooses_nothing() {
    for q in ["", "   "] {
        let query = ListQuery { q: Some(q.into()), ..ListQuery::default() };
        assert_eq!(query.check("usr_1").unwrap().filter.search, None);
    }
    let empty_status = ListQuery { status: Some(String::new()), ..ListQuery::default() };
    assert!(empty_status.check("usr_1").is_err());
}

#[test]
fn a_page_begins_where_it_is_asked_to() {
    let newest = listing("-createdAt");
    let first = newest.position(&Start::First).unwrap();
    assert_eq!(first, Position { key: i64::MAX, id: String::new(), skip: 0 });
    assert_eq!(newest.position(&Start::Skip(7)).unwrap(), Position { skip: 7, ..first });
    assert_eq!(listing("dueAt").position(&Start::First).unwrap().key, i64::MIN);

    let last = todo(5, None, 1);
    let cursor = newest.cursor_after(&last).unwrap();
    let expected = Position { key: 5, id: last.id.as_str().to_owned(), skip: 0 };
    assert_eq!(newest.position(&Start::After(cursor)).unwrap(), expected);
    for text in ["", "x", "!", "bnVsbA"] {
        assert!(newest.position(&Start::After(text.into())).is_err(), "{text}");
    }
}

#[test]
fn a_cursor_of_another_listing_is_refused() {
    let query = |change: fn(&mut ListQuery)| {
        let mut query = ListQuery::default();
        change(&mut query);
        query.check("usr_1").unwrap()
    };
    let listings = [
        query(|_| {}),
        query(|q| q.sort = Some("createdAt".into())),
        query(|q| q.status = Some("open".into())),
        query(|q| q.priority = Some("low".into())),
        query(|q| q.tag = Some("a".into())),
        query(|q| q.q = Some("a".into())),
        query(|q| q.tag = Some("a;0:;0:;1:a".into())),
        query(|q| q.due_after = Some("2026-01-01T00:00:00Z".into())),
        query(|q| q.due_before = Some("2026-01-01T00:00:00Z".into())),
        ListQuery::default().check("usr_2").unwrap(),
    ];
    for (from, one) in listings.iter().enumerate() {
        let cursor = Start::After(one.cursor_after(&todo(5, None, 1)).unwrap());
        for (to, other) in listings.iter().enumerate() {
            assert_eq!(other.position(&cursor).is_ok(), from == to, "cursor of {from} at {to}");
        }
    }
}

/// What the statements do: the keys behind the position, in order, so many.
fn page(listing: &Listing, todos: &[Todo], position: &Position, limit: usize) -> Vec<Todo> {
    let descending = matches!(listing.sort, Sort::NewestFirst | Sort::ChangedFirst);
    let mut sorted: Vec<_> = todos.iter().map(|t| ((listing.key(t), t.id.as_str().to_owned()), t.clone())).collect();
    sorted.sort_by(|(a, _), (b, _)| if descending { b.cmp(a) } else { a.cmp(b) });
    let from = (position.key, position.id.clone());
    let behind = |key: &(i64, String)| if descending { *key < from } else { *key > from };
    sorted.into_iter().filter(|(key, _)| behind(key)).map(|(_, todo)| todo).take(limit).collect()
}

proptest! {
    /// Following the cursors shows every todo once, in whatever order, also where many have the same key.
    #[test]
    fn pages_are_whole(
        times in proptest::collection::vec((0_i64..4, proptest::option::of(0_i64..3)), 0..30),
        sort in proptest::sample::select(Sort::WORDS),
        limit in 1_usize..6,
    ) {
        let todos: Vec<Todo> =
            times.iter().zip(0..).map(|((created, due), n)| todo(*created, *due, n)).collect();
        let listing = listing(sort);
        let mut position = listing.position(&Start::First).unwrap();
        let mut seen = Vec::new();
        loop {
            let items = page(&listing, &todos, &position, limit);
            let Some(last) = items.last() else { break };
            position = listing.position(&Start::After(listing.cursor_after(last).unwrap())).unwrap();
            seen.extend(items);
        }
        let mut ids: Vec<_> = seen.iter().map(|todo| todo.id.clone()).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), todos.len());
        prop_assert_eq!(seen.len(), todos.len());
    }

    #[test]
    fn a_part_of_a_text_is_found_in_whatever_case(text in "\\PC{0,40}", from in 0_usize..40, length in 0_usize..40) {
        let part: String = text.chars().skip(from).take(length).collect();
        prop_assert!(fold(&text).contains(&fold(&part)));
        prop_assert!(fold(&text).contains(&fold(&fold(&part))));
    }

    #[test]
    fn a_pattern_matches_its_text_and_nothing_by_accident(text in "[a%_\\\\]{0,8}", other in "[a%_\\\\]{0,8}") {
        prop_assert_eq!(like(&pattern(&text), &other), other.contains(&text));
    }
}

/// `like ... escape '\'`, by its definition.
fn like(pattern: &str, text: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    match pattern_chars.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern_chars.as_str();
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| like(rest, &text[at..]))
        }
        Some(c) => {
            let wanted = if c == '\\' { pattern_chars.next() } else { Some(c) };
            let mut text_chars = text.chars();
            match text_chars.next() {
                Some(t) if (c == '_') || Some(t) == wanted => like(pattern_chars.as_str(), text_chars.as_str()),
                _ => false,
            }
        }
    }
}
