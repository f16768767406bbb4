//! `chassis.toml` and the `CHASSIS_` environment, which are two spellings of the same settings.
//!
//! The code below this room is the table of settings: each is named once, with its default and its range.

mod host;
mod limits;
mod mail;
mod section;
mod storage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::diagnostics::{At, Report};
use crate::environment::Environment;
use crate::plan::{
    AdminPolicy, ComponentLimits, EngineLimits, GatewayPolicy, MailPlan, MessagingPolicy, SqlPolicy, TelemetryPlan,
};

pub(crate) use limits::{check as check_limits, read as read_limits};
pub(crate) use mail::is_address;
pub(crate) use section::{Context, Section};
pub(crate) use storage::stores;

/// One setting of `chassis.toml`, as the documentation shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its table, such as `mail.smtp`; empty for the keys above all tables.
    pub section: String,
    /// Its key.
    pub key: String,
    /// Its default, as it would be written, or what it depends on; empty where it has none.
    pub default: String,
    /// What can be written.
    pub range: String,
}

impl Setting {
    /// The variable that sets it: `CHASSIS_`, the table and the key, in capitals, with `_` for `.` and `-`.
    #[must_use]
    pub fn variable(&self) -> String {
        section::variable(&self.section, &self.key)
    }
}

/// What `chassis.toml` and the environment say, apart from what belongs to single labels.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) state_dir: Option<At<PathBuf>>,
    pub(crate) gateway_listen: At<SocketAddr>,
    pub(crate) admin_listen: At<SocketAddr>,
    pub(crate) gateway: GatewayPolicy,
    pub(crate) admin: AdminPolicy,
    pub(crate) engine: EngineLimits,
    pub(crate) limits: ComponentLimits,
    pub(crate) sql: SqlPolicy,
    pub(crate) messaging: MessagingPolicy,
    pub(crate) mail: MailPlan,
    pub(crate) telemetry: TelemetryPlan,
}

/// Read every setting but those of single labels.
pub(crate) fn read(root: &Section<'_>) -> Settings {
    let (gateway_listen, gateway) = host::gateway(root);
    let (admin_listen, admin) = host::admin(root);
    let engine = host::engine(root);
    let limits_section = root.child("limits");
    let limits = limits::read(&limits_section, &limits::defaults());
    limits::check(&limits_section, &limits, &engine);
    limits_section.finish();
    Settings {
        state_dir: root.path("state_dir", ".chassis, in the working directory"),
        gateway_listen,
        admin_listen,
        gateway,
        admin,
        engine,
        limits,
        sql: storage::sql(root),
        messaging: storage::messaging(root),
        mail: mail::mail(root),
        telemetry: host::telemetry(root),
    }
}

/// Every setting, in the order of the documentation. `<label>` stands for the label of a key-value store.
#[must_use]
pub fn settings() -> Vec<Setting> {
    let (environment, report) = (Environment::new(std::iter::empty()), Report::default());
    let context = Context::new(&environment, &report, Path::new(""));
    let root = Section::root(None, &context);
    read(&root);
    storage::describe(&root);
    context.into_listed()
}
