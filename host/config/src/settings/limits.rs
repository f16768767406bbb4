//! Bounds of one component: `[limits]` for all, `limits` under `[component.<name>.tool.chassis]` for one.

use std::time::Duration;

use super::section::Section;
use crate::plan::{ComponentLimits, EngineLimits};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What holds where nothing is written.
pub(crate) fn defaults() -> ComponentLimits {
    ComponentLimits {
        memory: 64 * MIB,
        deadline: Duration::from_secs(30),
        burst_cpu: Duration::from_millis(50),
        concurrency: 256,
        queue: 256,
        instances: 16,
        slow_concurrency: 4,
        instance_concurrency: 16,
        instance_requests: 128,
        instance_idle: Duration::from_secs(10),
        log_lines: 100,
        log_line_bytes: 8 << 10,
        handles: 1024,
        outbound: 64,
        pending_bytes: 32 * MIB,
        files_entries: 10_000,
        files_bytes: 256 * MIB,
    }
}

/// Read the limits, with those of `default` where nothing is written.
pub(crate) fn read(section: &Section<'_>, default: &ComponentLimits) -> ComponentLimits {
    let milliseconds = |from, to| Duration::from_millis(from)..=Duration::from_millis(to);
    const HOUR: u64 = 3_600_000;
    ComponentLimits {
        memory: section.size("memory", default.memory, MIB..=4 * GIB),
        deadline: section.duration("deadline", default.deadline, milliseconds(10, HOUR)),
        burst_cpu: section.duration("burst_cpu", default.burst_cpu, milliseconds(1, HOUR)),
        concurrency: section.count("concurrency", default.concurrency, 1..=100_000),
        queue: section.count("queue", default.queue, 1..=100_000),
        instances: section.count("instances", default.instances, 1..=10_000),
        slow_concurrency: section.count("slow_concurrency", default.slow_concurrency, 1..=10_000),
        instance_concurrency: section.count("instance_concurrency", default.instance_concurrency, 1..=10_000),
        instance_requests: section.count("instance_requests", default.instance_requests, 1..=1_000_000_000),
        instance_idle: section.duration("instance_idle", default.instance_idle, milliseconds(10, 24 * HOUR)),
        log_lines: section.count("log_lines", default.log_lines, 1..=1_000_000),
        log_line_bytes: section.small_size("log_line_bytes", default.log_line_bytes, 64..=(1 << 20)),
        handles: section.count("handles", default.handles, 16..=1_000_000),
        outbound: section.count("outbound", default.outbound, 1..=10_000),
        pending_bytes: section.size("pending_bytes", default.pending_bytes, KIB..=64 * GIB),
        files_entries: section.count("files_entries", default.files_entries, 1..=1_000_000),
        files_bytes: section.size("files_bytes", default.files_bytes, KIB..=64 * GIB),
    }
}

/// What a single value cannot tell.
pub(crate) fn check(section: &Section<'_>, limits: &ComponentLimits, engine: &EngineLimits) {
    if limits.memory > engine.memory {
        section.error("memory", "is above `engine.memory`, which bounds every component", "raise that, or lower this");
    }
    if limits.instances > engine.instances {
        let help = "raise that, or lower this";
        section.error("instances", "is above `engine.instances`, which all components share", help);
    }
    if limits.burst_cpu > limits.deadline {
        section.error("burst_cpu", "is longer than `deadline`, so that it would never be reached", "");
    }
}

/// Keeps the sizes of the rooms beside this one in the same words.
pub(super) const fn kib(count: u64) -> u64 {
    count * KIB
}

pub(super) const fn mib(count: u64) -> u64 {
    count * MIB
}

pub(super) const fn gib(count: u64) -> u64 {
    count * GIB
}
