//! The shipped application and a state folder, on which one host after the other is started.

use chassis_tests::{App, Host, HostOptions, Program};
use tempfile::TempDir;

/// Deliveries of a host that was killed are taken up again after the lease; nobody's mail is to be forgotten.
const SETTINGS: [(&str, &str); 2] = [("CHASSIS_MESSAGING_LEASE", "1s"), ("CHASSIS_MAIL_MAILBOX_MESSAGES", "20000")];

/// Where hosts run one after the other.
#[derive(Debug)]
pub(crate) struct Place {
    app: App,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::with(&[])
    }

    /// With further settings for all hosts.
    pub(crate) fn with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("chassis-state-").tempdir()?;
        let environment =
            SETTINGS.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Ok(Self { app: App::shipped()?, folder, environment: environment.collect() })
    }

    /// The host that is shipped.
    pub(crate) async fn start(&self) -> anyhow::Result<Host> {
        Host::start_with(&self.app, self.options(Program::Shipped)).await
    }

    /// The host that is shipped, started by a shell after this.
    pub(crate) async fn start_after(&self, shell: &str) -> anyhow::Result<Host> {
        let options = self.options(Program::Shipped);
        Host::start_with(&self.app, HostOptions { shell: Some(shell.to_owned()), ..options }).await
    }

    /// A host with these failpoints.
    pub(crate) async fn start_with(&self, failpoints: &str) -> anyhow::Result<Host> {
        let mut options = self.options(Program::Failpoints);
        options.environment.push(("CHASSIS_FAILPOINTS".to_owned(), failpoints.to_owned()));
        Host::start_with(&self.app, options).await
    }

    fn options(&self, program: Program) -> HostOptions {
        HostOptions {
            program,
            state_dir: Some(self.folder.path().join("state")),
            environment: self.environment.clone(),
            ..HostOptions::default()
        }
    }
}
