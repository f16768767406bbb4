//! Which spellings of a path are served.
//!
//! A path is matched once it is decoded, and handed on as it was written. The two mean the same only where there is
//! one way to write a path, so every other way is refused. Private paths are looked for first, and with all the
//! leniency that some later reader might have: what anybody could take for one is not there.

use std::borrow::Cow;

/// The segment whose paths belong to the host and its components.
const PRIVATE_SEGMENT: &str = ".chassis";

/// How often a path is decoded while private segments are looked for. A spelling that needs more is private.
const DECODE_ROUNDS_MAX: usize = 8;

/// What is to be done with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// Serve it. The path is decoded, for matching.
    Serve(Cow<'a, str>),
    /// Some reader could take it for a private path: nobody is told that such paths exist.
    Private,
    /// It has another spelling, which is the one that is served.
    Refuse(Spelling),
}

/// What is wrong with the spelling of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Spelling {
    /// No leading slash: `*`, or an authority.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A percent sign without two hexadecimal digits.
    #[error("the path has a malformed percent-encoding")]
    Percent,
    /// A character that is written without percent-encoding: letters, digits, `-`, `.`, `_`, `~`.
    #[error("the path encodes a character that needs no encoding")]
    NeedlessEncoding,
    /// An encoded slash, backslash or control character.
    #[error("the path encodes a separator or a control character")]
    EncodedSeparator,
    /// A character that RFC 3986 does not allow in a path.
    #[error("the path has a character that must be encoded")]
    RawCharacter,
    /// The decoded bytes are not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// Judge a path as it stands in a request, without its query.
pub(crate) fn judge(raw: &str) -> Verdict<'_> {
    if is_private(raw) {
        return Verdict::Private;
    }
    match decode(raw) {
        Ok(decoded) => Verdict::Serve(decoded),
        Err(spelling) => Verdict::Refuse(spelling),
    }
}

/// Decode a path that is served, and so has only one spelling (RFC 3986, section 6.2.2; hexadecimal digits may be in either case).
pub(crate) fn decode(raw: &str) -> Result<Cow<'_, str>, Spelling> {
    if !raw.starts_with('/') {
        return Err(Spelling::NotAbsolute);
    }
    if raw.contains("//") {
        return Err(Spelling::EmptySegment);
    }
    let decoded = if raw.contains('%') { decode_bytes(raw)? } else { check_raw(raw)? };
    if decoded.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(Spelling::DotSegment);
    }
    Ok(decoded)
}

fn check_raw(raw: &str) -> Result<Cow<'_, str>, Spelling> {
    if raw.bytes().all(is_path_byte) { Ok(Cow::Borrowed(raw)) } else { Err(Spelling::RawCharacter) }
}

fn decode_bytes(raw: &str) -> Result<Cow<'static, str>, Spelling> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let value = hex_pair(bytes.next(), bytes.next()).ok_or(Spelling::Percent)?;
            decoded.push(check_encoded(value)?);
        } else if is_path_byte(byte) {
            decoded.push(byte);
        } else {
            return Err(Spelling::RawCharacter);
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_not_utf8| Spelling::NotUtf8)
}

fn check_encoded(byte: u8) -> Result<u8, Spelling> {
    match byte {
        b'/' | b'\\' => Err(Spelling::EncodedSeparator),
        _ if byte.is_ascii_control() => Err(Spelling::EncodedSeparator),
        _ if is_unreserved(byte) => Err(Spelling::NeedlessEncoding),
        _ => Ok(byte),
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 without percent-encodings, and the slash.
const fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b':' | b'@')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// Whether any reader, however lenient, could find a private segment: after decoding any number of times, with
/// backslashes for slashes, in another letter case, with path parameters, trailing dots, spaces or control characters
/// cut off. It may stand at any depth, because guests that route by `spin-path-info` see only the tail of a path.
fn is_private(raw: &str) -> bool {
    let mut bytes = Cow::Borrowed(raw.as_bytes());
    for _ in 0..DECODE_ROUNDS_MAX {
        if bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(is_private_segment) {
            return true;
        }
        match decode_leniently(&bytes) {
            Some(decoded) => bytes = Cow::Owned(decoded),
            None => return false,
        }
    }
    true
}

fn is_private_segment(segment: &[u8]) -> bool {
    // Most segments are told apart by having no letter `c` in them, which costs less than folding them.
    if !segment.iter().any(|byte| matches!(byte, b'c' | b'C')) {
        return false;
    }
    let text = String::from_utf8_lossy(segment);
    let name = text.split([';', '?', '#', '\0']).next().unwrap_or_default();
    let name = name.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    fold(name).eq(fold(PRIVATE_SEGMENT))
}

/// Letter case taken away: up and down again, since some letters (such as the long s) meet only in capitals.
fn fold(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// One round of decoding that leaves malformed encodings alone. None where nothing was encoded.
fn decode_leniently(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.contains(&b'%') {
        return None;
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let value = (byte == b'%').then(|| hex_pair(after.first().copied(), after.get(1).copied())).flatten();
        decoded.push(value.unwrap_or(byte));
        rest = if value.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    (decoded.len() < bytes.len()).then_some(decoded)
}

#[cfg(test)]
mod tests;
