//! Variables of the application, and the templates that use them.

use std::collections::BTreeMap;

use super::Inputs;
use crate::diagnostics::{At, Report, did_you_mean};
use crate::plan::Variable;
use crate::raw::{self, Manifest, Provider};

/// Every variable of the application by name; without a value where that is missing, which was reported.
#[derive(Debug)]
pub(super) struct Variables(BTreeMap<String, Option<Variable>>);

impl Variables {
    pub(super) fn resolve(manifest: &Manifest, inputs: &Inputs<'_>) -> Self {
        let mut variables = BTreeMap::new();
        for (name, variable) in &manifest.variables {
            check_name(name, inputs.report);
            let value = value(name, variable, inputs);
            variables.insert(name.value.clone(), value.map(|value| Variable { value, secret: variable.secret }));
        }
        for provider in &inputs.runtime.providers {
            let Provider::Static(values) = provider else { continue };
            for (name, _) in values.iter().filter(|(name, _)| !variables.contains_key(&name.value)) {
                inputs.report.warn(&name.place, format!("the manifest has no variable «{}»", name.value));
            }
        }
        Self(variables)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Replace `{{ name }}` by values. The result is a secret where one of the values is.
    pub(super) fn render(&self, template: &At<String>, report: &Report) -> Option<Variable> {
        let mut rendered = Variable { value: String::new(), secret: false };
        let mut rest = template.value.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                report.error(&template.place, "`{{` has no `}}`", "write `{{ name }}`");
                return None;
            };
            let name = name.trim();
            let Some(found) = self.0.get(name) else {
                let help = did_you_mean(name, self.0.keys().map(String::as_str));
                report.error(&template.place, format!("no variable «{name}» in [variables]"), help);
                return None;
            };
            let found = found.as_ref()?;
            rendered.value.push_str(before);
            rendered.value.push_str(&found.value);
            rendered.secret |= found.secret;
            rest = after;
        }
        rendered.value.push_str(rest);
        Some(rendered)
    }

    /// `[component.<name>.variables]`.
    pub(super) fn of_component(&self, component: &raw::Component, report: &Report) -> BTreeMap<String, Variable> {
        let entries = component.variables.iter().filter_map(|(name, template)| {
            check_name(name, report);
            Some((name.value.clone(), self.render(template, report)?))
        });
        entries.collect()
    }
}

fn value(name: &At<String>, variable: &raw::Variable, inputs: &Inputs<'_>) -> Option<String> {
    let upper = name.value.to_uppercase();
    let ours = format!("CHASSIS_VARIABLE_{upper}");
    let from_environment = |name: &str| inputs.environment.get(name).map(|value| value.value.to_owned());
    let from_providers = || {
        inputs.runtime.providers.iter().find_map(|provider| match provider {
            Provider::Static(values) => {
                values.iter().find(|(key, _)| key.value == name.value).map(|(_, v)| v.value.clone())
            }
            Provider::Environment { prefix } => from_environment(&format!("{prefix}_{upper}")),
        })
    };
    let value = from_environment(&ours)
        .or_else(|| from_environment(&format!("SPIN_VARIABLE_{upper}")))
        .or_else(from_providers)
        .or_else(|| variable.default.as_ref().map(|default| default.value.clone()));
    if value.is_none() && variable.required {
        let help = format!("set {ours}, or give it by a [[variables_provider]] in runtime-config.toml");
        inputs.report.error(&name.place, format!("the required variable «{}» has no value", name.value), help);
    }
    value
}

/// Spin's rule: words of small letters and digits, joined by `_`, each beginning with a letter.
fn check_name(name: &At<String>, report: &Report) {
    let word = |word: &str| {
        word.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if !name.value.split('_').all(word) {
        let help = "write small letters and digits, with `_` between words";
        report.error(&name.place, format!("«{}» is not a variable name", name.value), help);
    }
}
