//! SQL functions that replace SQLite's own of the same name.
//!
//! SQLite's `instr`, `replace` and two-argument `trim` compare every place of one argument with all of another: with
//! arguments of a megabyte, one call runs for minutes to hours, and no deadline reaches into it. These take time in
//! proportion to their arguments, and answer the same; `like` and `glob` look at the deadline instead (see [`pattern`]).

mod pattern;

use std::collections::HashSet;

use memchr::memmem;

/// An argument; numbers come as the text that SQLite makes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    Null,
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    /// The answer is longer than a value may be.
    TooLong,
    /// An argument is not as it must be.
    Wrong(&'static str),
    /// The time was up.
    Interrupted,
}

/// The bounds of one call.
pub(super) struct Call<'a> {
    /// Bytes of the longest value.
    pub(super) longest: usize,
    /// Bytes of the longest pattern.
    pub(super) longest_pattern: usize,
    /// Whether the time is up.
    pub(super) expired: &'a dyn Fn() -> bool,
}

/// A function: what it does with its arguments.
pub(super) type Function = fn(&[Argument<'_>], &Call<'_>) -> Answer;

/// Name, number of arguments, and what it does.
pub(super) struct Entry {
    pub(super) name: &'static std::ffi::CStr,
    pub(super) arguments: i32,
    pub(super) function: Function,
}

/// All that are replaced. Those that are slow in the same way and that nobody needs are refused to guests (see `rules`).
pub(super) static FUNCTIONS: [Entry; 8] = [
    Entry { name: c"instr", arguments: 2, function: instr },
    Entry { name: c"replace", arguments: 3, function: replace },
    Entry { name: c"trim", arguments: 2, function: trim },
    Entry { name: c"ltrim", arguments: 2, function: trim_start },
    Entry { name: c"rtrim", arguments: 2, function: trim_end },
    Entry { name: c"like", arguments: 2, function: pattern::like },
    Entry { name: c"like", arguments: 3, function: pattern::like },
    Entry { name: c"glob", arguments: 2, function: pattern::glob },
];

impl<'a> Argument<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Null => None,
            Self::Text(bytes) | Self::Blob(bytes) => Some(bytes),
        }
    }
}

/// The place of the first occurrence, from 1: in bytes where both are blobs, else in characters.
fn instr(arguments: &[Argument<'_>], _call: &Call<'_>) -> Answer {
    let [haystack, needle] = arguments else { return Answer::Null };
    let (Some(text), Some(part)) = (haystack.bytes(), needle.bytes()) else { return Answer::Null };
    let Some(before) = memmem::find(text, part).and_then(|at| text.get(..at)) else { return Answer::Integer(0) };
    let are_blobs = matches!((haystack, needle), (Argument::Blob(_), Argument::Blob(_)));
    let places = if are_blobs { before.len() } else { before.iter().filter(|byte| starts_character(**byte)).count() };
    Answer::Integer(i64::try_from(places).unwrap_or(i64::MAX).saturating_add(1))
}

fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

fn replace(arguments: &[Argument<'_>], call: &Call<'_>) -> Answer {
    let [text, old, new] = arguments else { return Answer::Null };
    let (Some(text), Some(old), Some(new)) = (text.bytes(), old.bytes(), new.bytes()) else { return Answer::Null };
    if old.is_empty() {
        return Answer::Text(text.to_owned());
    }
    let finder = memmem::Finder::new(old);
    let found = finder.find_iter(text).count();
    let length = text.len().saturating_sub(found * old.len()).saturating_add(found.saturating_mul(new.len()));
    if length > call.longest {
        return Answer::TooLong;
    }
    let mut answer = Vec::with_capacity(length);
    let mut rest = text;
    while let Some(at) = finder.find(rest) {
        let (before, after) = rest.split_at(at);
        answer.extend_from_slice(before);
        answer.extend_from_slice(new);
        rest = after.get(old.len()..).unwrap_or_default();
    }
    answer.extend_from_slice(rest);
    Answer::Text(answer)
}

fn trim(arguments: &[Argument<'_>], _call: &Call<'_>) -> Answer {
    trimmed(arguments, |text, set| text.trim_matches(|c| set.contains(&c)))
}

fn trim_start(arguments: &[Argument<'_>], _call: &Call<'_>) -> Answer {
    trimmed(arguments, |text, set| text.trim_start_matches(|c| set.contains(&c)))
}

fn trim_end(arguments: &[Argument<'_>], _call: &Call<'_>) -> Answer {
    trimmed(arguments, |text, set| text.trim_end_matches(|c| set.contains(&c)))
}

/// Characters of the second argument are taken from the ends of the first. What is not UTF-8 has no characters, and
/// stays as it is.
fn trimmed(arguments: &[Argument<'_>], take: impl for<'t> Fn(&'t str, &HashSet<char>) -> &'t str) -> Answer {
    let [text, characters] = arguments else { return Answer::Null };
    let (Some(bytes), Some(characters)) = (text.bytes(), characters.bytes()) else { return Answer::Null };
    let (Ok(text), Ok(characters)) = (str::from_utf8(bytes), str::from_utf8(characters)) else {
        return Answer::Text(bytes.to_owned());
    };
    let set = characters.chars().collect();
    Answer::Text(take(text, &set).as_bytes().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(longest: usize) -> Call<'static> {
        Call { longest, longest_pattern: 1000, expired: &|| false }
    }

    fn text(answer: Answer) -> String {
        match answer {
            Answer::Text(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_as_sqlite_does() {
        let t = |text: &'static str| Argument::Text(text.as_bytes());
        assert_eq!(instr(&[t("hällo"), t("l")], &call(99)), Answer::Integer(3));
        assert_eq!(instr(&[t("hällo"), t("")], &call(99)), Answer::Integer(1));
        assert_eq!(instr(&[t("hällo"), t("x")], &call(99)), Answer::Integer(0));
        assert_eq!(instr(&[t("hällo"), Argument::Null], &call(99)), Answer::Null);
        assert_eq!(instr(&[Argument::Blob("hällo".as_bytes()), Argument::Blob(b"l")], &call(99)), Answer::Integer(4));
        assert_eq!(text(replace(&[t("abcabc"), t("bc"), t("-")], &call(99))), "a-a-");
        assert_eq!(text(replace(&[t("aaa"), t("aa"), t("b")], &call(99))), "ba");
        assert_eq!(text(replace(&[t("abc"), t(""), t("x")], &call(99))), "abc");
        assert_eq!(replace(&[t("abc"), Argument::Null, t("x")], &call(99)), Answer::Null);
        assert_eq!(replace(&[t("aaaa"), t("a"), t("xxx")], &call(11)), Answer::TooLong);
        assert_eq!(text(trim(&[t("xyäbxäx"), t("xyä")], &call(99))), "b");
        assert_eq!(text(trim_start(&[t("xxbxx"), t("x")], &call(99))), "bxx");
        assert_eq!(text(trim_end(&[t("xxbxx"), t("x")], &call(99))), "xxb");
        assert_eq!(text(trim(&[t(" a "), t("")], &call(99))), " a ");
        assert_eq!(trim(&[Argument::Null, t("x")], &call(99)), Answer::Null);
    }
}
