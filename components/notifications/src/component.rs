//! Binds the crate to its world: `wasi:http/handler`.

use std::sync::Arc;

use chassis_kit::events::{Event, Inbox};
use chassis_kit::health::Check;
use chassis_kit::routes::Routes;
use chassis_kit::{Component, Db, Environment, Problem};

use crate::domain::render::{TemplateError, Templates};
use crate::error::Error;

/// The state of the handlers, one per instance.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) environment: Environment,
    templates: Arc<Result<Templates, TemplateError>>,
}

impl App {
    fn new() -> Self {
        let (db, environment) = (Db::new("notifications"), Environment::host());
        Self { db, environment, templates: Arc::new(Templates::new()) }
    }

    /// Which events were handled.
    pub(crate) fn inbox(&self) -> Inbox {
        Inbox::new(self.db)
    }

    /// The templates, compiled when the instance began.
    pub(crate) fn templates(&self) -> Result<&Templates, Error> {
        self.templates.as_ref().as_ref().map_err(|error| Error::Template(error.to_string()))
    }
}

impl Component for App {
    const NAME: &'static str = "notifications";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn routes() -> Routes<Self> {
        crate::routes::all()
    }

    fn environment(&self) -> Environment {
        self.environment
    }

    async fn health(&self) -> Vec<Check> {
        let templates = self.templates().map(|_templates| ());
        vec![Check::database(&self.db).await, Check::new("templates", templates.map_err(|error| error.to_string()))]
    }

    async fn consume(&self, event: Event) -> Result<(), Problem> {
        crate::events::consume(self, &event).await
    }
}

chassis_kit::serve!(App, App::new());
