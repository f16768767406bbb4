//! `chassis:platform/config`.

use chassis_config::plan::Variable;
use wasmtime::component::Accessor;

use crate::bindings::chassis::platform::config as wit;
use crate::lent::{DELIVERY_TOKEN, HasLent, LentView};

impl wit::Host for LentView {}

impl<T: Send + 'static> wit::HostWithStore<T> for HasLent {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<Option<String>, wit::Error> {
        let view = accessor.with(|mut access| access.get());
        match find(&view, &name)? {
            Some(variable) if variable.secret => {
                view.refuse("refused a secret that was asked for as a plain variable", &name, "");
                Err(wit::Error::InvalidName(format!("«{name}» is a secret: read it by `secret`")))
            }
            found => Ok(found.map(|variable| variable.value.clone())),
        }
    }

    async fn secret(accessor: &Accessor<T, Self>, name: String) -> Result<Option<String>, wit::Error> {
        let view = accessor.with(|mut access| access.get());
        if name == DELIVERY_TOKEN {
            return Ok(Some(view.lent.delivery_token.clone()));
        }
        Ok(find(&view, &name)?.map(|variable| variable.value.clone()))
    }
}

/// To a component, another's variable does not exist; the log tells the difference.
fn find<'a>(view: &'a LentView, name: &str) -> Result<Option<&'a Variable>, wit::Error> {
    if let Err(error) = check_name(name) {
        view.refuse("refused a variable by a name that none can have", name, "");
        return Err(error);
    }
    let found = view.lent.variables.get(name);
    if found.is_none() && view.lent.variable_names.contains(name) {
        view.refuse("refused a variable that the component was not given", name, "");
    }
    Ok(found)
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
