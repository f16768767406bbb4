//! Beginning and end.

use std::time::Duration;

use chassis_config::plan::GatewayPolicy;
use chassis_gateway::Drained;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::client::{read_to_end, read_until, responses};
use crate::harness::{Gateway, policy};

#[tokio::test]
async fn open_requests_end_and_new_connections_are_refused() {
    let mut gateway = Gateway::start().await;
    let component = std::sync::Arc::clone(&gateway.component);
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut idle, "hello").await;
    let mut fresh = TcpStream::connect(gateway.address).await.unwrap();
    let mut waiting = TcpStream::connect(gateway.address).await.unwrap();
    waiting.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut streaming = TcpStream::connect(gateway.address).await.unwrap();
    streaming.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    component.until_alive(2).await;

    gateway.shut_down();
    // Connections without a request end at once.
    assert!(read_to_end(&mut idle).await.is_empty());
    assert!(read_to_end(&mut fresh).await.is_empty());
    assert!(TcpStream::connect(gateway.address).await.is_err());
    component.steps.add_permits(4);
    let done = &responses(&read_to_end(&mut waiting).await)[0];
    assert_eq!((done.text().as_str(), done.field("connection")), ("done", Some("close")));
    let streamed = &responses(&read_to_end(&mut streaming).await)[0];
    assert_eq!((streamed.text().as_str(), streamed.whole), ("first second third", true));
    assert_eq!(gateway.drained().await, Drained::Whole);
}

#[tokio::test]
async fn what_is_open_at_the_drain_deadline_is_cut_off() {
    let gateway = Gateway::with(GatewayPolicy { drain_timeout: Duration::from_millis(300), ..policy() }).await;
    let component = std::sync::Arc::clone(&gateway.component);
    let mut waiting = TcpStream::connect(gateway.address).await.unwrap();
    waiting.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    component.until_alive(1).await;
    let started = Instant::now();
    assert_eq!(gateway.drained().await, Drained::Cut(1));
    assert!(started.elapsed() < Duration::from_secs(3));
    component.until_alive(0).await;
    assert!(read_to_end(&mut waiting).await.is_empty());
}

#[tokio::test]
async fn a_gateway_that_is_shutting_down_is_not_ready() {
    let mut gateway = Gateway::start().await;
    assert_eq!(gateway.get("/health/ready").await.status, 200);
    let mut asking = TcpStream::connect(gateway.address).await.unwrap();
    asking.write_all(b"GET /health/ready HTTP/1.1\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    gateway.shut_down();
    sleep(Duration::from_millis(100)).await;
    asking.write_all(b"Host: a\r\n\r\n").await.unwrap();
    let responses = responses(&read_to_end(&mut asking).await);
    assert_eq!(responses[0].status, 503);
    assert_eq!(responses[0].json()["status"], "unhealthy");
    assert_eq!(gateway.drained().await, Drained::Whole);
}

#[tokio::test]
async fn origins_that_are_none_are_refused_before_anything_is_served() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application =
        chassis_config::plan::Application { name: String::new(), version: String::new(), description: String::new() };
    let policy = GatewayPolicy { cors_origins: vec!["app.example.org".to_owned()], ..policy() };
    let routes = chassis_config::route::Router::new([]).unwrap();
    let component = std::sync::Arc::new(crate::component::Component::default());
    let settings = chassis_gateway::Settings { application, policy };
    let refused = chassis_gateway::serve(listener, settings, routes, component, std::future::pending()).await;
    assert!(matches!(refused, Err(chassis_gateway::ServeError::Origin(_))));
}
