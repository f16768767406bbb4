//! What the files say, with the place of each word. Nothing here knows what it means: no path is looked up, no name is
//! resolved, no default is filled in.

mod chassis;
mod component;
mod manifest;
mod runtime_config;

use crate::diagnostics::At;
use crate::plan::{ComponentLimits, Isolation};

pub(crate) use manifest::manifest;
pub(crate) use runtime_config::runtime_config;

/// `spin.toml`.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) variables: Vec<(At<String>, Variable)>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) components: Vec<Component>,
}

/// `[variables]`, one entry.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) default: Option<At<String>>,
    pub(crate) required: bool,
    pub(crate) secret: bool,
}

/// `[[trigger.http]]`.
#[derive(Debug)]
pub(crate) struct Trigger {
    pub(crate) path: TriggerPath,
    pub(crate) component: At<String>,
}

/// `route` of a trigger.
#[derive(Debug)]
pub(crate) enum TriggerPath {
    /// A pattern.
    Route(At<String>),
    /// Not reachable from outside.
    Private,
    /// Missing or wrong, which was reported.
    Unusable,
}

/// `[component.<name>]`.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) name: At<String>,
    pub(crate) source: Option<At<String>>,
    pub(crate) environment: Vec<(At<String>, At<String>)>,
    pub(crate) variables: Vec<(At<String>, At<String>)>,
    pub(crate) files: Vec<Files>,
    pub(crate) exclude_files: Vec<At<String>>,
    pub(crate) outbound: Vec<At<String>>,
    pub(crate) stores: Vec<At<String>>,
    pub(crate) databases: Vec<At<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) chassis: Chassis,
}

/// An entry of `files`.
#[derive(Debug)]
pub(crate) enum Files {
    /// A path or a glob, found in the guest under the same path.
    Pattern(At<String>),
    /// A folder or file, and its path in the guest.
    Placed { source: At<String>, destination: At<String> },
}

/// An entry of `dependencies`.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) interface: At<String>,
    /// The component of the manifest that it names, if it names one.
    pub(crate) component: Option<At<String>>,
}

/// `[component.<name>.tool.chassis]`.
#[derive(Debug)]
pub(crate) struct Chassis {
    pub(crate) owns_databases: Vec<At<String>>,
    pub(crate) owns_stores: Vec<At<String>>,
    /// Labels of either kind, from a flat list.
    pub(crate) owns_either: Vec<At<String>>,
    pub(crate) publish: Vec<At<String>>,
    pub(crate) subscribe: Vec<At<String>>,
    pub(crate) mail_from: Vec<At<String>>,
    pub(crate) slow_routes: Vec<At<String>>,
    pub(crate) provides: Vec<At<String>>,
    pub(crate) isolation: Isolation,
    pub(crate) limits: ComponentLimits,
}

/// `runtime-config.toml`.
#[derive(Debug, Default)]
pub(crate) struct RuntimeConfig {
    pub(crate) stores: Vec<At<String>>,
    pub(crate) databases: Vec<At<String>>,
    pub(crate) providers: Vec<Provider>,
}

/// `[[variables_provider]]`.
#[derive(Debug)]
pub(crate) enum Provider {
    /// Values that stand in the file.
    Static(Vec<(At<String>, At<String>)>),
    /// Variables of the environment that begin with this prefix and `_`.
    Environment { prefix: String },
}
