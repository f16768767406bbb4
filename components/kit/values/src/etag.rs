//! Entity tags made of row versions, and what `If-Match` asks of them (RFC 9110, sections 8.8.3 and 13.1.1).

/// Tags that one `If-Match` may list.
pub const TAGS_MAX: usize = 16;

/// The strong entity tag of a row version, with its quotes: `"7"`.
pub fn of_version(version: i64) -> String {
    format!("\"{version}\"")
}

/// What the caller asks of the present state before it is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: it exists, in whatever version.
    Any,
    /// One of these strong tags, with their quotes. A weak tag never matches, and so is not kept.
    Tags(Vec<String>),
}

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Precondition {
    /// `If-Match` is needed, and was not given (RFC 6585: 428).
    #[error("this request needs an If-Match header with the entity tag that it was based on, or `*`")]
    Required,
    /// It has changed since (RFC 9110: 412).
    #[error("it was changed in the meantime; read it again and decide anew")]
    Failed,
    /// The header cannot be read.
    #[error("If-Match must be `*` or a list of entity tags in double quotes")]
    Malformed,
}

impl IfMatch {
    /// Read the header's value.
    ///
    /// # Errors
    /// [`Precondition::Required`] where there is none, [`Precondition::Malformed`] where it cannot be read.
    pub fn parse(value: Option<&str>) -> Result<Self, Precondition> {
        let value = value.ok_or(Precondition::Required)?.trim();
        if value == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        for item in value.split(',').map(str::trim) {
            let (strong, tag) = item.strip_prefix("W/").map_or((true, item), |tag| (false, tag));
            if !is_quoted_tag(tag) || tags.len() >= TAGS_MAX {
                return Err(Precondition::Malformed);
            }
            if strong {
                tags.push(tag.to_owned());
            }
        }
        Ok(Self::Tags(tags))
    }

    /// Whether a row of this version may be changed.
    ///
    /// # Errors
    /// [`Precondition::Failed`].
    pub fn check(&self, version: i64) -> Result<(), Precondition> {
        match self {
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.contains(&of_version(version)) => Ok(()),
            Self::Tags(_) => Err(Precondition::Failed),
        }
    }
}

fn is_quoted_tag(tag: &str) -> bool {
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    // etagc of RFC 9110; a comma cannot be in ours, and splitting at commas above leaves none.
    inner.is_some_and(|text| text.bytes().all(|b| b == 0x21 || (0x23..=0x7e).contains(&b) || b >= 0x80))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_asked_for() {
        assert_eq!(IfMatch::parse(None), Err(Precondition::Required));
        assert_eq!(IfMatch::parse(Some(" * ")), Ok(IfMatch::Any));
        assert_eq!(IfMatch::parse(Some("\"1\", \"2\"")), Ok(IfMatch::Tags(vec!["\"1\"".into(), "\"2\"".into()])));
        for text in ["", "1", "\"1", "\"1\",", "\"a\"b\"", "W/1", "*, \"1\""] {
            assert_eq!(IfMatch::parse(Some(text)), Err(Precondition::Malformed), "{text}");
        }
    }

    #[test]
    fn weak_tags_never_match() {
        assert_eq!(IfMatch::parse(Some("W/\"3\"")).unwrap().check(3), Err(Precondition::Failed));
    }

    #[test]
    fn the_number_of_tags_is_bounded() {
        let many = vec!["\"1\""; TAGS_MAX + 1].join(",");
        assert_eq!(IfMatch::parse(Some(&many)), Err(Precondition::Malformed));
    }

    proptest! {
        #[test]
        fn a_tag_matches_its_version_only(version: i64, other: i64) {
            let asked = IfMatch::parse(Some(&of_version(version))).unwrap();
            prop_assert_eq!(asked.check(version), Ok(()));
            prop_assert_eq!(asked.check(other).is_ok(), version == other);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = IfMatch::parse(Some(&text));
        }
    }
}
