//! From what the files say to what it means.

mod components;
mod dependencies;
mod files;
mod grants;
mod labels;
mod outbound;
mod reach;
mod routes;
mod variables;

use std::net::SocketAddr;
use std::path::Path;

use crate::diagnostics::{At, Place, Report};
use crate::environment::Environment;
use crate::load::Options;
use crate::plan::{Application, Listeners, Plan};
use crate::raw::{Manifest, RuntimeConfig};
use crate::settings::{self, Section, Settings};

use labels::Labels;
use variables::Variables;

/// What resolving needs beside the manifest and the settings.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) options: &'a Options,
    /// Folder of the manifest.
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a Environment,
    pub(crate) report: &'a Report,
    pub(crate) runtime: &'a RuntimeConfig,
    /// `chassis.toml`, for the settings of single labels.
    pub(crate) root: &'a Section<'a>,
}

/// Resolve everything. Where the manifest could not be read, what can be said without it is still checked.
pub(crate) fn plan(manifest: Option<Manifest>, settings: Settings, inputs: &Inputs<'_>) -> Option<Plan> {
    let listeners = listeners(&settings, inputs);
    let Some(manifest) = manifest else {
        settings::stores(inputs.root, None, inputs.report);
        inputs.environment.finish(&["CHASSIS_VARIABLE_", "CHASSIS_KEY_VALUE_STORES_"], inputs.report);
        return None;
    };
    let variables = Variables::resolve(&manifest, inputs);
    let labels = Labels::assign(&manifest, inputs);
    let components = components::components(&manifest, &variables, &labels, inputs);
    let routes = routes::routes(&manifest, inputs.report);
    let components = reach::reachable(&manifest, components, inputs.report);
    let key_value = settings::stores(inputs.root, Some(labels.stores()), inputs.report);
    inputs.environment.finish(&[], inputs.report);
    let of_components = components.values().flat_map(|component| component.variables.keys());
    let variable_names = variables.names().chain(of_components).cloned().collect();
    Some(Plan {
        application: Application { name: manifest.name, version: manifest.version, description: manifest.description },
        components,
        variable_names,
        routes,
        listeners,
        state_dir: state_dir(&settings, inputs),
        gateway: settings.gateway,
        admin: settings.admin,
        engine: settings.engine,
        sql: settings.sql,
        key_value,
        messaging: settings.messaging,
        mail: settings.mail,
        telemetry: settings.telemetry,
    })
}

fn state_dir(settings: &Settings, inputs: &Inputs<'_>) -> std::path::PathBuf {
    let named = inputs.options.state_dir.as_ref().or(settings.state_dir.as_ref().map(|path| &path.value));
    let working_dir = &inputs.options.working_dir;
    named.map_or_else(|| working_dir.join(".chassis"), |path| working_dir.join(path))
}

fn listeners(settings: &Settings, inputs: &Inputs<'_>) -> Listeners {
    let chosen = |given: Option<SocketAddr>, option: &str, setting: &At<SocketAddr>| match given {
        Some(address) => At::new(address, Place::command_line(option)),
        None => setting.clone(),
    };
    let gateway = chosen(inputs.options.listen, "--listen", &settings.gateway_listen);
    let admin = chosen(inputs.options.admin, "--admin", &settings.admin_listen);
    if overlap(gateway.value, admin.value) {
        let message = format!("the admin listener {} takes the address of the gateway, {}", admin.value, gateway.value);
        inputs.report.error(&admin.place, message, "give each a port of its own");
    }
    if !admin.value.ip().is_loopback() && !settings.admin.allow_remote {
        let message = format!("the admin listener {} can be reached from other machines, without TLS", admin.value);
        let help = "listen on 127.0.0.1, or set `admin.allow_remote` where the network is trusted";
        inputs.report.error(&admin.place, message, help);
    }
    Listeners { gateway: gateway.value, admin: admin.value }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_host
}
