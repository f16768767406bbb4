//! Members of a JSON merge patch (RFC 7396): absent, null, or a value.

use serde::{Deserialize, Deserializer};

/// What a merge patch says about one member. Use it with `#[serde(default)]`, so that an absent member is `Keep`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The member is absent: leave it as it is.
    #[default]
    Keep,
    /// The member is `null`: take the value away.
    Clear,
    /// The member has a value: set it.
    Set(T),
}

impl<T> Change<T> {
    /// Whether anything is asked for.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The value after the change.
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// The same change of another type, if the value can be turned into it.
    ///
    /// # Errors
    /// What `turn` answers.
    pub fn try_map<U, E>(self, turn: impl FnOnce(T) -> Result<U, E>) -> Result<Change<U>, E> {
        Ok(match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(turn(value)?),
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Patch {
        #[serde(default)]
        title: Change<String>,
    }

    #[test]
    fn absent_null_and_value_differ() {
        let read = |json| serde_json::from_str::<Patch>(json).unwrap().title;
        assert_eq!(read("{}"), Change::Keep);
        assert_eq!(read(r#"{"title":null}"#), Change::Clear);
        assert_eq!(read(r#"{"title":"x"}"#), Change::Set("x".into()));
        assert!(serde_json::from_str::<Patch>(r#"{"title":1}"#).is_err());
    }

    #[test]
    fn a_change_is_applied() {
        assert_eq!(Change::Keep.apply(Some(1)), Some(1));
        assert_eq!(Change::Clear.apply(Some(1)), None);
        assert_eq!(Change::Set(2).apply(None), Some(2));
        assert_eq!(Change::Set("7").try_map(str::parse::<i32>).unwrap(), Change::Set(7));
    }
}
