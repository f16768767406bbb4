//! The story of a request: admitted, routed to the host's own resources or to a component, answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::{Router as Resources, routing};
use chassis_config::name::ComponentName;
use chassis_config::plan::{Application, GatewayPolicy};
use chassis_config::route::Router;
use chassis_engine::api::Dispatch;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt};
use tower_http::cors::Cors;
use tracing::Instrument;

use crate::body::{Patience, RequestBody, ResponseBody, Upload};
use crate::connection::Link;
use crate::exchange::{Exchange, REQUEST_ID, RequestContext, Served};
use crate::health::{self, Draining};
use crate::problem::{self, METHOD_NOT_ALLOWED, NOT_FOUND, PROBLEMS_PATH, Problem};
use crate::trace::{TRACEPARENT, TRACESTATE};
use crate::{dispatch, edge, head};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) application: Application,
    pub(crate) policy: GatewayPolicy,
    pub(crate) routes: Router<ComponentName>,
    pub(crate) engine: Arc<dyn Dispatch>,
    /// Places for requests to components.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) draining: AtomicBool,
}

/// Answers requests.
#[derive(Debug, Clone)]
pub(crate) struct App {
    shared: Arc<Shared>,
    resources: Resources,
    cross_origin: Option<Cors<Resources>>,
}

impl App {
    pub(crate) fn new(shared: Arc<Shared>) -> Result<Self, edge::OriginError> {
        let cors = edge::cors(&shared.policy.cors_origins)?;
        let resources = resources(Arc::clone(&shared));
        let cross_origin = cors.map(|layer| layer.layer(resources.clone()));
        Ok(Self { shared, resources, cross_origin })
    }

    /// Answer one request of a connection.
    pub(crate) async fn answer(self, request: Request<Body>, link: Arc<Link>) -> Response {
        let policy = &self.shared.policy;
        let context = Arc::new(RequestContext::new(&request, link.client, policy.request_timeout));
        link.begin(context.deadline + policy.body_idle_timeout);
        let mut exchange = Exchange::begin(Arc::clone(&context), Arc::clone(&link), policy.request_timeout);
        let span = tracing::info_span!("request", request_id = context.request_id, trace_id = context.trace.trace_id());
        let patience = || Patience::new(policy.body_idle_timeout, context.deadline);

        let (mut parts, body) = request.into_parts();
        let body = RequestBody::new(body, policy.body_bytes, patience(), Arc::clone(&link));
        let mut response = match head::admit(&mut parts, policy) {
            Ok(()) => self.route(parts, body, Arc::clone(&context)).instrument(span).await,
            Err(problem) => problem.respond(context.occurrence()),
        };

        let served = response.extensions_mut().remove::<Served>();
        exchange.answered(response.status(), served);
        edge::secure(response.headers_mut());
        if let Ok(id) = HeaderValue::from_str(&context.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if link.lingers() {
            // Whoever is not told takes the connection for usable, and loses the next request (RFC 9112, section 9.6).
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let (patience, length) = (patience(), content_length(response.headers()));
        response.map(|body| Body::new(ResponseBody::new(body, length, patience, exchange)))
    }

    async fn route(&self, mut parts: Parts, body: RequestBody, context: Arc<RequestContext>) -> Response {
        parts.headers.remove(REQUEST_ID);
        if !context.trace.continued {
            parts.headers.remove(TRACESTATE);
        }
        if let Ok(value) = HeaderValue::from_str(&context.trace.traceparent) {
            parts.headers.insert(TRACEPARENT, value);
        }
        let upload: Arc<Upload> = body.upload();
        parts.extensions.insert(context);
        parts.extensions.insert(upload);
        let request = Request::from_parts(parts, Body::new(body));
        let answered = match &self.cross_origin {
            Some(cross_origin) if edge::is_cross_origin(&request) => cross_origin.clone().oneshot(request).await,
            Some(_) => self.resources.clone().oneshot(request).await.map(edge::vary_by_origin),
            None => self.resources.clone().oneshot(request).await,
        };
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The host's own resources; everything else is the components'. Applications cannot shadow the former.
fn resources(shared: Arc<Shared>) -> Resources {
    Resources::new()
        .route("/health", read_only(report))
        .route("/health/live", read_only(live))
        .route("/health/ready", read_only(ready))
        .route(PROBLEMS_PATH, read_only(problems))
        .route("/problems/{slug}", read_only(problem_page))
        .fallback(dispatch::dispatch)
        .layer(edge::compression())
        .with_state(shared)
}

/// A resource that is only read; other methods are refused with a problem.
fn read_only<H, T>(handler: H) -> routing::MethodRouter<Arc<Shared>>
where
    H: Handler<T, Arc<Shared>>,
    T: 'static,
{
    routing::get(handler).fallback(method_not_allowed)
}

async fn method_not_allowed(Extension(context): Extension<Arc<RequestContext>>) -> Response {
    // axum adds `Allow`.
    Problem::new(&METHOD_NOT_ALLOWED).respond(context.occurrence())
}

async fn report(State(shared): State<Arc<Shared>>) -> Response {
    health::report(&shared.application, &shared.engine.components(), Timestamp::now())
}

async fn live(State(shared): State<Arc<Shared>>) -> Response {
    health::live(&shared.application, Timestamp::now())
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let draining = if shared.draining.load(Ordering::Relaxed) { Draining::Yes } else { Draining::No };
    health::ready(&shared.application, draining, Timestamp::now())
}

async fn problems() -> Response {
    markdown(problem::describe_all())
}

async fn problem_page(Path(slug): Path<String>, Extension(context): Extension<Arc<RequestContext>>) -> Response {
    match problem::describe(&slug) {
        Some(section) => markdown(section),
        None => Problem::because(&NOT_FOUND, "No problem of that name is known.").respond(context.occurrence()),
    }
}

fn markdown(text: &'static str) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8"))], text).into_response()
}

/// Bytes that the head promises of the body; none where it is sent in chunks.
fn content_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
