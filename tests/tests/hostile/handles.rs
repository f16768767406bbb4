//! Handles are bounded, of whatever kind: what the host keeps for a guest does not grow without end.

use chassis_tests::{App, Host};
use reqwest::StatusCode;

const MANIFEST: &str = r#"
[[trigger.http]]
route = "/..."
component = "hello"
[component.hello]
source = "hello.wasm"
files = [{ source = "public", destination = "/public" }]
[component.hello.tool.chassis.limits]
handles = 400
"#;

#[tokio::test]
async fn as_many_as_are_granted_and_no_more() -> anyhow::Result<()> {
    let app = App::new(MANIFEST)?.file("public/a.txt", b"content")?;
    let host = Host::start(&app).await?;
    for kind in ["files", "fields", "requests", "streams"] {
        let some = host.get(&format!("/handles/{kind}?count=50")).await?;
        assert_eq!(some.status(), StatusCode::OK, "{kind}: {}", some.text().await?);
        // Memory for these many is granted; handles are not.
        let many = host.get(&format!("/handles/{kind}?count=5000")).await?;
        let (status, text) = (many.status(), many.text().await?);
        // A file that cannot be opened is an answer to the guest; the others have no answer but a trap.
        let expected =
            if kind == "files" { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::INTERNAL_SERVER_ERROR };
        assert!(status == expected || status == StatusCode::INTERNAL_SERVER_ERROR, "{kind}: {status}: {text}");
        assert_eq!(host.get("/hello").await?.status(), StatusCode::OK, "after {kind}");
    }
    Ok(())
}
