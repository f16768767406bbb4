//! `allowed_outbound_hosts`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::variables::Variables;
use crate::diagnostics::{At, Report};
use crate::plan::OutboundHost;

/// Schemes that Spin knows and no component can use here.
const OTHER_SCHEMES: [&str; 7] = ["postgres", "mysql", "redis", "rediss", "mqtt", "tcp", "udp"];

pub(super) fn hosts(entries: &[At<String>], variables: &Variables, report: &Report) -> Vec<OutboundHost> {
    entries.iter().filter_map(|entry| host(entry, variables, report)).collect()
}

/// Messages show the entry as it was written: a variable in it may be a secret.
fn host(entry: &At<String>, variables: &Variables, report: &Report) -> Option<OutboundHost> {
    let rendered = variables.render(entry, report)?;
    match parse(&rendered.value) {
        Ok(Parsed::Host(host)) => Some(host),
        Ok(Parsed::Elsewhere(why)) => {
            report.warn(&entry.place, format!("«{}» has no effect: {why}", entry.value));
            None
        }
        Err(reason) => {
            let help = "write scheme, host and, if it is not the usual one, the port, such as https://api.example.com";
            report.error(&entry.place, format!("«{}»: {reason}", entry.value), help);
            None
        }
    }
}

enum Parsed {
    Host(OutboundHost),
    /// Right for Spin, without meaning here.
    Elsewhere(&'static str),
}

fn parse(text: &str) -> Result<Parsed, &'static str> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or("the scheme is missing")?;
    if OTHER_SCHEMES.contains(&scheme) {
        return Ok(Parsed::Elsewhere("a component reaches other hosts by HTTP only"));
    }
    if !matches!(scheme, "http" | "https" | "*") {
        return Err("the scheme is http, https or * for both");
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') && rest.split('/').next_back().is_some_and(|bits| bits.parse::<u8>().is_ok()) {
        return Err("ranges of addresses are not supported; name the hosts");
    }
    if rest.contains(['/', '?', '#', '@']) {
        return Err("a path, a query or a user cannot be granted, only a whole host");
    }
    let (host, port) = split_port(rest)?;
    let host = host.to_ascii_lowercase();
    if host == "self" || host.ends_with(".spin.internal") {
        return Ok(Parsed::Elsewhere("components call each other by their typed interfaces, named in `dependencies`"));
    }
    if !is_host(&host) {
        return Err("the host is a name, an address, *.name, or * for any");
    }
    let port = match (port, scheme) {
        (Some("*"), _) => None,
        (Some(port), _) => {
            Some(port.parse().ok().filter(|port| *port != 0).ok_or("the port is 1 to 65535, or * for any")?)
        }
        (None, "http") => Some(80),
        (None, "https") => Some(443),
        (None, _) => return Err("scheme * needs a port, or :* for any"),
    };
    Ok(Parsed::Host(OutboundHost { scheme: scheme.to_owned(), host, port }))
}

/// IPv6 addresses stand in brackets, which are not part of the host.
fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or("the bracket is not closed")?;
        host.parse::<Ipv6Addr>().ok().ok_or("this is no IPv6 address")?;
        return match rest {
            "" => Ok((host, None)),
            rest => rest.strip_prefix(':').map(|port| (host, Some(port))).ok_or("a port follows a colon"),
        };
    }
    Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let address = host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok();
    host == "*" || address || (name.len() <= 253 && name.split('.').all(label))
}
