//! From files and environment to a plan.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::diagnostics::{ConfigErrors, Report, Warning};
use crate::environment::Environment;
use crate::plan::Plan;
use crate::raw;
use crate::resolve;
use crate::settings::{self, Context, Section};
use crate::source::Source;
use crate::table::Table;

const MANIFEST_RANK: u8 = 0;
const RUNTIME_CONFIG_RANK: u8 = 1;
pub(crate) const SETTINGS_RANK: u8 = 2;

/// What a host is started with, beside its environment. Relative paths are relative to `working_dir`.
#[derive(Debug, Clone)]
pub struct Options {
    /// The manifest.
    pub manifest: PathBuf,
    /// The runtime configuration; by default `runtime-config.toml` beside the manifest, if there is one.
    pub runtime_config: Option<PathBuf>,
    /// The settings; by default `chassis.toml` beside the manifest, if there is one.
    pub settings: Option<PathBuf>,
    /// The public listener, above `gateway.listen`.
    pub listen: Option<SocketAddr>,
    /// The admin listener, above `admin.listen`.
    pub admin: Option<SocketAddr>,
    /// The state folder, above `state_dir`.
    pub state_dir: Option<PathBuf>,
    /// The working directory, absolute.
    pub working_dir: PathBuf,
    /// Variables that begin with `CHASSIS_` and that the caller reads itself.
    pub reserved_variables: Vec<String>,
}

impl Options {
    /// The defaults: `spin.toml` in this folder, which is absolute.
    #[must_use]
    pub fn new(working_dir: impl Into<PathBuf>) -> Self {
        Self {
            manifest: PathBuf::from("spin.toml"),
            runtime_config: None,
            settings: None,
            listen: None,
            admin: None,
            state_dir: None,
            working_dir: working_dir.into(),
            reserved_variables: Vec::new(),
        }
    }
}

/// Read the configuration. The environment is an argument, so that tests and tools can give another.
///
/// # Errors
/// Everything that is wrong, in all files and in the environment.
pub fn load(
    options: &Options,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Plan, Vec<Warning>), ConfigErrors> {
    let report = Report::default();
    let environment = Environment::new(environment.into_iter());
    for name in &options.reserved_variables {
        environment.get(name);
    }
    let plan = read(options, &environment, &report);
    report.finish(plan)
}

/// Read the configuration with the environment of this process. Text that is not UTF-8 is replaced, and so never matches.
///
/// # Errors
/// Everything that is wrong, in all files and in the environment.
pub fn load_from_process(options: &Options) -> Result<(Plan, Vec<Warning>), ConfigErrors> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    load(options, std::env::vars_os().map(|(name, value)| (text(name), text(value))))
}

fn read(options: &Options, environment: &Environment, report: &Report) -> Option<Plan> {
    let manifest_source = source(options, &options.manifest, MANIFEST_RANK, report);
    let folder = folder_of(&options.working_dir.join(&options.manifest));
    let runtime_source = beside(options, options.runtime_config.as_deref(), "runtime-config.toml");
    let runtime_source = runtime_source.and_then(|path| source(options, &path, RUNTIME_CONFIG_RANK, report));
    let settings_path = beside(options, options.settings.as_deref(), "chassis.toml");
    let settings_folder = settings_path.as_ref().map(|path| folder_of(&options.working_dir.join(path)));
    let settings_source = settings_path.and_then(|path| source(options, &path, SETTINGS_RANK, report));

    let settings_document = settings_source.as_ref().and_then(|source| Some((source, source.parse(report)?)));
    let settings_table = settings_document.as_ref().map(|(source, document)| Table::document(source, document, report));
    let context = Context::new(environment, report, settings_folder.as_deref().unwrap_or(&folder));
    let root = Section::root(settings_table, &context);
    let settings = settings::read(&root);

    let runtime_document = runtime_source.as_ref().and_then(|source| Some((source, source.parse(report)?)));
    let runtime_table = runtime_document.as_ref().map(|(source, document)| Table::document(source, document, report));
    let runtime = runtime_table.map(raw::runtime_config).unwrap_or_default();

    let document = manifest_source.as_ref().and_then(|source| Some((source, source.parse(report)?)));
    let table = document.as_ref().map(|(source, document)| Table::document(source, document, report));
    let manifest = table.and_then(|table| raw::manifest(table, &settings, &context));

    let inputs = resolve::Inputs { options, folder: &folder, environment, report, runtime: &runtime, root: &root };
    let plan = resolve::plan(manifest, settings, &inputs);
    root.finish();
    plan
}

fn source(options: &Options, path: &Path, rank: u8, report: &Report) -> Option<Source> {
    Source::read(&options.working_dir.join(path), path, rank, report)
}

/// The file that was asked for, or the usual one beside the manifest where that exists.
fn beside(options: &Options, given: Option<&Path>, usual: &str) -> Option<PathBuf> {
    let usual = || options.manifest.with_file_name(usual);
    let exists = |path: &PathBuf| options.working_dir.join(path).symlink_metadata().is_ok();
    given.map(Path::to_owned).or_else(|| Some(usual()).filter(exists))
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}
