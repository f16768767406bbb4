//! `/health`, `/health/live` and `/health/ready`: answered from what background probes found, never by asking a guest.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use chassis_config::plan::Application;
use chassis_engine::api::ComponentStatus;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Dependencies of one component that are shown. What a component says of itself is bounded.
const DEPENDENCIES_MAX: usize = 32;

/// Bytes of a text that a component says of itself.
const TEXT_BYTES_MAX: usize = 64;

/// The state of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// It answered well.
    Healthy,
    /// It was not asked yet.
    Unknown,
    /// It answered badly, or not at all.
    Unhealthy,
}

/// The health of the whole, as `GET /health` answers it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    status: State,
    service: &'a str,
    version: &'a str,
    timestamp: String,
    dependencies: BTreeMap<String, State>,
    services: BTreeMap<String, Service>,
}

/// The health of one component.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    status: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<String>,
    dependencies: BTreeMap<String, State>,
}

/// A state without its parts.
#[derive(Debug, Serialize)]
struct Brief<'a> {
    status: State,
    service: &'a str,
    version: &'a str,
    timestamp: String,
}

/// The health of all components together: 503 where one of them is unhealthy. Each component that is loaded is
/// required, since a route, a subscription or another component needs it. One that was not asked yet does not count.
pub(crate) fn report(application: &Application, components: &[ComponentStatus], now: Timestamp) -> Response {
    let services: BTreeMap<String, Service> =
        components.iter().map(|component| (component.name.as_str().to_owned(), service(component))).collect();
    let mut dependencies = BTreeMap::new();
    for (name, state) in services.values().flat_map(|service| &service.dependencies) {
        let worst = dependencies.entry(name.clone()).or_insert(*state);
        *worst = (*worst).max(*state);
    }
    let sick = services.values().any(|service| service.status == State::Unhealthy);
    let status = if sick { State::Unhealthy } else { State::Healthy };
    let Application { name: service, version, .. } = application;
    respond(status, &Report { status, service, version, timestamp: now.to_string(), dependencies, services })
}

/// Whether the process runs: it does, if it can say so.
pub(crate) fn live(application: &Application, now: Timestamp) -> Response {
    brief(application, State::Healthy, now)
}

/// Whether new requests are welcome: until the host begins to shut down. A sick component does not count here, since the
/// other ones can be reached.
pub(crate) fn ready(application: &Application, draining: Draining, now: Timestamp) -> Response {
    let state = match draining {
        Draining::No => State::Healthy,
        Draining::Yes => State::Unhealthy,
    };
    brief(application, state, now)
}

/// Whether the host is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draining {
    No,
    Yes,
}

fn brief(application: &Application, status: State, now: Timestamp) -> Response {
    let Application { name: service, version, .. } = application;
    respond(status, &Brief { status, service, version, timestamp: now.to_string() })
}

fn respond(state: State, body: &impl Serialize) -> Response {
    let status = if state == State::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, [(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response()
}

fn service(component: &ComponentStatus) -> Service {
    let Some(health) = &component.health else {
        return Service { status: State::Unknown, version: None, checked_at: None, dependencies: BTreeMap::new() };
    };
    let said = |key: &str| health.body.as_ref().and_then(|body| body.get(key));
    let dependencies = said("dependencies").and_then(Value::as_object).map(|all| {
        let named = all.iter().filter(|(name, _)| name.len() <= TEXT_BYTES_MAX);
        named.take(DEPENDENCIES_MAX).map(|(name, state)| (name.clone(), dependency(state))).collect()
    });
    Service {
        status: if health.healthy { State::Healthy } else { State::Unhealthy },
        version: said("version").and_then(Value::as_str).filter(|text| text.len() <= TEXT_BYTES_MAX).map(str::to_owned),
        checked_at: Some(health.checked_at.clone()),
        dependencies: dependencies.unwrap_or_default(),
    }
}

/// A component's word for the state of something that it needs.
fn dependency(state: &Value) -> State {
    match state.as_str() {
        Some("healthy") => State::Healthy,
        Some("unknown") => State::Unknown,
        _ => State::Unhealthy,
    }
}
