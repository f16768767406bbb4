//! The table that finds the pattern for a path.

use std::collections::HashMap;

use super::path_segments;
use super::pattern::{RoutePattern, Segment, Tail};

/// Finds the value that belongs to a path.
///
/// Patterns are compared from the left: at the first segment where two of them differ, a literal goes before `:name`,
/// and `:name` before a wildcard. So an exact pattern goes before a wildcard, and of two wildcards the longer one wins.
/// The order in which patterns are given does not matter. A lookup costs one step per segment of the path, and at most one
/// per node of the table where literals and names overlap.
#[derive(Debug, Clone)]
pub struct Router<T> {
    root: Node,
    routes: Vec<(RoutePattern, T)>,
}

/// What a path was found to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<'router, 'path, T> {
    /// What belongs to the pattern.
    pub value: &'router T,
    /// The pattern.
    pub pattern: &'router RoutePattern,
    /// What the named segments stand for, in order.
    pub params: Vec<(&'router str, &'path str)>,
    /// What the wildcard stands for, with its leading slash: empty for a pattern without one, and where nothing follows.
    pub path_info: &'path str,
}

/// Two patterns that match the same paths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route «{second}» matches the same paths as «{first}»")]
pub struct DuplicateRoute {
    /// The pattern that was given first.
    pub first: RoutePattern,
    /// The one that says the same.
    pub second: RoutePattern,
}

/// One segment of the patterns that begin alike. Values are positions in `Router::routes`.
#[derive(Debug, Clone, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    param: Option<Box<Node>>,
    end: Option<usize>,
    anything: Option<usize>,
}

impl<T> Router<T> {
    /// Build the table.
    ///
    /// # Errors
    /// Every pattern that matches the same paths as an earlier one.
    pub fn new(routes: impl IntoIterator<Item = (RoutePattern, T)>) -> Result<Self, Vec<DuplicateRoute>> {
        let mut router = Self { root: Node::default(), routes: Vec::new() };
        let mut duplicates = Vec::new();
        for (pattern, value) in routes {
            let slot = router.root.slot(&pattern);
            match slot.and_then(|first| router.routes.get(first)) {
                Some((first, _)) => duplicates.push(DuplicateRoute { first: first.clone(), second: pattern }),
                None => {
                    *slot = Some(router.routes.len());
                    router.routes.push((pattern, value));
                }
            }
        }
        if duplicates.is_empty() { Ok(router) } else { Err(duplicates) }
    }

    /// Find what belongs to a path, which begins with `/` and is normalised and decoded.
    #[must_use]
    pub fn find<'router, 'path>(&'router self, path: &'path str) -> Option<Match<'router, 'path, T>> {
        let segments: Vec<&str> = path_segments(path).collect();
        let (pattern, value) = self.routes.get(self.root.find(&segments)?)?;
        let named = pattern.segments().iter().zip(&segments);
        let params = named.filter_map(|(segment, text)| match segment {
            Segment::Param(name) => Some((&**name, *text)),
            Segment::Literal(_) => None,
        });
        let path_info = match pattern.tail() {
            Tail::End => "",
            Tail::Anything => after(path, pattern.segments().len()),
        };
        Some(Match { value, pattern, params: params.collect(), path_info })
    }

    /// Every pattern with its value, in the order that they were given in.
    pub fn iter(&self) -> impl Iterator<Item = (&RoutePattern, &T)> {
        self.routes.iter().map(|(pattern, value)| (pattern, value))
    }
}

impl Node {
    fn slot(&mut self, pattern: &RoutePattern) -> &mut Option<usize> {
        let node = pattern.segments().iter().fold(self, |node, segment| match segment {
            Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
            Segment::Param(_) => node.param.get_or_insert_default(),
        });
        match pattern.tail() {
            Tail::End => &mut node.end,
            Tail::Anything => &mut node.anything,
        }
    }

    /// Goes no deeper than the longest pattern, which is bounded.
    fn find(&self, segments: &[&str]) -> Option<usize> {
        let Some((first, rest)) = segments.split_first() else {
            return self.end.or(self.anything);
        };
        let literal = self.literals.get(*first).and_then(|node| node.find(rest));
        let param = || self.param.as_ref().filter(|_| !first.is_empty()).and_then(|node| node.find(rest));
        literal.or_else(param).or(self.anything)
    }
}

/// What follows the first so many segments of a path, with its leading slash.
fn after(path: &str, segments: usize) -> &str {
    let start = match segments {
        0 => Some(0),
        _ => path.match_indices('/').nth(segments).map(|(start, _)| start),
    };
    start.and_then(|start| path.get(start..)).unwrap_or_default()
}
