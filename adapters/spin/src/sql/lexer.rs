//! The words of an SQL text, divided as SQLite divides it (<https://www.sqlite.org/src/file/src/tokenize.c>).
//!
//! A general SQL tokenizer would not do: what is hidden from it in a quote or a comment, but not from SQLite, would pass
//! every check.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a plain name.
    Word,
    /// A name in `"`, `` ` `` or `[ ]`.
    Name,
    /// A text in `'`, with a blob's digits among them.
    Text,
    /// A number.
    Number,
    /// A parameter, in any way of writing it.
    Parameter,
    /// One character of punctuation.
    Mark,
    /// A quote without its end.
    Unfinished,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Bytes before it.
    pub start: usize,
    /// How it is written.
    pub text: &'a str,
}

impl Token<'_> {
    /// Whether it is this word, in any letter case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this mark.
    pub fn is_mark(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }
}

/// All tokens of a text, without spaces and comments.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = first(rest);
        let (part, _) = rest.split_at(length);
        if let Some(kind) = kind {
            found.push(Token { kind, start, text: part });
        }
        start += length;
    }
    found
}

/// The kind (none for what is skipped) and the length in bytes, at least 1, of what a text that is not empty begins with.
fn first(text: &str) -> (Option<Kind>, usize) {
    let bytes = text.as_bytes();
    let (Some(&byte), second) = (bytes.first(), bytes.get(1)) else { return (None, text.len()) };
    match (byte, second) {
        (b' ' | b'\t' | b'\n' | b'\r' | 0x0c, _) => (None, 1),
        (b'-', Some(b'-')) => (None, until(bytes, 2, b"\n")),
        (b'/', Some(b'*')) => (None, until(bytes, 2, b"*/")),
        (b'\'', _) => quoted(bytes, byte, Kind::Text),
        (b'"' | b'`', _) => quoted(bytes, byte, Kind::Name),
        (b'[', _) => bracketed(bytes),
        (b'?', _) => (Some(Kind::Parameter), 1 + run(bytes, 1, |byte| byte.is_ascii_digit())),
        (b'$' | b'@' | b'#' | b':', _) => (Some(Kind::Parameter), parameter(bytes)),
        (b'0'..=b'9', _) => (Some(Kind::Number), run(bytes, 0, |byte| is_name(byte) || byte == b'.')),
        // A byte order mark is skipped where a token may begin, and part of a name elsewhere.
        _ if text.starts_with('\u{feff}') => (None, '\u{feff}'.len_utf8()),
        _ if is_name(byte) => (Some(Kind::Word), run(bytes, 0, is_name)),
        _ => (Some(Kind::Mark), 1),
    }
}

/// Whether a byte may stand within a name.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

/// How many bytes, from `start`, are of a kind.
fn run(bytes: &[u8], start: usize, of_kind: impl Fn(u8) -> bool) -> usize {
    bytes.iter().skip(start).take_while(|byte| of_kind(**byte)).count()
}

/// The length up to and with `end`; all of it where there is none.
fn until(bytes: &[u8], start: usize, end: &[u8]) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let place = rest.windows(end.len()).position(|window| window == end);
    place.map_or(bytes.len(), |place| start + place + end.len())
}

/// A quote that stands twice stands for itself.
fn quoted(bytes: &[u8], quote: u8, kind: Kind) -> (Option<Kind>, usize) {
    let mut length = 1;
    loop {
        length += run(bytes, length, |byte| byte != quote);
        if length >= bytes.len() {
            return (Some(Kind::Unfinished), bytes.len());
        }
        if bytes.get(length + 1) != Some(&quote) {
            return (Some(kind), length + 1);
        }
        length += 2;
    }
}

fn bracketed(bytes: &[u8]) -> (Option<Kind>, usize) {
    let length = run(bytes, 0, |byte| byte != b']');
    if length < bytes.len() { (Some(Kind::Name), length + 1) } else { (Some(Kind::Unfinished), length) }
}

/// `$name`, with the beginning of what SQLite also takes for a part of the name: `$name::space` and `$name(index)`.
fn parameter(bytes: &[u8]) -> usize {
    let length = 1 + run(bytes, 1, is_name);
    let rest = bytes.get(length..).unwrap_or_default();
    if rest.starts_with(b"::") {
        length + 2
    } else if rest.starts_with(b"(") && length > 1 {
        length + 1
    } else {
        length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).into_iter().map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn quotes_and_comments_hide_what_is_in_them() {
        use Kind::{Mark, Name, Number, Parameter, Text, Word};
        assert_eq!(
            parts("select '$1''$2' -- $3\n, $4"),
            [(Word, "select"), (Text, "'$1''$2'"), (Mark, ","), (Parameter, "$4")]
        );
        assert_eq!(parts("\"a\"\"$1\" `$2` [$3]"), [(Name, "\"a\"\"$1\""), (Name, "`$2`"), (Name, "[$3]")]);
        assert_eq!(
            parts("/* $1 ' */ $2 /*/ $3 */ x'ab'$4"),
            [(Parameter, "$2"), (Word, "x"), (Text, "'ab'"), (Parameter, "$4")]
        );
        assert_eq!(parts("a$1 1$1 1.5e3 ä$1"), [(Word, "a$1"), (Number, "1$1"), (Number, "1.5e3"), (Word, "ä$1")]);
        assert_eq!(
            parts("?1 ? :a @a $1::b $1(c)"),
            [
                (Parameter, "?1"),
                (Parameter, "?"),
                (Parameter, ":a"),
                (Parameter, "@a"),
                (Parameter, "$1::"),
                (Word, "b"),
                (Parameter, "$1("),
                (Word, "c"),
                (Mark, ")")
            ]
        );
        assert_eq!(parts("\u{feff}select"), [(Word, "select")]);
        assert_eq!(parts("sel\u{feff}ect"), [(Word, "sel\u{feff}ect")]);
    }

    #[test]
    fn what_has_no_end_is_said_so() {
        for text in ["'a", "'a''", "\"a", "`", "[a"] {
            assert_eq!(parts(text), [(Kind::Unfinished, text)]);
        }
        assert_eq!(parts("/* a"), []);
        assert_eq!(parts("-- a"), []);
    }

    proptest! {
        #[test]
        fn tokens_are_in_order_and_stand_where_they_say(text in "[a$1?'\"\\[\\]/*\\-\n ;.:(ä\u{feff}]{0,40}") {
            let mut end = 0;
            for token in tokens(&text) {
                prop_assert!(token.start >= end && !token.text.is_empty());
                prop_assert_eq!(text.get(token.start..token.start + token.text.len()), Some(token.text));
                end = token.start + token.text.len();
            }
        }
    }
}
