//! The reading half of the component `todos`: its handlers as they stand there, over sqlx instead of the host's SQL.

mod body;
mod handlers;
mod store;

use std::sync::Arc;

use chassis_config::plan::Plan;
use chassis_kit::alias::{Alias, Aliases};
use chassis_kit::health::Check;
use chassis_kit::routes::Routes;
use chassis_kit::user::TokenCache;
use chassis_kit::{Component, Environment, Identity, Verifier, VerifyError, utoipa};
use sqlx::SqlitePool;

use crate::identity::Identities;
use crate::{database, database_file};

/// The state of the handlers: one for the process, as a component has one per instance.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pool: SqlitePool,
    identities: Arc<Identities>,
    tokens: Arc<TokenCache>,
    environment: Environment,
}

impl App {
    /// Open the databases of todos and auth.
    pub(crate) async fn open(plan: &Plan) -> anyhow::Result<Self> {
        Ok(Self {
            pool: database::open(&database_file(&plan.state_dir, Self::NAME), &plan.sql).await?,
            identities: Arc::new(Identities::open(plan).await?),
            tokens: Arc::new(TokenCache::new()),
            environment: Environment::host(),
        })
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
        chassis_kit::routes!(App; handlers: [list, read])
    }

    fn environment(&self) -> Environment {
        self.environment
    }

    async fn health(&self) -> Vec<Check> {
        Vec::new()
    }

    /// No host, no deliveries: private paths answer 404.
    async fn delivery_token(&self) -> Option<String> {
        None
    }
}

impl Verifier for App {
    async fn verify(&self, token: &str) -> Result<Identity, VerifyError> {
        let now = self.environment.now();
        if let Some(identity) = self.tokens.get(token, now) {
            return Ok(identity);
        }
        let identity = self.identities.verify(token, now).await?;
        self.tokens.put(token, &identity, now);
        Ok(identity)
    }
}
