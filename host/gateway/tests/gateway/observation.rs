//! Names, log lines, metrics.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::Gateway;

#[tokio::test]
async fn every_request_gets_an_id_of_ours() {
    let gateway = Gateway::start().await;
    for path in ["/", "/trap", "/health/live", "//"] {
        let response = gateway.request(&format!("GET {path}"), &["X-Request-Id: theirs"]).await;
        let id = response.field("x-request-id").unwrap();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "{id}");
    }
    let call = &gateway.component.calls()[0];
    assert_eq!(call.meta.request_id.len(), 36);
    assert!(!call.headers.contains_key("x-request-id"), "the client's is not handed on");
}

#[tokio::test]
async fn a_well_formed_trace_is_continued_and_no_other() {
    let gateway = Gateway::start().await;
    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = |value: &str| format!("traceparent: {value}");
    for value in [theirs, "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "rubbish"] {
        gateway.request("GET /", &[&traced(value), "tracestate: a=b"]).await;
    }
    for (index, call) in gateway.component.calls().iter().enumerate() {
        let trace = &call.meta.traceparent;
        assert_eq!(call.headers["traceparent"], trace.as_str());
        assert_eq!(call.meta.trace_id() == "4bf92f3577b34da6a3ce929d0e0e4736", index == 0, "{trace}");
        assert_eq!(call.headers.contains_key("tracestate"), index == 0);
        assert_ne!(trace, theirs, "the gateway has a span of its own");
    }
    let problem = gateway.request("GET /trap", &[&traced(theirs)]).await;
    assert_eq!(problem.json()["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn access(&self) -> Vec<Value> {
        let lines = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|line| line["target"] == "chassis::access").collect()
    }

    async fn access_lines(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            if self.access().len() >= count {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        self.access()
    }
}

#[tokio::test]
async fn every_request_leaves_one_line_without_secrets() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let gateway = Gateway::start().await;
    let secret = ["Authorization: Bearer canary", "Cookie: canary", "X-Request-Id: order-7"];
    let page = gateway.request("GET /page?length=5&token=canary", &secret).await;
    gateway.get("/trap").await;
    gateway.get("//").await;
    let mut left = TcpStream::connect(gateway.address).await.unwrap();
    left.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    gateway.component.until_alive(1).await;
    drop(left);

    let access = lines.access_lines(4).await;
    assert_eq!(access.len(), 4, "{access:?}");
    let first = &access[0];
    assert_eq!((&first["method"], &first["path"], &first["status"]), (&"GET".into(), &"/page".into(), &200.into()));
    assert_eq!((&first["bytes"], &first["component"], &first["end"]), (&5.into(), &"hello".into(), &"complete".into()));
    assert_eq!(first["request_id"], page.field("x-request-id").unwrap());
    assert_eq!(first["client_request_id"], "order-7");
    assert_eq!(first["trace_id"].as_str().unwrap().len(), 32);
    assert!(first["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(first["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!((&access[1]["status"], &access[1]["component"]), (&500.into(), &"hello".into()));
    assert_eq!((&access[2]["status"], access[2].get("component")), (&400.into(), None));
    assert_eq!((access[3].get("status"), &access[3]["end"]), (None, &"abandoned".into()));
    let all = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!all.contains("canary"), "{all}");
    assert!(all.contains("unreachable at /secret/source.rs"), "the reason of a trap is for the log: {all}");
}

#[tokio::test]
async fn requests_are_counted_with_bounded_labels() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let gateway = Gateway::start().await;
    gateway.get("/").await;
    gateway.get("/?x=1").await;
    gateway.get("/trap").await;
    gateway.request("BREW /", &[]).await;
    gateway.get("/health/live").await;
    let rendered = handle.render();
    for expected in [
        r#"http_requests_total{component="hello",method="GET",status="200"} 2"#,
        r#"http_requests_total{component="hello",method="GET",status="500"} 1"#,
        r#"http_requests_total{component="hello",method="other",status="200"} 1"#,
        r#"http_requests_total{component="none",method="GET",status="200"} 1"#,
        r#"http_request_duration_seconds_count{component="hello",method="GET"} 3"#,
        "http_requests_in_flight 0",
    ] {
        assert!(rendered.contains(expected), "{expected}\n{rendered}");
    }
}
