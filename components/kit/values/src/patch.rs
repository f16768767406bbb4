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
}
