//! The component's variables, read once per instance.

use std::sync::{Arc, Mutex, PoisonError};

use chassis_kit::bindings::config;

use crate::domain::settings::{Settings, Variables, check_secret};
use crate::error::Error;

/// The settings, once they are read.
#[derive(Debug, Default)]
pub(super) struct SettingsCell {
    known: Mutex<Option<Arc<Settings>>>,
}

impl SettingsCell {
    /// The settings. Requests that ask at the same time may read them twice, which does no harm.
    pub(super) async fn read(&self) -> Result<Arc<Settings>, Error> {
        if let Some(known) = self.get() {
            return Ok(known);
        }
        let variables = Variables {
            access_token_expire_minutes: variable("access_token_expire_minutes").await?,
            jwt_expires_in: variable("jwt_expires_in").await?,
            refresh_token_expire_days: variable("refresh_token_expire_days").await?,
            token_issuer: variable("token_issuer").await?,
        };
        let settings = Arc::new(Settings::read(&variables)?);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&settings));
        Ok(settings)
    }

    fn get(&self) -> Option<Arc<Settings>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The secret that seals signing keys. It is read when it is needed, and not kept.
pub(super) async fn secret() -> Result<Option<String>, Error> {
    let secret = config::secret("secret_key".to_owned()).await.map_err(|error| unreadable("secret_key", &error))?;
    Ok(check_secret(secret)?)
}

async fn variable(name: &'static str) -> Result<Option<String>, Error> {
    config::get(name.to_owned()).await.map_err(|error| unreadable(name, &error))
}

fn unreadable(name: &str, error: &config::Error) -> Error {
    let why = match error {
        config::Error::InvalidName(why) | config::Error::Internal(why) => why,
    };
    Error::Fault(format!("the variable {name} could not be read: {why}"))
}
