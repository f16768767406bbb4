//! The routes of the admin side, and what each role may do.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use chassis_capabilities::mail::Mailbox;
use chassis_capabilities::messaging::MessagingBackend;
use chassis_config::plan::{AdminPolicy, RoutePlan};
use chassis_engine::api::Dispatch;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::time::timeout;

use crate::problem::{self, FORBIDDEN, INVALID, METHOD_NOT_ALLOWED, NOT_FOUND, Problem, TIMEOUT, UNAUTHORIZED};
use crate::store::TokenStore;
use crate::token::{Role, Secret, TokenSummary};
use crate::{access, inspect, mail, queues};

/// Items of a page where none are asked for, and at most.
const PAGE: u32 = 20;
const PAGE_MAX: u32 = 100;

/// Renders the metrics of the process in the text format of Prometheus.
#[derive(Clone)]
pub struct MetricsSource(Arc<dyn Fn() -> String + Send + Sync>);

impl MetricsSource {
    /// Whatever `render` answers, asked for on a thread that may block.
    pub fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }

    pub(crate) fn render(&self) -> String {
        (self.0)()
    }
}

impl std::fmt::Debug for MetricsSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsSource")
    }
}

/// What the admin side looks into and acts on.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The components.
    pub engine: Arc<dyn Dispatch>,
    /// The route table.
    pub routes: Vec<RoutePlan>,
    /// The queues.
    pub messaging: Arc<dyn MessagingBackend>,
    /// The mailbox; none where mail leaves by SMTP.
    pub mailbox: Option<Arc<Mailbox>>,
    /// The metrics.
    pub metrics: MetricsSource,
    /// Who may call.
    pub tokens: Arc<TokenStore>,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) TokenSummary);

/// A list, or one page of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next page begins; null at the end.
    pub(crate) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list that is short enough to be told as a whole.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// Read a query. Its type refuses unknown fields: parameters that mean nothing are refused, lest a mistyped one be thought to
/// work.
pub(crate) fn read_query<Q>(query: Result<Query<Q>, axum::extract::rejection::QueryRejection>) -> Result<Q, Problem> {
    query.map(|Query(query)| query).map_err(|rejection| Problem::new(INVALID, rejection.body_text()))
}

/// How many items of a list that is told page by page are asked for.
pub(crate) fn page_limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        _ => Err(Problem::new(INVALID, format!("limit is from 1 to {PAGE_MAX}"))),
    }
}

/// The whole of the admin side.
pub(crate) fn router(sources: Sources, policy: &AdminPolicy) -> Router {
    let body_bytes = usize::try_from(policy.body_bytes).unwrap_or(usize::MAX);
    let tokens = Arc::clone(&sources.tokens);
    Router::new()
        .merge(allowed(Role::Read, looking()))
        .merge(allowed(Role::Deploy, acting()))
        .merge(allowed(Role::Admin, granting()))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(tokens, authenticate))
        .route("/problems/{slug}", get(problem_page))
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(from_fn_with_state(policy.request_timeout, finish))
        .with_state(sources)
}

fn looking() -> Router<Sources> {
    Router::new()
        .route("/v1/components", get(inspect::components))
        .route("/v1/routes", get(inspect::routes))
        .route("/v1/queues", get(queues::queues))
        .route("/v1/dead-letters", get(queues::dead_letters))
        .route("/v1/mailbox", get(mail::list))
        .route("/v1/mailbox/{id}", get(mail::show))
        .route("/metrics", get(inspect::metrics))
}

fn acting() -> Router<Sources> {
    Router::new().route("/v1/dead-letters/{id}/replay", post(queues::replay))
}

fn granting() -> Router<Sources> {
    Router::new()
        .route("/v1/tokens", get(access::list).post(access::create))
        .route("/v1/tokens/{id}", delete(access::revoke))
}

/// Routes for callers of at least a role.
fn allowed(role: Role, routes: Router<Sources>) -> Router<Sources> {
    routes.route_layer(from_fn_with_state(role, authorize))
}

async fn authenticate(State(tokens): State<Arc<TokenStore>>, mut request: Request, next: Next) -> Response {
    let Some(secret) = bearer(request.headers()) else {
        return Problem::new(
            UNAUTHORIZED,
            "Send `Authorization: Bearer <token>`; the first token is in `admin-token` in the state folder.",
        )
        .challenge(r#"Bearer realm="chassis""#)
        .into_response();
    };
    let Some(caller) = tokens.find(&secret) else {
        tracing::warn!(target: "chassis::admin", path = request.uri().path(), "a token that is not known was presented");
        return Problem::new(UNAUTHORIZED, "The token is not known, or was revoked.")
            .challenge(r#"Bearer realm="chassis", error="invalid_token""#)
            .into_response();
    };
    request.extensions_mut().insert(Caller(caller));
    next.run(request).await
}

/// The one secret that a request presents.
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let (scheme, secret) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::presented(secret.trim()))
}

async fn authorize(
    State(role): State<Role>,
    Extension(Caller(caller)): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if caller.role < role {
        tracing::warn!(target: "chassis::admin", caller = caller.name, path = request.uri().path(), "refused for want of a role");
        return Problem::new(FORBIDDEN, format!("This needs the role {role:?}, the token has {:?}.", caller.role))
            .into_response();
    }
    next.run(request).await
}

/// What every request gets: an end, and fields that keep its answer where it belongs.
async fn finish(State(time): State<Duration>, request: Request, next: Next) -> Response {
    let answered = timeout(time, next.run(request)).await;
    let late = |_elapsed| Problem::new(TIMEOUT, "The host did not answer in time.").into_response();
    let mut response = answered.unwrap_or_else(late);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn not_found() -> Problem {
    Problem::new(NOT_FOUND, "There is no such resource.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(METHOD_NOT_ALLOWED, "The resource does not know this method; `Allow` lists those that it knows.")
}

async fn problem_page(Path(slug): Path<String>) -> Result<Response, Problem> {
    let section =
        problem::describe(&slug).ok_or_else(|| Problem::new(NOT_FOUND, "No problem of that name is known."))?;
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8"))];
    Ok((StatusCode::OK, kind, section).into_response())
}
