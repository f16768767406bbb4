//! From a route to its component and back.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use chassis_config::name::ComponentName;
use chassis_engine::api::{self, DispatchError, Door, RequestMeta};
use http::StatusCode;
use http::header::HeaderName;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::app::Shared;
use crate::body::{Cut, Upload};
use crate::exchange::{RequestContext, Served};
use crate::problem::{
    BAD_PATH, BAD_REQUEST, BAD_RESPONSE, BODY_TOO_LARGE, COMPONENT_FAILED, DEADLINE_EXCEEDED, INSTANCE_LOST, NOT_FOUND,
    OVERLOADED, Problem, REQUEST_TIMEOUT, SHUTTING_DOWN,
};
use crate::{head, path};

/// When to try again after the host as a whole was full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Hand a request to the component that its path belongs to.
pub(crate) async fn dispatch(
    State(shared): State<Arc<Shared>>,
    Extension(context): Extension<Arc<RequestContext>>,
    Extension(upload): Extension<Arc<Upload>>,
    request: Request,
) -> Response {
    let (component, request) = match prepare(&shared, &context, request) {
        Ok(prepared) => prepared,
        Err(problem) => return problem.respond(context.occurrence()),
    };
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        return Problem::new(&OVERLOADED).retry_after(RETRY_AFTER).respond(context.occurrence());
    };
    let outcome = hand_over(&shared, &component, request, Ask { context: &context, upload: &upload }).await;
    let mut response = outcome.unwrap_or_else(|problem| problem.respond(context.occurrence()));
    response.extensions_mut().insert(Served { component, _place: Arc::new(place) });
    response
}

/// Find the component and bring the request into the form that it gets.
fn prepare(
    shared: &Shared,
    context: &RequestContext,
    request: Request,
) -> Result<(ComponentName, http::Request<api::Body>), Problem> {
    let (mut parts, body) = request.into_parts();
    // The path was judged when the request was admitted; an error here would be the same one again.
    let raw = parts.uri.path().to_owned();
    let decoded = path::decode(&raw).map_err(|spelling| Problem::because(&BAD_PATH, spelling.to_string()))?;
    let found = shared.routes.find(&decoded).ok_or_else(|| Problem::new(&NOT_FOUND))?;
    if body.size_hint().lower() > shared.policy.body_bytes {
        return Err(too_large(shared));
    }
    head::set_spin_headers(&mut parts, &found, context.client);
    parts.extensions.clear();
    let body = api::Body::new(body.map_err(api::BodyError::from));
    Ok((found.value.clone(), http::Request::from_parts(parts, body)))
}

/// What is known of the request beside what the component gets.
#[derive(Debug, Clone, Copy)]
struct Ask<'a> {
    context: &'a RequestContext,
    upload: &'a Upload,
}

async fn hand_over(
    shared: &Shared,
    component: &ComponentName,
    request: http::Request<api::Body>,
    Ask { context, upload }: Ask<'_>,
) -> Result<Response, Problem> {
    let meta = RequestMeta {
        request_id: context.request_id.clone(),
        traceparent: context.trace.traceparent.clone(),
        door: Door::Public,
    };
    let answer = timeout_at(context.deadline, shared.engine.handle(component, request, meta));
    let outcome = tokio::select! {
        biased;
        cut = upload.cut() => return Err(cut_problem(shared, cut)),
        outcome = answer => outcome,
    };
    // The body is at fault, whatever the component made of it.
    if let Some(cut) = upload.is_cut() {
        return Err(cut_problem(shared, cut));
    }
    match outcome {
        Ok(Ok(response)) => check_response(component, response),
        // The time ran out while the client was still sending.
        Ok(Err(DispatchError::DeadlineExceeded(_))) if !upload.is_complete() => Err(Problem::new(&REQUEST_TIMEOUT)),
        Ok(Err(error)) => Err(dispatch_problem(component, &error)),
        Err(_elapsed) if upload.is_complete() => {
            tracing::warn!(%component, "no response within the time for a request");
            Err(Problem::new(&DEADLINE_EXCEEDED))
        }
        Err(_elapsed) => Err(Problem::new(&REQUEST_TIMEOUT)),
    }
}

/// Bring a component's response into the form in which it is sent.
fn check_response(component: &ComponentName, response: http::Response<api::Body>) -> Result<Response, Problem> {
    let (mut parts, body) = response.into_parts();
    if parts.status.is_informational() {
        return Err(bad_response(component, &format_args!("status {} ends no exchange", parts.status)));
    }
    head::strip_hop_by_hop(&mut parts.headers);
    let own: Vec<HeaderName> =
        parts.headers.keys().filter(|name| head::is_host_field(name.as_str())).cloned().collect();
    for name in own {
        parts.headers.remove(name);
    }
    parts.extensions.clear();
    let body = if parts.status == StatusCode::NO_CONTENT { Body::empty() } else { Body::new(body) };
    Ok(Response::from_parts(parts, body))
}

fn bad_response(component: &ComponentName, reason: &dyn Display) -> Problem {
    tracing::warn!(%component, %reason, "the component gave no usable response");
    Problem::new(&BAD_RESPONSE)
}

fn cut_problem(shared: &Shared, cut: Cut) -> Problem {
    match cut {
        Cut::TooLarge => too_large(shared),
        Cut::Stalled | Cut::Late => Problem::new(&REQUEST_TIMEOUT),
        Cut::Broken => Problem::because(&BAD_REQUEST, "The body of the request broke off or is malformed."),
    }
}

fn too_large(shared: &Shared) -> Problem {
    Problem::because(&BODY_TOO_LARGE, format!("At most {} bytes are accepted.", shared.policy.body_bytes))
}

/// What a failed dispatch looks like from outside. The reason is for the log alone.
fn dispatch_problem(component: &ComponentName, error: &DispatchError) -> Problem {
    let problem = match error {
        DispatchError::UnknownComponent(_) => Problem::new(&NOT_FOUND),
        DispatchError::Overloaded { retry_after } => Problem::new(&OVERLOADED).retry_after(*retry_after),
        DispatchError::DeadlineExceeded(_) => Problem::new(&DEADLINE_EXCEEDED),
        DispatchError::Trapped(_) => Problem::new(&COMPONENT_FAILED),
        DispatchError::InstanceLost => Problem::new(&INSTANCE_LOST).retry_after(Duration::ZERO),
        DispatchError::BadResponse(reason) => return bad_response(component, reason),
        DispatchError::ShuttingDown => Problem::new(&SHUTTING_DOWN).retry_after(RETRY_AFTER),
    };
    tracing::warn!(%component, %error, "a request was not answered by its component");
    problem
}

/// As many places as the policy says.
pub(crate) fn places(requests: u32) -> Arc<Semaphore> {
    let requests = usize::try_from(requests).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS)))
}
