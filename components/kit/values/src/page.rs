//! Which page of a listing is asked for.

use serde::Deserialize;

use crate::violation::{Rule, Violations};

/// Items of a page where nothing is asked for.
pub const LIMIT_DEFAULT: u32 = 20;
/// Items of a page at most; who asks for more gets so many.
pub const LIMIT_MAX: u32 = 100;
/// Items that may be skipped by number. Skipping reads what it skips, so it has a bound; a cursor has none.
pub const SKIP_MAX: u32 = 10_000;

/// The members of a query string that ask for a page, as they were typed.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PageQuery {
    /// Items of the page.
    pub limit: Option<String>,
    /// Where it begins: what the page before gave as `nextCursor`.
    pub cursor: Option<String>,
    /// Where it begins, as a number of items. Not together with `cursor`.
    pub skip: Option<String>,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At the beginning.
    First,
    /// Behind the item that this cursor names; not decoded yet.
    After(String),
    /// Behind so many items.
    Skip(u32),
}

/// A page that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Items of the page, 1 to [`LIMIT_MAX`].
    pub limit: u32,
    /// Where it begins.
    pub start: Start,
}

impl PageQuery {
    /// Check what was typed.
    ///
    /// # Errors
    /// A number that is none or out of bounds, or `skip` together with `cursor`.
    pub fn check(&self) -> Result<PageRequest, Violations> {
        let mut all = Violations::new();
        let limit = all.check("limit", number("limit", self.limit.as_deref(), 1..=u32::MAX));
        let skip = all.check("skip", number("skip", self.skip.as_deref(), 0..=SKIP_MAX));
        if self.skip.is_some() && self.cursor.is_some() {
            all.push("skip", Rule::new("conflict", "cannot be used together with cursor"));
        }
        let request = limit.zip(skip).map(|(limit, skip)| PageRequest {
            limit: limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX),
            start: match (&self.cursor, skip) {
                (Some(cursor), _) => Start::After(cursor.clone()),
                (None, Some(count)) => Start::Skip(count),
                (None, None) => Start::First,
            },
        });
        all.finish(request)
    }
}

fn number(name: &str, text: Option<&str>, bounds: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, Rule> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(number) if bounds.contains(&number) => Ok(Some(number)),
        Ok(_) | Err(_) => {
            let detail = format!("{name} must be a whole number from {} to {}", bounds.start(), bounds.end());
            Err(Rule::new("out-of-range", detail))
        }
    }
}

/// Split what a query for `limit + 1` items gave into the page and whether another one follows.
pub fn split<T>(mut items: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    (items, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(limit: Option<&str>, cursor: Option<&str>, skip: Option<&str>) -> PageQuery {
        PageQuery { limit: limit.map(Into::into), cursor: cursor.map(Into::into), skip: skip.map(Into::into) }
    }

    #[test]
    fn defaults_and_the_cap() {
        let first = query(None, None, None).check().unwrap();
        assert_eq!(first, PageRequest { limit: LIMIT_DEFAULT, start: Start::First });
        assert_eq!(query(Some("500"), None, None).check().unwrap().limit, LIMIT_MAX);
        assert_eq!(query(Some("7"), Some("abc"), None).check().unwrap().start, Start::After("abc".into()));
        assert_eq!(query(None, None, Some("30")).check().unwrap().start, Start::Skip(30));
    }

    #[test]
    fn what_is_refused() {
        for limit in ["0", "-1", "x", "", "1.5", "99999999999"] {
            assert!(query(Some(limit), None, None).check().is_err(), "{limit}");
        }
        assert!(query(None, None, Some("10001")).check().is_err());
        assert!(query(None, Some("abc"), Some("1")).check().is_err());
    }

    proptest! {
        #[test]
        fn a_page_is_never_longer_than_asked(count in 0_usize..300, limit in 1_u32..=LIMIT_MAX) {
            let (items, more) = split((0..count).collect(), limit);
            prop_assert!(items.len() <= limit as usize);
            prop_assert_eq!(more, count > limit as usize);
        }
    }
}
