//! What is wrong with an input, field by field.

use serde::Serialize;

/// Violations that one answer names; the rest is cut off, so that a hostile body cannot make a long answer.
pub const VIOLATIONS_MAX: usize = 32;

/// One rule that one part of the input breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where: a JSON Pointer (RFC 6901) into the body, such as `/tags/2`.
    pub pointer: String,
    /// Which rule, as a stable word for programs, such as `too-long`.
    pub code: &'static str,
    /// Which rule, for people.
    pub detail: String,
}

/// A rule that was broken, before it is known where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rule {
    /// A stable word for programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Rule {
    /// A broken rule.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// All violations of one input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{} parts of the input are not valid", .0.len())]
#[serde(transparent)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A single one.
    pub fn one(pointer: impl Into<String>, rule: Rule) -> Self {
        let mut all = Self::new();
        all.push(pointer, rule);
        all
    }

    /// Note one more; beyond [`VIOLATIONS_MAX`] it is dropped.
    pub fn push(&mut self, pointer: impl Into<String>, rule: Rule) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation { pointer: pointer.into(), code: rule.code, detail: rule.detail });
        }
    }

    /// Keep the value, or note the broken rule and go on, so that one answer names everything that is wrong.
    pub fn check<T>(&mut self, pointer: &str, outcome: Result<T, Rule>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(rule) => {
                self.push(pointer, rule);
                None
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order in which they were found.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// The value that was built meanwhile, if nothing was wrong.
    ///
    /// # Errors
    /// The violations, where there are any, or where `value` is missing.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            Some(_) | None => Err(self),
        }
    }
}

/// One step of a JSON Pointer, escaped (RFC 6901, section 3).
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_named_in_order() {
        let mut all = Violations::new();
        let first = all.check("/a", Ok::<_, Rule>(1));
        let second = all.check::<i32>("/b", Err(Rule::new("too-long", "at most 3 characters")));
        let third = all.check::<i32>("/c", Err(Rule::new("required", "is missing")));
        let refused = all.finish(first.zip(second).zip(third)).unwrap_err();
        let pointers: Vec<_> = refused.as_slice().iter().map(|v| v.pointer.as_str()).collect();
        assert_eq!(pointers, ["/b", "/c"]);
    }

    #[test]
    fn a_value_passes_when_nothing_is_wrong() {
        assert_eq!(Violations::new().finish(Some(7)), Ok(7));
        assert!(Violations::new().finish::<i32>(None).is_err());
    }

    #[test]
    fn their_number_is_bounded() {
        let mut all = Violations::new();
        for index in 0..1000 {
            all.push(format!("/{index}"), Rule::new("required", "is missing"));
        }
        assert_eq!(all.as_slice().len(), VIOLATIONS_MAX);
    }

    #[test]
    fn pointer_tokens_are_escaped() {
        assert_eq!(pointer_token("a/b~c"), "a~1b~0c");
    }
}
