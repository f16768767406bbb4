//! A component behind its one door: public routes, private paths, and what every answer has in common.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tower_service::Service as _;

use crate::alias::{self, Aliases};
use crate::environment::Environment;
use crate::events::Event;
use crate::health::{self, Check};
use crate::json::Json;
use crate::problem::{MEDIA_TYPE, Occurrence, Problem, ProblemType};
use crate::routes::Routes;
use crate::{bindings, log, openapi};

/// Header by which the host shows that a request to a private path comes from itself.
pub const DELIVERY_TOKEN_HEADER: &str = "chassis-delivery-token";
/// Secret by which the host tells a component its delivery token.
pub const DELIVERY_TOKEN_SECRET: &str = "chassis-delivery-token";
/// What private paths begin with. The gateway never routes them from outside.
pub const PRIVATE_PREFIX: &str = "/.chassis/";

/// What a component tells the kit about itself. Its value is the state of its handlers: cheap to clone.
pub trait Component: Clone + Send + Sync + 'static {
    /// Its name, as in the manifest.
    const NAME: &'static str;
    /// Its version.
    const VERSION: &'static str;
    /// Older spellings of its paths.
    const ALIASES: Aliases = alias::NONE;

    /// Its routes: [`routes!`](crate::routes!).
    fn routes() -> Routes<Self>;

    /// Where its time and randomness come from.
    fn environment(&self) -> Environment;

    /// Whether what it needs works.
    fn health(&self) -> impl Future<Output = Vec<Check>> + Send;

    /// An event that it subscribes to. An answer of 429 or 5xx means « again later », another 4xx means « never ».
    ///
    /// # Errors
    /// The default refuses every event, because nothing is subscribed to.
    fn consume(&self, event: Event) -> impl Future<Output = Result<(), Problem>> + Send {
        let detail = format!("{} does not consume {}", Self::NAME, event.event_type());
        async move { Err(Problem::new(ProblemType::NotFound).detail(detail)) }
    }

    /// The token that requests to private paths must carry; none refuses them all.
    fn delivery_token(&self) -> impl Future<Output = Option<String>> + Send {
        async { bindings::config::secret(DELIVERY_TOKEN_SECRET.to_owned()).await.ok().flatten() }
    }
}

/// A component that answers requests.
pub struct Service<C> {
    component: C,
    /// A request has come.
    begun: AtomicBool,
    /// All routes, once a second request has come: many an instance sees only one.
    router: OnceLock<Router>,
}

impl<C> fmt::Debug for Service<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl<C: Component> Service<C> {
    /// Put a component behind its door.
    pub fn new(component: C) -> Self {
        Self { component, begun: AtomicBool::new(false), router: OnceLock::new() }
    }

    /// What routes a request: the first one no more than it needs.
    fn router(&self, request: &Request) -> Router {
        if self.begun.swap(true, Ordering::Relaxed) {
            self.router.get_or_init(|| self.complete(C::routes().router())).clone()
        } else {
            self.complete(C::routes().router_for(request.method(), request.uri().path()))
        }
    }

    fn complete(&self, router: Router<C>) -> Router {
        let router = router.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
        router.with_state(self.component.clone())
    }

    /// Answer a request.
    pub async fn respond(&self, mut request: Request) -> Response {
        let occurrence = Occurrence::of(request.headers());
        let is_head = request.method() == Method::HEAD;
        let response = if request.uri().path().starts_with(PRIVATE_PREFIX) {
            self.private(request).await
        } else {
            alias::strip_trailing_slash(request.uri_mut());
            let canonical = C::ALIASES.rewrite(request.uri_mut());
            let mut response = self.public(request).await;
            if let Some(canonical) = canonical {
                C::ALIASES.announce(&canonical, response.headers_mut());
            }
            response
        };
        let mut response = finish(response, &occurrence);
        if is_head {
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn public(&self, request: Request) -> Response {
        // A router is always ready, and cannot fail.
        self.router(&request).call(request).await.unwrap_or_else(|never| match never {})
    }

    async fn private(&self, request: Request) -> Response {
        if !self.is_from_host(request.headers()).await {
            return Problem::new(ProblemType::NotFound).into_response();
        }
        let path = request.uri().path().strip_prefix(PRIVATE_PREFIX).unwrap_or_default().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::POST, "events") => self.deliver(request).await.into_response(),
            (&Method::GET | &Method::HEAD, "health") => self.probe().await,
            (&Method::GET | &Method::HEAD, "openapi.json") => document::<C>().into_response(),
            (_, "events") => wrong_method("POST"),
            (_, "health" | "openapi.json") => wrong_method("GET, HEAD"),
            (_, _) => Problem::new(ProblemType::NotFound).into_response(),
        }
    }

    async fn is_from_host(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(DELIVERY_TOKEN_HEADER) else { return false };
        let expected = self.component.delivery_token().await.unwrap_or_default();
        !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes()))
    }

    async fn deliver(&self, request: Request) -> Result<StatusCode, Problem> {
        let event = Event::from_request(request).await?;
        self.component.consume(event).await.map(|()| StatusCode::NO_CONTENT)
    }

    async fn probe(&self) -> Response {
        let checks = self.component.health().await;
        health::respond(C::NAME, C::VERSION, self.component.environment().now(), &checks)
    }
}

fn document<C: Component>() -> Result<impl IntoResponse, Problem> {
    openapi::complete(&(C::routes().document)(), C::NAME, C::VERSION)
        .map(Json)
        .map_err(|error| Problem::internal(format!("the OpenAPI document could not be written: {error}")))
}

async fn not_found() -> Problem {
    Problem::new(ProblemType::NotFound)
}

async fn method_not_allowed() -> Problem {
    Problem::new(ProblemType::MethodNotAllowed)
}

fn wrong_method(allowed: &'static str) -> Response {
    let allow = axum::http::HeaderValue::from_static(allowed);
    Problem::new(ProblemType::MethodNotAllowed).header(header::ALLOW, allow).into_response()
}

/// Every error leaves as a problem with the ids of its request, also where it did not begin as one; faults are logged here, once.
fn finish(mut response: Response, occurrence: &Occurrence) -> Response {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_bare_error(&response) => Problem::from(response.status()),
        None => return response,
    };
    if let Some(reason) = problem.for_log() {
        log::error("a request failed", json!({ "reason": reason, "type": problem.kind().uri() }));
    }
    let mut rendered = problem.render(occurrence);
    // What was said beside the problem stays: Allow, Deprecation, Link.
    for (name, value) in response.headers() {
        if !rendered.headers().contains_key(name) && name != header::CONTENT_LENGTH {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}

fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    let media_type = response.headers().get(header::CONTENT_TYPE).map(axum::http::HeaderValue::as_bytes);
    let is_text = media_type.is_none_or(|value| value.starts_with(b"text/"));
    (status.is_client_error() || status.is_server_error()) && is_text && media_type != Some(MEDIA_TYPE.as_bytes())
}

#[cfg(test)]
mod tests;
