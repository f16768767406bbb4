//! The load generator: oha, a program of others, so that nobody has to trust a client of our own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::server::{Answer, Ask};
use crate::cargo::shown;
use crate::tools::{Accepted, Tool};
use crate::workspace::Workspace;

const OHA: Tool = Tool { name: "oha", version: "1.16.0", accepted: Accepted::Same };

/// Connections at a time, each with one request at a time.
pub(crate) const CONNECTIONS: u32 = 32;

/// Sends requests as fast as they are answered.
#[derive(Debug)]
pub(crate) struct Load {
    program: PathBuf,
}

/// What one run measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Milliseconds for half of the answers.
    pub(crate) p50_ms: f64,
    /// Milliseconds for 99 of 100 answers.
    pub(crate) p99_ms: f64,
    /// Answers in all.
    pub(crate) answers: u32,
}

/// The part of oha's output that is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    summary: Summary,
    latency_percentiles: Percentiles,
    status_code_distribution: BTreeMap<String, u32>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    requests_per_sec: f64,
    total_data: u64,
}

#[derive(Debug, Deserialize)]
struct Percentiles {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Load {
    pub(crate) fn find(workspace: &Workspace) -> anyhow::Result<Self> {
        Ok(Self { program: OHA.find(workspace)? })
    }

    /// Sends one kind of request for so long. Each answer must be 200, and all together must have as many bytes as so
    /// many times the one that was looked at.
    pub(crate) fn run(&self, server: &str, ask: &Ask, expected: &Answer, time: Duration) -> anyhow::Result<Run> {
        let mut command = self.command(server, ask, time);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start oha")?;
        let line = command_line(server, ask, time);
        ensure!(output.status.success(), "`{line}` ended with {}", output.status);
        let run = serde_json::from_slice(&output.stdout).with_context(|| format!("`{line}` wrote no JSON"))?;
        judge(&run, expected).with_context(|| format!("`{line}`"))
    }

    fn command(&self, server: &str, ask: &Ask, time: Duration) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--no-tui", "--output-format", "json", "--wait-ongoing-requests-after-deadline"]);
        command.arg("-c").arg(CONNECTIONS.to_string()).arg("-z").arg(format!("{}s", time.as_secs()));
        // Compression costs both sides the same and would only make them look more alike.
        command.args(["-H", "accept-encoding: identity"]);
        if let Some(token) = &ask.token {
            command.arg("-H").arg(format!("authorization: Bearer {token}"));
        }
        command.arg(format!("{server}{}", ask.path));
        command
    }
}

/// The command that is run, as a person would type it.
pub(crate) fn command_line(server: &str, ask: &Ask, time: Duration) -> String {
    let hidden = Ask { token: ask.token.as_ref().map(|_token| "$TOKEN".to_owned()), ..ask.clone() };
    let load = Load { program: PathBuf::from(OHA.name) };
    shown(&load.command(server, &hidden, time))
}

/// A run counts only if every answer was right.
fn judge(output: &Output, expected: &Answer) -> anyhow::Result<Run> {
    let Output { summary, latency_percentiles, status_code_distribution, error_distribution } = output;
    ensure!(error_distribution.is_empty(), "requests failed: {error_distribution:?}");
    let right = expected.status.to_string();
    let answers = status_code_distribution.get(&right).copied().unwrap_or_default();
    ensure!(status_code_distribution.len() == 1 && answers > 0, "answers by status: {status_code_distribution:?}");
    let bytes = u64::from(answers).saturating_mul(u64::try_from(expected.body.len())?);
    ensure!(summary.total_data == bytes, "{} bytes in {answers} answers instead of {bytes}", summary.total_data);
    let (Some(p50), Some(p99)) = (latency_percentiles.p50, latency_percentiles.p99) else {
        bail!("no percentiles of {answers} answers")
    };
    Ok(Run { rate: summary.requests_per_sec, p50_ms: p50 * 1e3, p99_ms: p99 * 1e3, answers })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn output() -> Value {
        json!({
            "summary": { "successRate": 1.0, "requestsPerSec": 1000.5, "totalData": 400, "total": 0.1 },
            "latencyPercentiles": { "p50": 0.001, "p99": 0.002, "p99.9": 0.003 },
            "statusCodeDistribution": { "200": 100 },
            "errorDistribution": {},
        })
    }

    fn judged(output: Value) -> anyhow::Result<Run> {
        let expected = Answer { status: 200, headers: vec![], body: "four".into() };
        judge(&serde_json::from_value(output).unwrap(), &expected)
    }

    #[test]
    fn a_good_run_is_read() {
        let run = judged(output()).unwrap();
        assert_eq!(run, Run { rate: 1000.5, p50_ms: 1.0, p99_ms: 2.0, answers: 100 });
    }

    #[test]
    fn a_run_with_anything_wrong_counts_for_nothing() {
        for (member, value, reason) in [
            ("statusCodeDistribution", json!({ "200": 99, "503": 1 }), "503"),
            ("statusCodeDistribution", json!({ "503": 100 }), "503"),
            ("statusCodeDistribution", json!({}), "answers by status"),
            ("errorDistribution", json!({ "connection refused": 1 }), "connection refused"),
            ("summary", json!({ "requestsPerSec": 1000.0, "totalData": 399 }), "399 bytes in 100 answers"),
            ("latencyPercentiles", json!({ "p50": null, "p99": null }), "no percentiles"),
        ] {
            let mut output = output();
            output[member] = value;
            let error = judged(output).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_shown_command_holds_no_token() {
        let ask = Ask { path: "/a?b=c".into(), token: Some("secret".into()) };
        let line = command_line("http://127.0.0.1:1", &ask, Duration::from_secs(10));
        assert!(line.starts_with("oha ") && line.ends_with(" \"http://127.0.0.1:1/a?b=c\""), "{line}");
        assert!(line.contains("-c 32 -z 10s") && line.contains("Bearer $TOKEN") && !line.contains("secret"), "{line}");
    }
}
