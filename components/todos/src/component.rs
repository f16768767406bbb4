//! Binds the crate to its world: what it imports, what it exports, and the state that its handlers share.

mod identity;

use std::sync::Arc;

use chassis_kit::alias::{Alias, Aliases};
use chassis_kit::health::Check;
use chassis_kit::routes::Routes;
use chassis_kit::user::TokenCache;
use chassis_kit::{Component, Db, Environment, Identity, Verifier, VerifyError};

/// The state of the handlers, one per instance.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) environment: Environment,
    tokens: Arc<TokenCache>,
}

impl App {
    fn new() -> Self {
        Self { db: Db::new("todos"), environment: Environment::host(), tokens: Arc::new(TokenCache::new()) }
    }
}

impl Component for App {
    const NAME: &'static str = "todos";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ALIASES: Aliases = Aliases {
        // 2026-01-01.
        since: 1_767_225_600,
        table: &[Alias { from: "/todos", to: "/api/v1/todos" }, Alias { from: "/todos/...", to: "/api/v1/todos/..." }],
    };

    fn routes() -> Routes<Self> {
        crate::routes::all()
    }

    fn environment(&self) -> Environment {
        self.environment
    }

    async fn health(&self) -> Vec<Check> {
        vec![Check::database(&self.db).await]
    }
}

impl Verifier for App {
    async fn verify(&self, token: &str) -> Result<Identity, VerifyError> {
        let now = self.environment.now();
        if let Some(identity) = self.tokens.get(token, now) {
            return Ok(identity);
        }
        let identity = identity::verify(token, now).await?;
        self.tokens.put(token, &identity, now);
        Ok(identity)
    }
}

chassis_kit::serve!(App, App::new());
