//! Listeners, gateway, admin, engine, telemetry.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::limits::{gib, kib, mib};
use super::section::Section;
use crate::diagnostics::At;
use crate::plan::{AdminPolicy, EngineLimits, GatewayPolicy, LogFormat, TelemetryPlan};

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const SECOND: Duration = Duration::from_secs(1);

/// From 10 ms to an hour: what a network wait may take.
fn waiting() -> RangeInclusive<Duration> {
    Duration::from_millis(10)..=3600 * SECOND
}

pub(super) fn gateway(root: &Section<'_>) -> (At<SocketAddr>, GatewayPolicy) {
    let section = root.child("gateway");
    let listen = section.address("listen", loopback(8000));
    let policy = GatewayPolicy {
        body_bytes: section.size("body_bytes", mib(10), 1..=gib(64)),
        header_bytes: section.small_size("header_bytes", 32 << 10, 1024..=(1 << 20)),
        header_fields: section.count("header_fields", 100, 8..=10_000),
        header_timeout: section.duration("header_timeout", 10 * SECOND, waiting()),
        body_idle_timeout: section.duration("body_idle_timeout", 30 * SECOND, waiting()),
        request_timeout: section.duration("request_timeout", 300 * SECOND, Duration::from_millis(10)..=86_400 * SECOND),
        connections: section.count("connections", 4096, 1..=1_000_000),
        requests: section.count("requests", 1024, 1..=1_000_000),
        drain_timeout: section.duration("drain_timeout", 30 * SECOND, waiting()),
        cors_origins: origins(&section),
        probe_interval: section.duration("probe_interval", 10 * SECOND, waiting()),
        probe_timeout: section.duration("probe_timeout", 2 * SECOND, waiting()),
    };
    if policy.probe_timeout > policy.probe_interval {
        section.error("probe_timeout", "is longer than `gateway.probe_interval`: probes would pile up", "");
    }
    section.finish();
    (listen, policy)
}

fn origins(section: &Section<'_>) -> Vec<String> {
    let written = section.texts("cors_origins", "origins, such as \"https://app.example.com\"");
    for origin in written.iter().filter(|origin| !is_origin(&origin.value)) {
        let message = format!("holds «{}», which is not an origin", origin.value);
        let help = "write scheme, host and port in small letters, such as https://app.example.com; `*` is not possible, \
                    since every origin that may send a user's token is to be named";
        section.error("cors_origins", message, help);
    }
    written.into_iter().map(|origin| origin.value).collect()
}

/// Scheme, host and port as a browser sends them (RFC 6454, section 6.2), and nothing more.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host =
        uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().contains('*'));
    web && host && uri.path() == "/" && uri.query().is_none() && !text.ends_with('/') && text.to_lowercase() == text
}

pub(super) fn admin(root: &Section<'_>) -> (At<SocketAddr>, AdminPolicy) {
    let section = root.child("admin");
    let listen = section.address("listen", loopback(8001));
    let policy = AdminPolicy {
        allow_remote: section.flag("allow_remote"),
        body_bytes: section.size("body_bytes", mib(1), kib(1)..=gib(1)),
        connections: section.count("connections", 64, 1..=1_000_000),
        header_timeout: section.duration("header_timeout", 10 * SECOND, waiting()),
        request_timeout: section.duration("request_timeout", 30 * SECOND, waiting()),
        drain_timeout: section.duration("drain_timeout", 5 * SECOND, waiting()),
    };
    section.finish();
    (listen, policy)
}

pub(super) fn engine(root: &Section<'_>) -> EngineLimits {
    let section = root.child("engine");
    let cpus = std::thread::available_parallelism().map_or(2, |count| u32::try_from(count.get()).unwrap_or(256));
    let threads = |key| section.optional_count(key, "one per CPU", 1..=256).unwrap_or(cpus.clamp(1, 256));
    let limits = EngineLimits {
        instances: section.count("instances", 256, 1..=10_000),
        memory: section.size("memory", mib(256), mib(1)..=gib(4)),
        component_bytes: section.size("component_bytes", mib(64), kib(1)..=gib(1)),
        compile_memory: section.size("compile_memory", gib(2), mib(64)..=gib(64)),
        compile_timeout: section.duration("compile_timeout", 120 * SECOND, SECOND..=3600 * SECOND),
        cache_bytes: section.size("cache_bytes", gib(1), mib(1)..=gib(1024)),
        cache_dir: section.path("cache_dir", "cache, in the state folder").map(|path| path.value),
        fast_threads: threads("fast_threads"),
        slow_threads: threads("slow_threads"),
        tick: section.duration("tick", Duration::from_millis(10), Duration::from_millis(1)..=SECOND),
        call_depth: section.count("call_depth", 8, 1..=64),
        call_bytes: section.size("call_bytes", kib(128), kib(1)..=mib(64)),
        probation: section.duration("probation", 60 * SECOND, waiting()),
        losses: section.count("losses", 5, 1..=10_000),
        loss_window: section.duration("loss_window", 10 * SECOND, waiting()),
        outbound_connect_timeout: section.duration("outbound_connect_timeout", 10 * SECOND, waiting()),
        outbound_first_byte_timeout: section.duration("outbound_first_byte_timeout", 60 * SECOND, waiting()),
        outbound_between_bytes_timeout: section.duration("outbound_between_bytes_timeout", 30 * SECOND, waiting()),
        outbound_idle_connections: section.count("outbound_idle_connections", 16, 0..=10_000),
        outbound_idle_timeout: section.duration("outbound_idle_timeout", 30 * SECOND, waiting()),
    };
    section.finish();
    limits
}

pub(super) fn telemetry(root: &Section<'_>) -> TelemetryPlan {
    let section = root.child("telemetry");
    let formats = [("auto", LogFormat::Auto), ("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
    let plan = TelemetryPlan {
        filter: section.text("filter", "info"),
        format: section.choice("format", LogFormat::Auto, &formats),
        queue: section.count("queue", 8192, 16..=10_000_000),
    };
    section.finish();
    plan
}
