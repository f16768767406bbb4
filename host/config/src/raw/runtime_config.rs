//! `runtime-config.toml`: which backend stands behind each label, as Spin writes it.

use super::{Provider, RuntimeConfig};
use crate::diagnostics::At;
use crate::table::{Table, Value};

/// Read the runtime configuration.
pub(crate) fn runtime_config(document: Table<'_>) -> RuntimeConfig {
    document.ignored("state_dir", "Chassis keeps its state where `state_dir` of chassis.toml or --state-dir says");
    document.ignored("log_dir", "guest output goes to the log of the host");
    document.ignored("max_instance_memory", "write `limits.memory` and `engine.memory` in chassis.toml");
    document.ignored("llm_compute", "Chassis lends no language models");
    for table in ["outbound_http", "outbound_pg", "outbound_mysql", "outbound_redis", "outbound_mqtt"] {
        document.ignored(table, "the host's own connections are bounded by chassis.toml");
    }
    let certificates = "client certificates cannot be presented; let a proxy do it";
    document.refused("client_tls", certificates);
    if let Some(networking) = document.table("outbound_networking") {
        networking.refused("block_networks", "name what may be called in `allowed_outbound_hosts` instead");
        networking.ignored("max_socket_connections", "components cannot open sockets");
        networking.ignored("max_total_connections", "components cannot open sockets");
        networking.finish();
    }
    let stores = document.names("key_value_store").into_iter();
    let databases = document.names("sqlite_database").into_iter();
    let config = RuntimeConfig {
        stores: stores.filter_map(|(label, value)| backend(label, &value)).collect(),
        databases: databases.filter_map(|(label, value)| backend(label, &value)).collect(),
        providers: ["variables_provider", "config_provider"].iter().flat_map(|key| providers(&document, key)).collect(),
    };
    document.finish();
    config
}

/// A label whose backend is the embedded one.
fn backend(label: At<String>, value: &Value<'_>) -> Option<At<String>> {
    let table = value.table()?;
    let kind = table.required("type")?.text()?;
    if kind.value != "spin" {
        let message = format!("backend «{}» is not supported", kind.value);
        table.error(&kind.place, message, "write type = \"spin\": the embedded backend, kept in the state folder");
        return None;
    }
    // Where Spin keeps it; here it is in the state folder.
    table.text("path");
    if table.flag("allow_attach_file") {
        let message = "`allow_attach_file` is not supported: a component reaches its own database only";
        table.error(table.place(), message, "remove it");
    }
    table.finish();
    Some(label)
}

fn providers(document: &Table<'_>, key: &str) -> Vec<Provider> {
    let list = document.get(key).map(|value| value.list()).unwrap_or_default();
    list.iter().filter_map(|value| provider(value.table()?)).collect()
}

fn provider(table: Table<'_>) -> Option<Provider> {
    let kind = table.required("type")?.text()?;
    let provider = match kind.value.as_str() {
        "static" => {
            let values = table.names("values").into_iter();
            Some(Provider::Static(values.filter_map(|(name, value)| Some((name, value.text()?))).collect()))
        }
        "env" => {
            table.refused("dotenv_path", "put the variables into the environment of the host");
            let prefix = table.text("prefix").map_or_else(|| "SPIN_VARIABLE".to_owned(), |prefix| prefix.value);
            Some(Provider::Environment { prefix })
        }
        other => {
            let message = format!("variables provider «{other}» is not supported");
            table.error(&kind.place, message, "write type = \"static\" or \"env\"");
            return None;
        }
    };
    table.finish();
    provider
}
