//! One route pattern.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::path_segments;

/// Bytes of a pattern at most.
const PATTERN_BYTES_MAX: usize = 1024;
/// Segments of a pattern at most. It also bounds the depth of the route table.
const SEGMENTS_MAX: usize = 32;

/// A pattern of paths in Spin's syntax.
///
/// `/todos` matches that path, with or without one trailing slash; `:id` stands for one segment that is not empty; a
/// trailing `/...` (or `/*`) stands for whatever follows, nothing included. Two patterns that match the same paths are
/// equal, whatever their names are: `/a/:x` and `/a/:y/`.
#[derive(Debug, Clone)]
pub struct RoutePattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    tail: Tail,
}

/// A segment of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Segment {
    /// This text.
    Literal(Box<str>),
    /// Any text that is not empty, by name.
    Param(Box<str>),
}

/// What may follow the last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing but one slash.
    End,
    /// Anything.
    Anything,
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route «{pattern}»: {reason}")]
pub struct RouteError {
    pattern: String,
    reason: String,
}

impl RouteError {
    /// What is wrong, and what to write instead.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl RoutePattern {
    /// Read a pattern.
    ///
    /// # Errors
    /// Where it does not begin with `/`, is longer than 1024 bytes or 32 segments, has an empty, `.` or `..` segment, a
    /// wildcard that is not last, a name that is empty, repeated or not `[A-Za-z_][A-Za-z0-9_-]*`, or a byte that no
    /// decoded path is compared by (`%`, `?`, `#`, `\`, blanks and control characters).
    pub fn parse(pattern: &str) -> Result<Self, RouteError> {
        parse(pattern).map_err(|reason| RouteError { pattern: pattern.chars().take(120).collect(), reason })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern without its wildcard, such as `/todos` for `/todos/...`; `/` for `/...`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let prefix = match self.tail {
            Tail::End => &*self.text,
            Tail::Anything => self.text.rsplit_once('/').map_or("", |(prefix, _)| prefix),
        };
        if prefix.is_empty() { "/" } else { prefix }
    }

    /// Whether it ends in a wildcard.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.tail == Tail::Anything
    }

    /// Whether it matches a path, which is normalised and decoded.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = path_segments(path);
        let prefix = self.segments.iter().all(|segment| match (segment, rest.next()) {
            (Segment::Literal(literal), Some(text)) => **literal == *text,
            (Segment::Param(_), Some(text)) => !text.is_empty(),
            (_, None) => false,
        });
        prefix && (self.is_wildcard() || rest.next().is_none())
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn tail(&self) -> Tail {
        self.tail
    }

    /// What two patterns that match the same paths have in common.
    fn shape(&self) -> impl Iterator<Item = Option<&str>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Literal(literal) => Some(&**literal),
            Segment::Param(_) => None,
        })
    }
}

fn parse(pattern: &str) -> Result<RoutePattern, String> {
    let Some(path) = pattern.strip_prefix('/') else {
        return Err("a route begins with a slash".to_owned());
    };
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a route has at most {PATTERN_BYTES_MAX} bytes"));
    }
    if let Some(odd) = pattern.chars().find(|c| c.is_control() || c.is_whitespace() || "%?#\\".contains(*c)) {
        return Err(format!(
            "{odd:?} cannot be part of a route: routes are compared with the decoded path, without query"
        ));
    }
    let (path, tail) = split_tail(path);
    let mut segments: Vec<Segment> = Vec::new();
    for text in path.into_iter().flat_map(|path| path.split('/')) {
        let segment = parse_segment(text)?;
        if let Segment::Param(name) = &segment
            && segments.iter().any(|s| matches!(s, Segment::Param(other) if other == name))
        {
            return Err(format!("«:{name}» stands twice: give each segment a name of its own"));
        }
        segments.push(segment);
    }
    if segments.len() > SEGMENTS_MAX {
        return Err(format!("a route has at most {SEGMENTS_MAX} segments"));
    }
    Ok(RoutePattern { text: pattern.into(), segments: segments.into(), tail })
}

/// The part before the wildcard or the trailing slash, or none where nothing is left.
fn split_tail(path: &str) -> (Option<&str>, Tail) {
    if matches!(path, "..." | "*") {
        return (None, Tail::Anything);
    }
    if let Some(prefix) = path.strip_suffix("/...").or_else(|| path.strip_suffix("/*")) {
        return (Some(prefix), Tail::Anything);
    }
    let inner = (!path.is_empty()).then(|| path.strip_suffix('/').unwrap_or(path));
    (inner, Tail::End)
}

fn parse_segment(text: &str) -> Result<Segment, String> {
    if let Some(name) = text.strip_prefix(':') {
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if starts && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Ok(Segment::Param(name.into()));
        }
        return Err(format!("«{text}» is not a name: write `:name`, of letters, digits, `_` and `-`"));
    }
    match text {
        "" => Err("an empty segment never matches: remove the second slash".to_owned()),
        "..." | "*" => Err(format!("«{text}» is only possible at the end of a route: use `:name` for one segment")),
        "." | ".." => Err(format!("«{text}» never matches: paths are normalised before they are compared")),
        _ if text.contains('*') => {
            Err(format!("«{text}»: a wildcard stands for whole segments, at the end of a route"))
        }
        _ => Ok(Segment::Literal(text.into())),
    }
}

impl PartialEq for RoutePattern {
    fn eq(&self, other: &Self) -> bool {
        self.tail == other.tail && self.shape().eq(other.shape())
    }
}

impl Eq for RoutePattern {}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RoutePattern {
    type Err = RouteError;

    fn from_str(pattern: &str) -> Result<Self, RouteError> {
        Self::parse(pattern)
    }
}

impl Serialize for RoutePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
