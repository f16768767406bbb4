//! Metrics: recorded by the `metrics` facade, rendered as Prometheus reads them.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::{counter, describe_counter};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tracing_appender::non_blocking::ErrorCounter;

/// How often histograms are folded. Between two foldings they keep each value.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Bounds of the buckets of durations, in seconds: from a request that a warm instance answers to one that times out.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

const DROPPED_LINES: &str = "log_lines_dropped_total";

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// Another recorder is in place.
    #[error("cannot install the recorder")]
    Install(#[from] BuildError),
    /// The thread that looks after it could not be started.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

/// The metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    prometheus: PrometheusHandle,
    process: Collector,
    dropped: ErrorCounter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn install(dropped: ErrorCounter) -> Result<Self, RecorderError> {
        let builder =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
        let prometheus = builder.install_recorder()?;
        let process = Collector::default();
        process.describe();
        describe_counter!(DROPPED_LINES, "Log lines that were dropped because whoever reads them is too slow.");
        Ok(Self { prometheus, process, dropped })
    }

    /// All metrics in the text format of Prometheus, those of the process (memory, CPU time, descriptors, threads) as of
    /// now. Reads a few files of `/proc`.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.collect();
        self.count_dropped_lines();
        self.prometheus.render()
    }

    /// Answers with the number of lines that were dropped so far.
    fn count_dropped_lines(&self) -> usize {
        let dropped = self.dropped.dropped_lines();
        counter!(DROPPED_LINES).absolute(u64::try_from(dropped).unwrap_or(u64::MAX));
        dropped
    }
}

/// Looks after the recorder, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Upkeep {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(crate) fn start(metrics: Metrics) -> Result<Self, RecorderError> {
        let (stop, stopped) = sync_channel::<()>(1);
        let run = move || {
            let mut told = 0;
            while stopped.recv_timeout(UPKEEP_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                metrics.prometheus.run_upkeep();
                told = tell_dropped_lines(&metrics, told);
            }
        };
        let thread = std::thread::Builder::new().name("chassis-metrics".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

fn tell_dropped_lines(metrics: &Metrics, told: usize) -> usize {
    let dropped = metrics.count_dropped_lines();
    if dropped > told {
        tracing::warn!(lines = dropped - told, "log lines were dropped: whoever reads them is too slow");
    }
    dropped
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported when it happened.
            let _panicked = thread.join();
        }
    }
}
