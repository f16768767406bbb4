//! What runs: components, routes, metrics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chassis_config::name::ComponentName;
use chassis_config::route::RoutePattern;
use chassis_engine::api::ComponentStatus;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use crate::api::{Page, Sources};
use crate::problem::Problem;

/// The text format of Prometheus.
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// One route.
#[derive(Debug, Serialize)]
pub(crate) struct Route {
    route: RoutePattern,
    component: ComponentName,
}

pub(crate) async fn components(State(sources): State<Sources>) -> Json<Page<ComponentStatus>> {
    Json(Page::whole(sources.engine.components()))
}

pub(crate) async fn routes(State(sources): State<Sources>) -> Json<Page<Route>> {
    let route = |plan: &chassis_config::plan::RoutePlan| Route {
        route: plan.pattern.clone(),
        component: plan.component.clone(),
    };
    Json(Page::whole(sources.routes.iter().map(route).collect()))
}

pub(crate) async fn metrics(State(sources): State<Sources>) -> Result<Response, Problem> {
    // Rendering reads files and may be long.
    let rendered = tokio::task::spawn_blocking(move || sources.metrics.render()).await;
    let text = rendered.map_err(|error| Problem::failed(&error))?;
    Ok(([(CONTENT_TYPE, EXPOSITION)], text).into_response())
}
