//! Telemetry of a whole process: one test, since it is set up once.

use std::time::{Duration, Instant};

use chassis_config::plan::{LogFormat, TelemetryPlan};
use chassis_telemetry::{TelemetryError, init};

#[test]
fn a_process_is_set_up_once_and_tells_about_itself() {
    let plan = |filter: &str| TelemetryPlan { filter: filter.to_owned(), format: LogFormat::Json, queue: 64 };
    assert!(matches!(init(&plan("a=b=c")), Err(TelemetryError::Filter(_))));

    let telemetry = init(&plan("off")).unwrap();
    assert!(matches!(init(&plan("off")), Err(TelemetryError::Subscriber(_))));

    metrics::counter!("things_total", "kind" => "a").increment(2);
    metrics::histogram!("wait_seconds").record(0.003);
    let rendered = telemetry.metrics().render();
    for expected in [
        r#"things_total{kind="a"} 2"#,
        r#"wait_seconds_bucket{le="0.0025"} 0"#,
        r#"wait_seconds_bucket{le="0.005"} 1"#,
        "wait_seconds_count 1",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
        "log_lines_dropped_total 0",
    ] {
        assert!(rendered.contains(expected), "{expected}\n{rendered}");
    }
    let before = Instant::now();
    drop(telemetry);
    assert!(before.elapsed() < Duration::from_secs(2), "it ends when it is dropped");
}
