//! `chassis:platform/config`.

use wasmtime::component::Accessor;

use crate::bindings::chassis::platform::config as wit;
use crate::lent::{DELIVERY_TOKEN, HasLent, LentView};

impl wit::Host for LentView<'_> {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<Option<String>, wit::Error> {
        check_name(&name)?;
        accessor.with(|mut access| {
            let view = access.get();
            match view.lent.variables.get(&name) {
                Some(variable) if variable.secret => {
                    Err(wit::Error::InvalidName(format!("«{name}» is a secret: read it by `secret`")))
                }
                found => Ok(found.map(|variable| variable.value.clone())),
            }
        })
    }

    async fn secret(accessor: &Accessor<T, Self>, name: String) -> Result<Option<String>, wit::Error> {
        if name == DELIVERY_TOKEN {
            return Ok(Some(accessor.with(|mut access| access.get().lent.delivery_token.clone())));
        }
        check_name(&name)?;
        Ok(accessor.with(|mut access| access.get().lent.variables.get(&name).map(|variable| variable.value.clone())))
    }
}

/// Spin's rule: lower case letters, digits and single underscores, beginning with a letter.
fn check_name(name: &str) -> Result<(), wit::Error> {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && name.split('_').all(word) {
        Ok(())
    } else {
        Err(wit::Error::InvalidName("a variable's name is lower_snake_case".to_owned()))
    }
}
