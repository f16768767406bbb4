//! What a handler is given.

use std::sync::Arc;

use chassis_capabilities::clock::SystemClock;
use chassis_capabilities::event::Envelope;
use chassis_engine::api::Door;

use crate::support::{Handler, QUEUE, World, answer, event, policy};

#[tokio::test]
async fn an_event_is_one_cloudevent_through_the_hosts_door() {
    let world = World::new(policy(), Arc::new(SystemClock)).await;
    let handler = Handler::new(|_, _| async { answer(204) });
    let worker = world.start(&handler);
    let data = r#"{"amount":12345678901234567890.10,"big":9007199254740993,"text":"ü \" \\ \n"}"#;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    world
        .batch([Envelope {
            data: data.to_owned(),
            subject: Some("todo_1".to_owned()),
            traceparent: Some(parent.to_owned()),
            ..event(1, None)
        }])
        .await;
    world.batch([event(2, None)]).await;
    while handler.calls().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    worker.stop().await;
    let calls = handler.calls();
    let call = calls.iter().find(|call| call.body.contains("event-1")).unwrap();
    assert_eq!(call.component, QUEUE);
    assert_eq!((call.head.method.as_str(), call.head.uri.to_string().as_str()), ("POST", "/.chassis/events"));
    assert_eq!(call.head.headers["content-type"], "application/cloudevents+json");
    assert_eq!(call.head.headers["content-length"], call.body.len().to_string());
    assert_eq!(call.meta.door, Door::Host);
    assert_eq!(call.meta.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(call.meta.traceparent, parent, "the delivery is a span of its own");
    let seen = call.event();
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", "event-1"),
        ("source", "/components/todos"),
        ("type", "todo.created"),
        ("subject", "todo_1"),
        ("time", "2025-06-15T12:00:00Z"),
        ("datacontenttype", "application/json"),
        ("traceparent", parent),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    assert!(call.body.contains(data), "the data is as it was written: {}", call.body);
    let other = calls.iter().find(|call| call.body.contains("event-2")).unwrap();
    let seen = other.event();
    assert!(seen.get("subject").is_none() && seen.get("traceparent").is_none(), "{seen}");
    assert_eq!(other.meta.trace_id().len(), 32);
    assert_ne!(other.meta.request_id, call.meta.request_id);
}
