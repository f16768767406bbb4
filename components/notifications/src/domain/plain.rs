//! Text of strangers, made fit for a header or a paragraph.

/// What stands in place of what was cut off.
const ELLIPSIS: char = '…';

/// The text as one line of at most so many characters: fit for a header field.
///
/// White space and control characters become single spaces. Characters that turn the direction of writing are dropped,
/// because they can make a line read as another one.
pub fn one_line(text: &str, characters_max: usize) -> String {
    let spaced: String = text.chars().map(|c| if is_break(c) { ' ' } else { c }).filter(|c| !is_turn(*c)).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    cut(&words.join(" "), characters_max)
}

/// The text as paragraphs of at most so many characters in all: line breaks stay, other control characters go.
pub fn paragraphs(text: &str, characters_max: usize) -> String {
    let kept: String = text
        .replace("\r\n", "\n")
        .chars()
        .map(|c| if matches!(c, '\r' | '\u{2028}' | '\u{2029}') { '\n' } else { c })
        .filter(|c| !is_turn(*c) && (!c.is_control() || matches!(c, '\n' | '\t')))
        .collect();
    cut(kept.trim(), characters_max)
}

fn cut(text: &str, characters_max: usize) -> String {
    if text.chars().nth(characters_max).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push(ELLIPSIS);
    short
}

fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Bidirectional controls (Unicode Standard Annex 9, section 2).
fn is_turn(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(one_line(" Buy\tmilk ", 100), "Buy milk");
        assert_eq!(one_line("Milk\r\nBcc: x@y", 100), "Milk Bcc: x@y");
        assert_eq!(one_line("a\u{2028}b\u{0}c\u{7f}d", 100), "a b c d");
        assert_eq!(one_line("\u{202e}txt.exe", 100), "txt.exe");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(one_line("äöüß", 4), "äöüß");
        assert_eq!(one_line("äöüßx", 4), "äöü…");
        assert_eq!(one_line("ab cd", 4), "ab…");
        assert_eq!(paragraphs("a\nb\nc", 4), "a\nb…");
    }

    #[test]
    fn paragraphs_keep_their_line_breaks() {
        assert_eq!(paragraphs(" a\r\nb\rc\u{0}\td ", 100), "a\nb\nc\td");
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_header(text in any::<String>(), max in 1_usize..300) {
            let line = one_line(&text, max);
            prop_assert!(!line.chars().any(|c| is_break(c) || is_turn(c)));
            prop_assert!(line.chars().count() <= max);
            prop_assert_eq!(line.trim(), &line);
        }

        #[test]
        fn paragraphs_hold_nothing_else(text in any::<String>(), max in 1_usize..300) {
            let kept = paragraphs(&text, max);
            prop_assert!(kept.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            prop_assert!(kept.chars().count() <= max);
        }
    }
}
