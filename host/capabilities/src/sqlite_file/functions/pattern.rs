//! `like` and `glob`.
//!
//! SQLite's own try a pattern at every place of a text. That takes seconds for one call with a pattern of a thousand bytes
//! and a text of a megabyte, and no deadline reaches into it. These answer the same and look at the deadline on the way.
//! The price: SQLite knows its own two by heart and may look up a fixed beginning in an index, which it does not for these.

use super::{Answer, Argument, Call};

/// Comparisons between two looks at the deadline.
const STEPS_BETWEEN_CHECKS: u32 = 1 << 16;

/// A piece of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// Any text, also none.
    Any,
    /// One character.
    One,
    /// One byte of a character that stands for itself.
    Byte(u8),
    /// A character of these ranges, or one of no other.
    Set { ranges: Vec<(char, char)>, inverted: bool },
    /// Nothing fits.
    Never,
}

/// Whether letters of ASCII differ by their case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Differs,
    Folded,
}

/// `like(pattern, text)` and `like(pattern, text, escape)`.
pub(super) fn like(arguments: &[Argument<'_>], call: &Call<'_>) -> Answer {
    let (Some(pattern), Some(text)) = (arguments.first(), arguments.get(1)) else { return Answer::Null };
    let escape = match arguments.get(2).map(|escape| escape.bytes().map(str::from_utf8)) {
        None => None,
        Some(None) => return Answer::Null,
        Some(Some(escape)) => {
            let mut characters = escape.unwrap_or_default().chars();
            let (Some(escape), None) = (characters.next(), characters.next()) else {
                return Answer::Wrong("ESCAPE expression must be a single character");
            };
            Some(escape)
        }
    };
    compare(*pattern, *text, call, |pattern| like_pieces(pattern, escape), Case::Folded)
}

/// `glob(pattern, text)`.
pub(super) fn glob(arguments: &[Argument<'_>], call: &Call<'_>) -> Answer {
    let [pattern, text] = arguments else { return Answer::Null };
    compare(*pattern, *text, call, glob_pieces, Case::Differs)
}

fn compare(
    pattern: Argument<'_>,
    text: Argument<'_>,
    call: &Call<'_>,
    read: impl FnOnce(&str) -> Vec<Piece>,
    case: Case,
) -> Answer {
    if pattern.bytes().is_some_and(|pattern| pattern.len() > call.longest_pattern) {
        return Answer::Wrong("LIKE or GLOB pattern too complex");
    }
    let (Some(pattern), Some(text)) = (pattern.bytes(), text.bytes()) else { return Answer::Null };
    // A text ends for SQLite at a NUL here.
    let pieces = read(&String::from_utf8_lossy(up_to_nul(pattern)));
    match fits(&pieces, up_to_nul(text), case, call) {
        Some(fits) => Answer::Integer(i64::from(fits)),
        None => Answer::Interrupted,
    }
}

fn up_to_nul(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).and_then(|end| text.get(..end)).unwrap_or(text)
}

fn like_pieces(pattern: &str, escape: Option<char>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => match characters.next() {
                Some(escaped) => push_literal(&mut pieces, escaped),
                None => pieces.push(Piece::Never),
            },
            '%' => push_any(&mut pieces),
            '_' => pieces.push(Piece::One),
            literal => push_literal(&mut pieces, literal),
        }
    }
    pieces
}

fn glob_pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => push_any(&mut pieces),
            '?' => pieces.push(Piece::One),
            '[' => pieces.push(read_set(&mut characters)),
            literal => push_literal(&mut pieces, literal),
        }
    }
    pieces
}

/// `[^a-z]` behind its bracket. A `]` is a member where it comes first, a `-` where it is first or last.
fn read_set(characters: &mut std::str::Chars<'_>) -> Piece {
    let mut ranges = Vec::new();
    let mut next = characters.next();
    let inverted = next == Some('^');
    if inverted {
        next = characters.next();
    }
    if next == Some(']') {
        ranges.push((']', ']'));
        next = characters.next();
    }
    let mut before = None;
    while let Some(character) = next.filter(|character| *character != ']') {
        let end = characters.as_str().chars().next().filter(|end| *end != ']');
        match (character, before, end) {
            ('-', Some(start), Some(end)) => {
                ranges.push((start, end));
                before = None;
                characters.next();
            }
            _ => {
                ranges.push((character, character));
                before = Some(character);
            }
        }
        next = characters.next();
    }
    if next.is_none() { Piece::Never } else { Piece::Set { ranges, inverted } }
}

fn push_any(pieces: &mut Vec<Piece>) {
    if pieces.last() != Some(&Piece::Any) {
        pieces.push(Piece::Any);
    }
}

fn push_literal(pieces: &mut Vec<Piece>, literal: char) {
    pieces.extend(literal.encode_utf8(&mut [0; 4]).bytes().map(Piece::Byte));
}

/// Whether a text fits a pattern; none where the time is up. Only the last [`Piece::Any`] is ever tried again: what the ones
/// before it have taken is as good as any other choice.
fn fits(pieces: &[Piece], text: &[u8], case: Case, call: &Call<'_>) -> Option<bool> {
    let (mut piece, mut at) = (0, 0);
    let mut retry = None;
    let mut steps = 0_u32;
    loop {
        steps += 1;
        if steps >= STEPS_BETWEEN_CHECKS {
            steps = 0;
            if (call.expired)() {
                return None;
            }
        }
        let step = match pieces.get(piece) {
            Some(Piece::Any) => {
                piece += 1;
                if piece == pieces.len() {
                    return Some(true);
                }
                retry = Some((piece, at));
                continue;
            }
            Some(wanted) => take(wanted, text.get(at..).unwrap_or_default(), case),
            None if at == text.len() => return Some(true),
            None => None,
        };
        if let Some(length) = step {
            piece += 1;
            at += length;
            continue;
        }
        let Some((after, from)) = retry.filter(|(_, from)| *from < text.len()) else { return Some(false) };
        retry = Some((after, from + 1));
        (piece, at) = (after, from + 1);
    }
}

/// How many bytes of a text a piece takes; none where it does not fit.
fn take(piece: &Piece, text: &[u8], case: Case) -> Option<usize> {
    let first = *text.first()?;
    match piece {
        Piece::Byte(byte) if case == Case::Folded => byte.eq_ignore_ascii_case(&first).then_some(1),
        Piece::Byte(byte) => (*byte == first).then_some(1),
        // In the middle of a character no other begins.
        Piece::One if is_continuation(first) => None,
        Piece::One => Some(character_bytes(text).len()),
        Piece::Set { .. } if is_continuation(first) => None,
        Piece::Set { ranges, inverted } => {
            let bytes = character_bytes(text);
            let character = str::from_utf8(bytes).ok().and_then(|text| text.chars().next()).unwrap_or('\u{fffd}');
            let is_in = ranges.iter().any(|(start, end)| (*start..=*end).contains(&character));
            (is_in != *inverted).then_some(bytes.len())
        }
        Piece::Any | Piece::Never => None,
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The first byte and those that continue it.
fn character_bytes(text: &[u8]) -> &[u8] {
    let more = text.iter().skip(1).take_while(|byte| is_continuation(**byte)).count();
    text.get(..=more).unwrap_or_default()
}
