//! What the host tells about itself: log lines on stderr, and metrics for whoever asks.
//!
//! Nothing here listens: the admin side serves what [`Metrics::render`] answers. stdout is left alone, it belongs to the
//! `ready` line. Log lines pass through a bounded queue to a thread of their own, so that a slow terminal or pipe never
//! delays a request: when the queue is full, lines are dropped and counted.

mod json;
mod lines;
mod recorder;
#[cfg(test)]
mod written;

pub use lines::FilterError;
pub use recorder::{Metrics, RecorderError};

use std::io::{IsTerminal, Write};

use chassis_config::plan::{LogFormat, TelemetryPlan};
use tracing::subscriber::SetGlobalDefaultError;
use tracing_appender::non_blocking::WorkerGuard;

use crate::lines::Form;
use crate::recorder::Upkeep;

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of log lines cannot be read.
    #[error("cannot set up log lines")]
    Filter(#[from] FilterError),
    /// Log lines already go elsewhere in this process.
    #[error("cannot set up log lines a second time")]
    Subscriber(#[from] SetGlobalDefaultError),
    /// Metrics cannot be recorded.
    #[error("cannot set up metrics")]
    Recorder(#[from] RecorderError),
}

/// Telemetry that runs. Lines that wait are written when it is dropped, so keep it until the process ends.
#[derive(Debug)]
#[must_use = "telemetry ends when this is dropped"]
pub struct Telemetry {
    metrics: Metrics,
    // Dropped in this order: the upkeep may still have a line to write.
    _upkeep: Upkeep,
    _writer: WorkerGuard,
}

impl Telemetry {
    /// The metrics, to be rendered by somebody else.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }
}

/// Set up log lines on stderr and metrics, for the whole process.
///
/// # Errors
/// Where the filter cannot be read, or telemetry was set up before.
pub fn init(plan: &TelemetryPlan) -> Result<Telemetry, TelemetryError> {
    let stderr = std::io::stderr();
    let form = match plan.format {
        LogFormat::Json => Form::Json,
        LogFormat::Pretty => Form::Pretty,
        LogFormat::Auto if stderr.is_terminal() => Form::Pretty,
        LogFormat::Auto => Form::Json,
    };
    init_with(plan, form, stderr)
}

fn init_with(
    plan: &TelemetryPlan,
    form: Form,
    output: impl Write + Send + 'static,
) -> Result<Telemetry, TelemetryError> {
    let (writer, dropped, guard) = lines::writer(output, plan.queue as usize);
    let subscriber = lines::subscriber(&plan.filter, form, writer)?;
    tracing::subscriber::set_global_default(subscriber)?;
    let metrics = Metrics::install(dropped)?;
    let upkeep = Upkeep::start(metrics.clone())?;
    Ok(Telemetry { metrics, _upkeep: upkeep, _writer: guard })
}
