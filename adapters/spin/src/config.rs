//! `chassis:platform/config` on `spin:variables`.

use crate::bindings::config::Error;
use crate::bindings::variables;

/// The token by which a Chassis host shows that a request on a private path is its own. Spin has no such paths, so there is
/// none, and the kit refuses them.
const DELIVERY_TOKEN: &str = "chassis-delivery-token";

/// What is to be asked of Spin: nothing for the delivery token.
///
/// # Errors
/// `invalid-name`.
pub fn asked(name: String) -> Result<Option<String>, Error> {
    if name == DELIVERY_TOKEN {
        return Ok(None);
    }
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && name.split('_').all(word) {
        Ok(Some(name))
    } else {
        Err(Error::InvalidName("a variable's name is lower_snake_case".to_owned()))
    }
}

/// What Spin's answer means. A variable that the manifest does not give to the component does not exist.
///
/// # Errors
/// `invalid-name` or `internal`.
pub fn answer(result: Result<String, variables::Error>) -> Result<Option<String>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(variables::Error::InvalidName(what)) => Err(Error::InvalidName(what)),
        Err(variables::Error::Provider(what) | variables::Error::Other(what)) => Err(Error::Internal(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_spin() {
        assert_eq!(asked("token_issuer".to_owned()), Ok(Some("token_issuer".to_owned())));
        assert_eq!(asked(DELIVERY_TOKEN.to_owned()), Ok(None));
        for name in ["", "A", "a__b", "_a", "a_", "1a", "a-b", "ä"] {
            assert!(matches!(asked(name.to_owned()), Err(Error::InvalidName(_))), "{name}");
        }
    }

    #[test]
    fn a_variable_that_is_not_there_is_no_error() {
        assert_eq!(answer(Ok("x".to_owned())), Ok(Some("x".to_owned())));
        assert_eq!(answer(Err(variables::Error::Undefined("x".to_owned()))), Ok(None));
        assert!(matches!(answer(Err(variables::Error::Provider("x".to_owned()))), Err(Error::Internal(_))));
    }
}
