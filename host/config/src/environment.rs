//! The `CHASSIS_` and `SPIN_VARIABLE_` part of the environment, and which of it was asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::{At, Place, Report, did_you_mean};

/// What every variable of Chassis's own begins with.
const PREFIX: &str = "CHASSIS_";

/// The environment that the host was started with.
#[derive(Debug)]
pub(crate) struct Environment {
    values: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
}

impl Environment {
    pub(crate) fn new(values: impl Iterator<Item = (String, String)>) -> Self {
        Self { values: values.collect(), asked: RefCell::default() }
    }

    /// The value of a variable. Its name becomes one of those that are known.
    pub(crate) fn get(&self, name: &str) -> Option<At<&str>> {
        self.asked.borrow_mut().insert(name.to_owned());
        let value = self.values.get(name)?;
        Some(At::new(value, Place::environment(name)))
    }

    /// Report every variable of Chassis's that nobody asked for. Values are never shown: they may be secrets.
    /// `exempt` are beginnings of names that could not be asked for, since the manifest could not be read.
    pub(crate) fn finish(&self, exempt: &[&str], report: &Report) {
        let asked = self.asked.borrow();
        let unknown = |name: &&String| {
            name.starts_with(PREFIX) && !asked.contains(*name) && !exempt.iter().any(|prefix| name.starts_with(prefix))
        };
        for name in self.values.keys().filter(unknown) {
            let ours = asked.iter().map(String::as_str).filter(|name| name.starts_with(PREFIX));
            let mut help = did_you_mean(name, ours);
            if help.is_empty() {
                help =
                    "a variable is CHASSIS_, the section and the key in capitals, such as CHASSIS_GATEWAY_BODY_BYTES; \
                        docs/configuration.md lists them"
                        .to_owned();
            }
            report.error(&Place::environment(name), "unknown variable", help);
        }
    }
}
