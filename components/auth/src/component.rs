//! Binds the crate to its world: `wasi:http/handler` and `chassis:auth/identity`.

mod identity;
mod settings;

use std::sync::{Arc, OnceLock};

use chassis_kit::alias::{Alias, Aliases};
use chassis_kit::health::Check;
use chassis_kit::routes::Routes;
use chassis_kit::user::TokenCache;
use chassis_kit::{Component, Db, Environment, Identity, Verifier, VerifyError};

use self::settings::SettingsCell;
use crate::domain::settings::Settings;
use crate::error::Error;
use crate::handlers::identify;
use crate::store::keyring::Keyring;

chassis_kit::serve!(App, app().clone());

/// What one instance works with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    tokens: TokenCache,
    keyring: Keyring,
    settings: SettingsCell,
}

/// The one of this instance, for both doors.
fn app() -> &'static App {
    static APP: OnceLock<App> = OnceLock::new();
    APP.get_or_init(|| {
        let parts = Parts { tokens: TokenCache::new(), keyring: Keyring::default(), settings: SettingsCell::default() };
        App { parts: Arc::new(parts) }
    })
}

impl App {
    /// The database.
    pub(crate) fn db(&self) -> Db {
        Db::new(Self::NAME)
    }

    /// Tokens that were verified a moment ago.
    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.parts.tokens
    }

    /// The keys that sign and verify.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.parts.keyring
    }

    /// What the operator has set.
    pub(crate) async fn settings(&self) -> Result<Arc<Settings>, Error> {
        self.parts.settings.read().await
    }

    /// The secret that seals signing keys.
    pub(crate) async fn secret(&self) -> Result<Option<String>, Error> {
        settings::secret().await
    }
}

impl Component for App {
    const NAME: &'static str = "auth";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ALIASES: Aliases = Aliases {
        // 2026-01-01.
        since: 1_767_225_600,
        table: &[
            Alias { from: "/auth/profile", to: "/api/v1/users/me" },
            Alias { from: "/api/auth/profile", to: "/api/v1/users/me" },
            Alias { from: "/profile", to: "/api/v1/users/me" },
            Alias { from: "/users/me", to: "/api/v1/users/me" },
            Alias { from: "/auth/...", to: "/api/v1/auth/..." },
            Alias { from: "/api/auth/...", to: "/api/v1/auth/..." },
        ],
    };

    fn routes() -> Routes<Self> {
        crate::routes::all()
    }

    fn environment(&self) -> Environment {
        Environment::host()
    }

    async fn health(&self) -> Vec<Check> {
        let settings = self.settings().await.map(|_settings| ());
        // Both halves: who cannot sign lets nobody log in, though tokens of before are still checked.
        let signing = self.keyring().signing(self).await.map(|_key| ());
        let keys = signing.and(self.keyring().verifying(self).await.map(|_keys| ()));
        vec![
            Check::database(&self.db()).await,
            Check::new("configuration", settings.map_err(|error| error.to_string())),
            Check::new("signingKeys", keys.map_err(|error| error.to_string())),
        ]
    }
}

impl Verifier for App {
    async fn verify(&self, token: &str) -> Result<Identity, VerifyError> {
        identify(self, token).await
    }
}
