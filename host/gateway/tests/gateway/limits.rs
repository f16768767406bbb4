//! Limits on bytes, time and numbers.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{exchange, read_to_end, read_until, responses};
use crate::harness::{Gateway, policy};

/// A guard against hanging: nothing here takes so long, on however busy a machine.
const HANG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream
        .write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n")
        .await
        .unwrap();
    let text = read_until(&mut stream, "traceId").await;
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("/problems/body-too-large"), "{text}");
    assert!(gateway.component.calls().is_empty());
}

#[tokio::test]
async fn a_body_at_the_limit_is_served() {
    let gateway = Gateway::start().await;
    let mut request = b"POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n".to_vec();
    request.resize(request.len() + 65536, b'x');
    assert_eq!(gateway.raw(request).await.text(), "65536");
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_refused_and_the_component_let_go() {
    let gateway = Gateway::start().await;
    for path in ["/count", "/wait"] {
        let mut request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        for _ in 0..17 {
            request.extend_from_slice(b"1000\r\n");
            request.resize(request.len() + 4096, b'x');
            request.extend_from_slice(b"\r\n");
        }
        if path == "/wait" {
            // This one does not read, so nothing is counted: it is bounded by its own time, and by what hyper buffers.
            gateway.component.steps.add_permits(1);
            assert_eq!(exchange(gateway.address, &request).await[0].text(), "done");
        } else {
            let response = gateway.raw(request).await;
            assert_eq!((response.status, response.problem().as_str()), (413, "body-too-large"));
            assert_eq!(response.field("connection"), Some("close"), "the rest is not read");
        }
        gateway.component.until_alive(0).await;
    }
}

/// Without a patient end of the connection, the client's unread bytes would reset it before the answer is read.
#[tokio::test]
async fn a_client_that_keeps_sending_still_reads_why_it_was_refused() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let length = 3 << 20;
    stream
        .write_all(format!("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    for _ in 0..(length / 65536) {
        stream.write_all(&[b'x'; 65536]).await.unwrap();
        sleep(Duration::from_millis(2)).await;
    }
    let responses = responses(&read_to_end(&mut stream).await);
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0].problem(), "body-too-large");
    assert_eq!(responses[0].field("connection"), Some("close"), "nobody is to send another request here");
}

/// A client that has an answer uses the connection again: it must not be closed under its next request because of a body
/// that nobody wanted.
#[tokio::test]
async fn a_short_body_that_nobody_wants_costs_no_connection() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"POST /.chassis/events HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\nfirst")
            .await
            .unwrap();
        let text = read_until(&mut stream, "traceId").await;
        assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        // What the answer did not wait for.
        stream.write_all(&[b'x'; 1995]).await.unwrap();
    }
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "version").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    let responses = responses(&read_to_end(&mut stream).await);
    assert_eq!((responses[0].status, responses[0].problem().as_str()), (408, "request-timeout"));
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_when_the_time_is_over() {
    let gateway =
        Gateway::with(chassis_config::plan::GatewayPolicy { request_timeout: Duration::from_secs(1), ..policy() })
            .await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    // Its end would come after 50 s.
    let trickle = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let mut text = String::new();
    timeout(HANG, tokio::io::AsyncReadExt::read_to_string(&mut reading, &mut text)).await.unwrap().ok();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    trickle.abort();
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn a_component_that_does_not_answer_is_let_go() {
    let gateway =
        Gateway::with(chassis_config::plan::GatewayPolicy { request_timeout: Duration::from_millis(300), ..policy() })
            .await;
    let response = gateway.get("/wait").await;
    assert_eq!((response.status, response.problem().as_str()), (504, "deadline-exceeded"));
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn a_response_that_stalls_is_cut_off() {
    let gateway = Gateway::start().await;
    let response = gateway.get("/stall").await;
    assert_eq!((response.status, response.text().as_str(), response.whole), (200, "first", false));
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn a_response_is_cut_off_when_the_time_is_over() {
    let gateway =
        Gateway::with(chassis_config::plan::GatewayPolicy { request_timeout: Duration::from_millis(600), ..policy() })
            .await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let responses = responses(&read_to_end(&mut stream).await);
    assert!(!responses[0].whole && responses[0].body.len() > 100_000);
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let gateway =
        Gateway::with(chassis_config::plan::GatewayPolicy { request_timeout: Duration::from_secs(60), ..policy() })
            .await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    gateway.component.until_alive(1).await;
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn large_heads_are_refused() {
    let gateway = Gateway::start().await;
    let many: Vec<String> = (0..80).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = format!("X: {}", "x".repeat(20_000));
    for fields in [&many[..], &[&long[..]]] {
        let response = gateway.request("GET /", fields).await;
        assert_eq!((response.status, response.problem().as_str()), (431, "headers-too-large"));
    }
    let response = gateway.get(&format!("/{}", "x".repeat(20_000))).await;
    assert_eq!((response.status, response.problem().as_str()), (414, "uri-too-long"));
    assert!(gateway.component.calls().is_empty());
}

/// Beyond what is held in memory the parser answers, without a body.
#[tokio::test]
async fn endless_heads_are_refused() {
    let gateway = Gateway::start().await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(100_000));
    assert_eq!(gateway.raw(long).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: 1\r\n".repeat(500));
    assert_eq!(gateway.raw(format!("{many}\r\n")).await.status, 431);
}

#[tokio::test]
async fn a_head_that_is_not_sent_in_time_ends_the_connection() {
    let gateway = Gateway::start().await;
    for begun in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        // Whoever never closed it would keep this from ending.
        assert!(timeout(HANG, read_to_end(&mut stream)).await.unwrap().is_empty());
    }
    assert!(gateway.component.calls().is_empty());
}

#[tokio::test]
async fn requests_beyond_the_limit_are_sent_away_but_health_is_told() {
    let gateway = Gateway::with(chassis_config::plan::GatewayPolicy { requests: 1, ..policy() }).await;
    let mut first = TcpStream::connect(gateway.address).await.unwrap();
    first.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    gateway.component.until_alive(1).await;
    let second = gateway.get("/").await;
    assert_eq!((second.status, second.problem().as_str()), (503, "overloaded"));
    assert_eq!(second.field("retry-after"), Some("1"));
    assert_eq!(gateway.get("/health/live").await.status, 200);
    gateway.component.steps.add_permits(1);
    assert_eq!(responses(&read_to_end(&mut first).await)[0].text(), "done");
    assert_eq!(gateway.get("/").await.status, 200);
}

/// The place is held until the response is sent, not only until it begins.
#[tokio::test]
async fn a_response_that_is_being_sent_counts() {
    let gateway = Gateway::with(chassis_config::plan::GatewayPolicy { requests: 1, ..policy() }).await;
    let mut first = TcpStream::connect(gateway.address).await.unwrap();
    first.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    gateway.component.steps.add_permits(1);
    read_until(&mut first, "first").await;
    assert_eq!(gateway.get("/").await.status, 503);
    gateway.component.steps.add_permits(2);
    read_to_end(&mut first).await;
    gateway.component.until_alive(0).await;
    assert_eq!(gateway.get("/").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let gateway = Gateway::with(chassis_config::plan::GatewayPolicy { connections: 1, ..policy() }).await;
    let mut first = TcpStream::connect(gateway.address).await.unwrap();
    first.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    gateway.component.until_alive(1).await;
    let second = gateway.get("/");
    let mut second = std::pin::pin!(second);
    assert!(timeout(Duration::from_millis(200), second.as_mut()).await.is_err());
    gateway.component.steps.add_permits(1);
    assert_eq!(second.await.status, 200);
}
