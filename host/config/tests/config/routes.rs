//! The route table against the plainest matcher that can be written.

use chassis_config::route::{RoutePattern, Router};
use proptest::prelude::*;

fn router(patterns: &[&str]) -> Router<usize> {
    let parsed = patterns.iter().enumerate().map(|(index, pattern)| (RoutePattern::parse(pattern).unwrap(), index));
    Router::new(parsed).unwrap()
}

#[test]
fn a_path_finds_its_pattern() {
    let cases = [
        ("/", Some(("/", ""))),
        ("/todos", Some(("/todos", ""))),
        ("/todos/", Some(("/todos", ""))),
        ("/todos//", Some(("/todos/...", "//"))),
        ("/todos/1", Some(("/todos/:id", ""))),
        ("/todos/1/", Some(("/todos/:id", ""))),
        ("/todos/new", Some(("/todos/new", ""))),
        ("/todos/new/x", Some(("/todos/...", "/new/x"))),
        ("/todos/1/tags", Some(("/todos/:id/tags", ""))),
        ("/todos/1/tags/2", Some(("/todos/...", "/1/tags/2"))),
        ("/todosx", Some(("/...", "/todosx"))),
        ("/files", Some(("/files/*", ""))),
        ("/files/", Some(("/files/*", "/"))),
        ("/files/a/b/", Some(("/files/*", "/a/b/"))),
        ("/ünï/côdé", Some(("/ünï/:x", ""))),
    ];
    let patterns =
        ["/...", "/", "/todos", "/todos/...", "/todos/:id", "/todos/new", "/todos/:id/tags", "/files/*", "/ünï/:x"];
    let router = router(&patterns);
    for (path, expected) in cases {
        let found = router.find(path).map(|found| (found.pattern.as_str(), found.path_info));
        assert_eq!(found, expected, "{path}");
    }
    assert_eq!(self::router(&["/a"]).find("/b"), None);
}

#[test]
fn named_segments_are_captured() {
    let router = router(&["/users/:user/orders/:order/..."]);
    let found = router.find("/users/usr_1/orders/ord_2/items/3").unwrap();
    assert_eq!(found.params, [("user", "usr_1"), ("order", "ord_2")]);
    assert_eq!(found.path_info, "/items/3");
    assert_eq!(router.find("/users//orders/ord_2").map(|found| found.params), None);
}

#[test]
fn a_pattern_knows_its_prefix() {
    for (pattern, prefix) in [("/", "/"), ("/...", "/"), ("/a/...", "/a"), ("/a/*", "/a"), ("/a/:b", "/a/:b")] {
        assert_eq!(RoutePattern::parse(pattern).unwrap().prefix(), prefix);
    }
}

#[test]
fn patterns_that_match_the_same_paths_are_duplicates() {
    for (first, second) in [("/a", "/a/"), ("/a/:x", "/a/:y"), ("/a/...", "/a/*"), ("/*", "/...")] {
        let routes = [first, second].map(|pattern| (RoutePattern::parse(pattern).unwrap(), ()));
        let duplicates = Router::new(routes).unwrap_err();
        assert_eq!(duplicates[0].to_string(), format!("route «{second}» matches the same paths as «{first}»"));
    }
}

#[test]
fn patterns_that_can_never_match_are_refused() {
    let long = format!("/{}", "a".repeat(1024));
    let deep = "/a".repeat(33);
    let refused = [
        ("", "begins with a slash"),
        ("todos", "begins with a slash"),
        ("//", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a//...", "empty segment"),
        ("/.../a", "only possible at the end"),
        ("/*/a", "only possible at the end"),
        ("/a*", "whole segments"),
        ("/:", "is not a name"),
        ("/:1", "is not a name"),
        ("/:name.json", "is not a name"),
        ("/:a/:a", "stands twice"),
        ("/a/../b", "normalised"),
        ("/a/./b", "normalised"),
        ("/a%20b", "decoded path"),
        ("/a?b", "decoded path"),
        ("/a b", "decoded path"),
        ("/a\\b", "decoded path"),
        ("/a\nb", "decoded path"),
        (&long, "1024 bytes"),
        (&deep, "32 segments"),
    ];
    for (pattern, reason) in refused {
        let error = RoutePattern::parse(pattern).unwrap_err();
        assert!(error.reason().contains(reason), "{pattern}: {error}");
    }
}

/// What a pattern is made of, said again in the plainest way.
fn naive_match(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let (fixed, wildcard) = match pattern.strip_suffix("/...") {
        Some(fixed) => (fixed, true),
        None => (pattern, false),
    };
    let cut = |text: &str| -> Vec<String> {
        let text = text.strip_suffix('/').unwrap_or(text);
        text.split('/').skip(1).map(str::to_owned).collect()
    };
    let (fixed, path) = (cut(fixed), cut(path));
    if path.len() < fixed.len() || (!wildcard && path.len() > fixed.len()) {
        return None;
    }
    // The rank of each segment, from the left: the smallest list is the best match.
    let mut ranks = Vec::new();
    for (pattern, text) in fixed.iter().zip(&path) {
        match pattern.starts_with(':') {
            true if !text.is_empty() => ranks.push(1),
            false if pattern == text => ranks.push(0),
            _ => return None,
        }
    }
    ranks.push(if wildcard { 3 } else { 2 });
    Some(ranks)
}

fn a_pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just(":"), Just("c")];
    (prop::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(segments, wildcard)| {
        let mut text: String = segments
            .iter()
            .enumerate()
            .map(|(i, s)| if *s == ":" { format!("/:p{i}") } else { format!("/{s}") })
            .collect();
        if wildcard {
            text.push_str("/...");
        }
        if text.is_empty() { "/".to_owned() } else { text }
    })
}

fn a_path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![4 => Just("a"), 4 => Just("b"), 2 => Just("x"), 1 => Just("")];
    (prop::collection::vec(segment, 0..6), any::<bool>()).prop_map(|(segments, slash)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        if slash || path.is_empty() { path + "/" } else { path }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_finds_what_the_naive_matcher_finds(
        patterns in prop::collection::btree_set(a_pattern(), 1..12),
        path in a_path(),
    ) {
        let patterns: Vec<String> = patterns.into_iter().collect();
        let parsed = patterns.iter().map(|pattern| (RoutePattern::parse(pattern).unwrap(), pattern.clone()));
        let router = Router::new(parsed).unwrap();
        let best = patterns.iter().filter_map(|p| Some((naive_match(p, &path)?, p))).min();
        let found = router.find(&path);
        prop_assert_eq!(found.as_ref().map(|found| found.value), best.map(|(_, pattern)| pattern));
        if let Some(found) = found {
            let mut rebuilt = String::new();
            for segment in found.pattern.prefix().split('/').skip(1).filter(|segment| !segment.is_empty()) {
                let text = found.params.iter().find(|(name, _)| segment == format!(":{name}")).map_or(segment, |p| p.1);
                rebuilt += &format!("/{text}");
            }
            let rest = path.strip_prefix(&rebuilt).unwrap();
            let followed = match found.pattern.is_wildcard() {
                true => found.path_info == rest,
                false => rest.is_empty() || rest == "/",
            };
            prop_assert!(followed, "{:?} of {}", found, path);
        }
    }

    #[test]
    fn a_pattern_alone_matches_as_in_the_table(pattern in a_pattern(), path in a_path()) {
        let parsed = RoutePattern::parse(&pattern).unwrap();
        prop_assert_eq!(parsed.matches(&path), naive_match(&pattern, &path).is_some());
        prop_assert_eq!(parsed.to_string(), pattern);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".*", path in ".*") {
        if let Ok(pattern) = RoutePattern::parse(&text) {
            let matches = pattern.matches(&path);
            let router = Router::new([(pattern, ())]).unwrap();
            prop_assert_eq!(router.find(&path).is_some(), matches);
        }
    }
}
