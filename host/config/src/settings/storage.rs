//! SQL, key-value stores, messaging.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::limits::{gib, kib, mib};
use super::section::Section;
use crate::diagnostics::{At, Report, did_you_mean};
use crate::name::Label;
use crate::plan::{Durability, KeyValuePlan, MessagingPolicy, SqlPolicy};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn sql(root: &Section<'_>) -> SqlPolicy {
    let section = root.child("sql");
    let policy = SqlPolicy {
        rows: section.count("rows", 10_000, 1..=10_000_000),
        result_bytes: section.size("result_bytes", mib(16), kib(1)..=gib(1)),
        timeout: section.duration("timeout", 5 * SECOND, Duration::from_millis(10)..=HOUR),
        steps: section.count("steps", 128, 1..=10_000),
        params: section.count("params", 500, 1..=32_766),
        statement_bytes: section.size("statement_bytes", mib(1), kib(1)..=mib(64)),
        readers: section.count("readers", 4, 1..=256),
        queue: section.count("queue", 1024, 1..=100_000),
        group: section.count("group", 128, 1..=10_000),
        statements: section.count("statements", 128, 1..=10_000),
        outbox: section.count("outbox", 100_000, 1..=100_000_000).into(),
        database_bytes: section.size("database_bytes", gib(10), mib(1)..=gib(1024)),
        wal_bytes: section.size("wal_bytes", mib(64), mib(1)..=gib(1024)),
        temporary_bytes: section.size("temporary_bytes", mib(256), mib(1)..=gib(1024)),
        queue_bytes: section.size("queue_bytes", mib(32), kib(1)..=gib(64)),
    };
    section.finish();
    policy
}

pub(super) fn messaging(root: &Section<'_>) -> MessagingPolicy {
    let section = root.child("messaging");
    let pause = || Duration::from_millis(1)..=DAY;
    let retention = || SECOND..=366 * DAY;
    let policy = MessagingPolicy {
        event_bytes: section.size("event_bytes", kib(256), kib(1)..=mib(64)),
        events: section.count("events", 128, 1..=10_000),
        queue_length: section.count("queue_length", 100_000, 1..=100_000_000).into(),
        attempts: section.count("attempts", 20, 1..=1000),
        backoff_base: section.duration("backoff_base", SECOND, pause()),
        backoff_max: section.duration("backoff_max", 300 * SECOND, pause()),
        max_age: section.duration("max_age", 24 * HOUR, retention()),
        lease: section.duration("lease", 30 * SECOND, SECOND..=HOUR),
        concurrency: section.count("concurrency", 8, 1..=10_000),
        max_delay: section.duration("max_delay", 30 * DAY, retention()),
        dedup_window: section.duration("dedup_window", 24 * HOUR, retention()),
        dead_letter_retention: section.duration("dead_letter_retention", 30 * DAY, retention()),
        relay_batch: section.count("relay_batch", 100, 1..=10_000),
        relay_interval: section.duration("relay_interval", 5 * SECOND, pause()),
        database_bytes: section.size("database_bytes", gib(10), mib(1)..=gib(1024)),
    };
    if policy.backoff_base > policy.backoff_max {
        section.error("backoff_base", "is longer than `messaging.backoff_max`", "");
    }
    section.finish();
    policy
}

/// The stores, by label. Without labels, where the manifest could not be read, every table is checked as if its label
/// were known.
pub(crate) fn stores(
    root: &Section<'_>,
    labels: Option<&BTreeSet<Label>>,
    report: &Report,
) -> BTreeMap<Label, KeyValuePlan> {
    let section = root.child("key_value");
    let default = store(&section, &built_in());
    let tables = section.child("stores");
    let mut stores = BTreeMap::new();
    let known = |label: &Label| labels.is_none_or(|labels| labels.contains(label));
    let mut written = BTreeSet::new();
    for name in tables.names() {
        match Label::parse(&name.value) {
            Ok(label) if known(&label) => {
                written.insert(label);
            }
            Ok(label) => unknown_label(&name, &label, labels.into_iter().flatten(), report),
            Err(error) => report.error(&name.place, error.to_string(), ""),
        }
    }
    for label in labels.unwrap_or(&written) {
        let table = tables.child(label.as_str());
        stores.insert(label.clone(), store(&table, &default));
        table.finish();
    }
    section.finish();
    stores
}

fn unknown_label<'a>(at: &At<String>, label: &Label, known: impl Iterator<Item = &'a Label>, report: &Report) {
    let help = did_you_mean(label.as_str(), known.map(Label::as_str));
    let message = format!("no component owns a key-value store «{label}»");
    report.error(&at.place, message, help);
}

fn built_in() -> KeyValuePlan {
    KeyValuePlan { durability: Durability::Durable, value_bytes: mib(1), key_bytes: 512, total_bytes: mib(64) }
}

fn store(section: &Section<'_>, default: &KeyValuePlan) -> KeyValuePlan {
    let durabilities = [("durable", Durability::Durable), ("cache", Durability::Cache)];
    let plan = KeyValuePlan {
        durability: section.choice("durability", default.durability, &durabilities),
        value_bytes: section.size("value_bytes", default.value_bytes, 1..=mib(256)),
        key_bytes: section.small_size("key_bytes", default.key_bytes, 1..=(64 << 10)),
        total_bytes: section.size("total_bytes", default.total_bytes, kib(1)..=gib(1024)),
    };
    if plan.value_bytes > plan.total_bytes {
        section.error("value_bytes", "is above `total_bytes`: such a value could never be kept", "");
    }
    plan
}

/// List the settings, without reading any.
pub(super) fn describe(root: &Section<'_>) {
    let section = root.child("key_value");
    store(&section, &built_in());
    store(&section.child("stores").child("<label>"), &built_in());
}
