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

/// The text, if a mail may repeat it; empty where it holds what a mail program could make a link of.
///
/// Nobody has proved that an address is theirs: whoever registers a stranger's is not to send them a link of their own
/// choice, under our sender. Addresses on the web and of mail are looked for in every form that a browser would open, with
/// the dots that IDNA (RFC 5895, section 2) takes for one; telephone numbers are not. A time (`10:30`) and a colon at the
/// end of a word are no links.
pub fn without_link(text: &str) -> &str {
    let mut previous: Option<char> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let next = rest.clone().next();
        let both = |is: fn(char) -> bool| previous.is_some_and(is) && next.is_some_and(is);
        let is_link = match c {
            '/' | '@' | '\\' => true,
            ':' => next.is_some_and(|next| !next.is_whitespace()) && !both(|c| c.is_ascii_digit()),
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => both(char::is_alphanumeric),
            _ => false,
        };
        if is_link {
            return "";
        }
        previous = Some(c);
    }
    text
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
    }

    #[test]
    fn no_link_is_repeated() {
        for text in
            ["", "Buy milk", "J. R.", "Dr. Ada", "O'Neil", "李", "Dentist at 10:30", "Call Ada: the tax", "Now..."]
        {
            assert_eq!(without_link(text), text);
        }
        for text in [
            "win at evil.example",
            "http://x",
            "x:/y",
            "www.evil.com",
            "mailto:x",
            "tel:123",
            "x:8080",
            "a@b",
            "x/y",
            "\\\\host",
            "1.2.3.4",
            "1.2:80",
            "ünï.example",
            "例え.テスト",
            "(evil.example)",
            "evil。example",
            "evil．example",
            "evil｡example",
        ] {
            assert_eq!(without_link(text), "", "{text}");
        }
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
        fn a_link_is_found_wherever_it_stands(
            before in "\\PC{0,20}", after in "\\PC{0,20}", link in "([a-z]+://[a-z]+|[a-z]+\\.[a-z]+|[a-z]+@[a-z]+)"
        ) {
            let text = format!("{before}{link}{after}");
            prop_assert_eq!(without_link(&text), "");
        }
    }
}
