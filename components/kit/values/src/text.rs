//! Rules for text that people type.

use std::ops::RangeInclusive;

use crate::violation::Rule;

/// The text without the white space around it, if it has so many characters (Unicode scalar values).
///
/// # Errors
/// Too short, too long, or with a control character in it. Line breaks and tabs count as such: see [`paragraph`].
pub fn line(text: &str, characters: RangeInclusive<usize>) -> Result<String, Rule> {
    checked(text, characters, |c| !c.is_control())
}

/// As [`line()`], but line breaks and tabs are permitted.
///
/// # Errors
/// Too short, too long, or with another control character in it.
pub fn paragraph(text: &str, characters: RangeInclusive<usize>) -> Result<String, Rule> {
    checked(text, characters, |c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

fn checked(text: &str, characters: RangeInclusive<usize>, permitted: fn(char) -> bool) -> Result<String, Rule> {
    let trimmed = text.trim();
    length(trimmed, characters)?;
    if !trimmed.chars().all(permitted) {
        return Err(Rule::new("invalid-character", "must not hold control characters"));
    }
    Ok(trimmed.to_owned())
}

/// Whether the text has so many characters (Unicode scalar values).
///
/// # Errors
/// Too short, or too long.
pub fn length(text: &str, characters: RangeInclusive<usize>) -> Result<(), Rule> {
    let (least, most) = (*characters.start(), *characters.end());
    // Counting stops where the answer is known, however long the text is.
    let count = text.chars().take(most.saturating_add(1)).count();
    if count == 0 && least > 0 {
        return Err(Rule::new("too-short", "must not be empty"));
    }
    if count < least {
        return Err(Rule::new("too-short", format!("must have at least {least} characters")));
    }
    if count > most {
        return Err(Rule::new("too-long", format!("must have at most {most} characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_is_dropped_and_does_not_count() {
        assert_eq!(line("  Ada \n", 1..=3).unwrap(), "Ada");
        assert_eq!(line(" \t ", 1..=3).unwrap_err().code, "too-short");
    }

    #[test]
    fn characters_count_not_bytes() {
        assert_eq!(line("äöü", 1..=3).unwrap(), "äöü");
        assert_eq!(line("äöüß", 1..=3).unwrap_err().code, "too-long");
    }

    #[test]
    fn control_characters_are_refused_in_a_line() {
        for text in ["a\u{0}b", "a\nb", "a\u{1b}[31m", "a\r\nBcc: x"] {
            assert_eq!(line(text, 0..=100).unwrap_err().code, "invalid-character");
        }
        assert_eq!(paragraph("a\n\tb", 0..=100).unwrap(), "a\n\tb");
        assert_eq!(paragraph("a\u{0}b", 0..=100).unwrap_err().code, "invalid-character");
    }
}
