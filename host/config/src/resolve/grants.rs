//! What a component is lent.

use super::labels::Labels;
use super::outbound;
use super::variables::Variables;
use crate::diagnostics::{At, Report};
use crate::plan::{EventPattern, Grants, SlowRoute};
use crate::raw::Component;
use crate::route::RoutePattern;
use crate::settings::is_address;

/// Bytes of an event type at most.
const EVENT_TYPE_BYTES_MAX: usize = 128;

pub(super) fn grants(component: &Component, variables: &Variables, labels: &Labels, report: &Report) -> Grants {
    let (name, chassis) = (component.name.value.as_str(), &component.chassis);
    for address in chassis.mail_from.iter().filter(|address| !is_address(&address.value)) {
        let message = format!("«{}» is not a mail address", address.value);
        report.error(&address.place, message, "write one such as no-reply@example.com");
    }
    Grants {
        databases: labels.databases_of(name),
        key_value_stores: labels.stores_of(name),
        publish: patterns(&chassis.publish, report),
        subscribe: patterns(&chassis.subscribe, report),
        mail_from: chassis.mail_from.iter().map(|address| address.value.clone()).collect(),
        outbound: outbound::hosts(&component.outbound, variables, report),
    }
}

fn patterns(written: &[At<String>], report: &Report) -> Vec<EventPattern> {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    for pattern in written {
        let fixed = pattern.value.strip_suffix(".*").unwrap_or(&pattern.value);
        if fixed.len() > EVENT_TYPE_BYTES_MAX || !fixed.split('.').all(word) {
            let help = "write a type such as user.registered, or user.* for all that begin with user.";
            report.error(&pattern.place, format!("«{}» is not an event type", pattern.value), help);
        }
    }
    written.iter().map(|pattern| EventPattern(pattern.value.clone())).collect()
}

/// `POST /api/v1/auth/login`, or a path for every method.
pub(super) fn slow_routes(component: &Component, report: &Report) -> Vec<SlowRoute> {
    let entries = component.chassis.slow_routes.iter();
    entries
        .filter_map(|entry| slow_route(entry).map_err(|message| report.error(&entry.place, message, "")).ok())
        .collect()
}

fn slow_route(entry: &At<String>) -> Result<SlowRoute, String> {
    let (method, path) = match entry.value.split_once(' ') {
        Some((method, path)) => (Some(method), path.trim_start()),
        None => (None, entry.value.as_str()),
    };
    let upper = |method: &&str| method.bytes().all(|b| b.is_ascii_uppercase());
    let parse = |method: &str| http::Method::from_bytes(method.as_bytes()).ok().filter(|_| upper(&method));
    let method = match method.map(|method| (method, parse(method))) {
        None => None,
        Some((_, Some(method))) => Some(method),
        Some((text, None)) => return Err(format!("«{text}» is not a method; write it in capitals, such as POST")),
    };
    let pattern = RoutePattern::parse(path).map_err(|error| error.to_string())?;
    Ok(SlowRoute { method, pattern })
}
