//! Stands where the engine stands, and calls handlers directly.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use chassis_config::name::ComponentName;
use chassis_engine::api::{Body, ComponentStatus, Dispatch, DispatchError, RequestMeta};
use chassis_kit::Service;
use http_body_util::BodyExt as _;
use tower_service::Service as _;

use crate::hello;
use crate::todos::App;

/// The handlers, by the name of the component whose twins they are.
#[derive(Debug, Clone)]
pub(crate) struct Native {
    hello: Router,
    todos: Arc<Service<App>>,
}

impl Native {
    /// Make the routers, once.
    pub(crate) fn new(todos: App) -> Self {
        Self { hello: hello::router(), todos: Arc::new(Service::new(todos)) }
    }

    /// The handlers without any layer before them.
    pub(crate) fn bare(&self) -> Router {
        let todos = Arc::clone(&self.todos);
        hello::router().fallback(move |request: Request| async move { todos.respond(request).await })
    }
}

#[async_trait]
impl Dispatch for Native {
    async fn handle(
        &self,
        component: &ComponentName,
        request: http::Request<Body>,
        _meta: RequestMeta,
    ) -> Result<http::Response<Body>, DispatchError> {
        let request = request.map(axum::body::Body::new);
        let response = match component.as_str() {
            // A router is always ready, and cannot fail.
            "hello" => self.hello.clone().call(request).await.unwrap_or_else(|never| match never {}),
            "todos" => self.todos.respond(request).await,
            other => return Err(DispatchError::UnknownComponent(other.to_owned())),
        };
        Ok(response.map(|body| Body::new(body.map_err(Into::into))))
    }

    /// Nothing is probed here, so `/health` has nothing to tell.
    fn components(&self) -> Vec<ComponentStatus> {
        Vec::new()
    }
}
