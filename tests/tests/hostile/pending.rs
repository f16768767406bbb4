//! Writes that come faster than they are stored: the host holds so many bytes of them, and no more.

use anyhow::Context;
use chassis_tests::{App, Host};
use futures::future::join_all;
use serde_json::json;

use super::attempts::Attempt;

const MANIFEST: &str = r#"
[[trigger.http]]
route = "/..."
component = "intruder"
[component.intruder]
source = "intruder.wasm"
key_value_stores = ["intruder"]
[component.intruder.tool.chassis]
publish = ["intruder.*"]
[component.intruder.tool.chassis.limits]
pending_bytes = "1KiB"
"#;

/// Writes at a time. There is room for one.
const WRITES: usize = 16;
/// More than it takes until two of them meet.
const ROUNDS: usize = 200;

#[tokio::test]
async fn writes_beyond_the_room_for_them_are_busy_and_the_others_are_done() -> anyhow::Result<()> {
    let app = App::new(MANIFEST)?;
    let host = Host::start(&app).await?;
    let set = json!({ "store": "intruder", "deed": "set" });
    let publish = json!({ "event_type": "intruder.came" });
    for (path, what) in [("/key-value", set), ("/publish", publish)] {
        let mut refused = 0;
        for _ in 0..ROUNDS {
            let attempts = join_all((0..WRITES).map(|_| Attempt::make(&host, path, &what))).await;
            for attempt in attempts {
                let attempt = attempt.context("a write")?;
                if attempt.error().contains("Busy") {
                    refused += 1;
                } else {
                    attempt.succeeded();
                }
            }
            if refused > 0 {
                break;
            }
        }
        assert!(refused > 0, "{path}: no two writes were under way at a time");
        Attempt::make(&host, path, &what).await?.succeeded();
    }
    Ok(())
}
