//! Interfaces that the host must not link: it says which function is wrong, and why, before anything is served.

use chassis_tests::{App, HostOptions, run_to_end};

/// What every `call-failure` holds.
const FAILURE: &str = r#"(enum "missing" "trapped" "deadline" "too-deep" "overloaded")"#;

/// The name of an interface that a component of these tests imports.
const INTERFACE: &str = "test:odd/interface@0.1.0";

/// What serves HTTP by name. Which types its function has is looked at when an instance is made, and none of these tests
/// gets there.
const HANDLER: &str = r#"
    (core module $code (func (export "handle")))
    (core instance $code (instantiate $code))
    (func $handle (canon lift (core func $code "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "wasi:http/handler@0.3.0" (instance $handler))"#;

/// A component that serves HTTP by name and imports an interface with these items.
fn caller(items: &str) -> anyhow::Result<Vec<u8>> {
    let text = format!(
        r#"(component
            (import "{INTERFACE}" (instance {items}))
            {HANDLER})"#
    );
    Ok(wat::parse_str(text)?)
}

/// A component that serves HTTP by name, and is the provider of an interface without functions.
fn empty_provider() -> anyhow::Result<Vec<u8>> {
    let text = format!(
        r#"(component
            {HANDLER}
            (instance $nothing)
            (export "{INTERFACE}" (instance $nothing)))"#
    );
    Ok(wat::parse_str(text)?)
}

fn manifest(grants: &str) -> String {
    format!(
        r#"
[[trigger.http]]
route = "/..."
component = "asks"
[component.asks]
source = "asks.file"
[component.asks.dependencies]
"{INTERFACE}" = {{ component = "offers" }}
[component.offers]
source = "offers.file"
{grants}
"#
    )
}

fn providing() -> String {
    manifest(&format!("[component.offers.tool.chassis]\nprovides = [\"{INTERFACE}\"]"))
}

/// The host ends by itself, was never ready, and its words hold these.
async fn refused(app: &App, words: &[&str]) -> anyhow::Result<()> {
    let ended = run_to_end(app, HostOptions::default()).await?;
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(!ended.stdout.contains("ready "), "{}", ended.stdout);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "«{word}» is missing in: {}", ended.stderr);
    }
    Ok(())
}

/// A caller of such an interface is refused with these words.
async fn interface_is_refused(items: &str, words: &[&str]) -> anyhow::Result<()> {
    let app = App::new(&providing())?;
    let app = app.file("asks.file", &caller(items)?)?.file("offers.file", &empty_provider()?)?;
    refused(&app, &[&["component «asks»", INTERFACE], words].concat()).await
}

/// The types of an interface whose functions answer `result<string, error>`.
fn types(error: &str) -> String {
    format!(
        r#"(type $failure' {FAILURE}) (export "call-failure" (type $failure (eq $failure')))
           (type $error' {error}) (export "error" (type $error (eq $error')))"#
    )
}

#[tokio::test]
async fn a_handler_without_its_function() -> anyhow::Result<()> {
    let manifest =
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"asks\"\n[component.asks]\nsource = \"asks.file\"\n";
    let empty = r#"(component (instance $nothing) (export "wasi:http/handler@0.3.0" (instance $nothing)))"#;
    let app = App::new(manifest)?.file("asks.file", &wat::parse_str(empty)?)?;
    refused(&app, &["component «asks»", "`handle`"]).await
}

#[tokio::test]
async fn an_error_that_cannot_say_unavailable() -> anyhow::Result<()> {
    let words = ["«ask»", "unavailable(call-failure)"];
    for error in [
        r#"(variant (case "refused" string))"#,
        r#"(variant (case "refused" string) (case "unavailable"))"#,
        r#"(variant (case "refused" string) (case "unavailable" string))"#,
    ] {
        let types = types(error);
        interface_is_refused(
            &format!(r#"{types} (export "ask" (func async (result (result string (error $error)))))"#),
            &words,
        )
        .await?;
    }
    for result in ["", "(result string)", "(result (result string))", "(result (result string (error string)))"] {
        interface_is_refused(&format!(r#"(export "ask" (func async {result}))"#), &words).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_call_failure_without_one_of_its_cases() -> anyhow::Result<()> {
    let items = r#"(type $failure' (enum "missing" "trapped" "deadline" "overloaded"))
        (export "call-failure" (type $failure (eq $failure')))
        (type $error' (variant (case "unavailable" $failure))) (export "error" (type $error (eq $error')))
        (export "ask" (func async (result (result (error $error)))))"#;
    interface_is_refused(items, &["«ask»", "too-deep"]).await
}

#[tokio::test]
async fn a_function_that_is_not_async() -> anyhow::Result<()> {
    let types = types(r#"(variant (case "unavailable" $failure))"#);
    let good = r#"(export "good" (func async (result (result (error $error)))))"#;
    let sync = r#"(export "ask" (func (result (result (error $error)))))"#;
    interface_is_refused(&format!("{types} {good} {sync}"), &["«ask»", "async"]).await
}

#[tokio::test]
async fn anything_but_plain_data() -> anyhow::Result<()> {
    let types = types(r#"(variant (case "unavailable" $failure))"#);
    for parameter in ["(stream u8)", "(future string)", "(list (tuple u8 (option (stream u8))))"] {
        let ask = format!(r#"(export "ask" (func async (param "it" {parameter}) (result (result (error $error)))))"#);
        interface_is_refused(&format!("{types} {ask}"), &["«ask»", "only plain data"]).await?;
    }
    let resource = r#"(export "handle" (type $handle (sub resource)))
        (export "ask" (func async (param "it" (own $handle)) (result (result (error $error)))))"#;
    interface_is_refused(&format!("{types} {resource}"), &["«handle»", "plain data"]).await
}

#[tokio::test]
async fn a_provider_that_does_not_offer_what_it_is_listed_for() -> anyhow::Result<()> {
    chassis_tests::component_file("caller")?;
    let manifest = r#"
[[trigger.http]]
route = "/..."
component = "hello"
[component.hello]
source = "hello.wasm"
[component.hello.tool.chassis]
provides = ["test:calls/target@0.1.0"]
"#;
    refused(&App::new(manifest)?, &["component «hello»", "test:calls/target@0.1.0", "provides"]).await
}

#[tokio::test]
async fn functions_with_other_types_than_the_providers() -> anyhow::Result<()> {
    let variant = r#"(type $failure' (variant (case "missing") (case "trapped") (case "deadline") (case "too-deep") (case "overloaded")))
        (export "call-failure" (type $failure (eq $failure')))
        (type $error' (variant (case "refused" string) (case "unavailable" $failure)))
        (export "error" (type $error (eq $error')))"#;
    for (function, word) in [
        (r#""slow" (func async (param "ms" u64) (result (result string (error $error))))"#, "other parameters"),
        (
            r#""slow" (func async (param "ms" u32) (param "more" u32) (result (result string (error $error))))"#,
            "other parameters",
        ),
        (r#""slow" (func async (param "ms" u32) (result (result u32 (error $error))))"#, "another result"),
        (r#""newer" (func async (result (result string (error $error))))"#, "not offered"),
    ] {
        let name = function.split('"').nth(1).unwrap_or_default();
        let items = format!("{variant} (export {function})");
        let asks = wat::parse_str(format!(
            r#"(component
                (import "test:calls/target@0.1.0" (instance {items}))
                {HANDLER})"#
        ))?;
        let manifest = r#"
[[trigger.http]]
route = "/..."
component = "asks"
[component.asks]
source = "asks.file"
[component.asks.dependencies]
"test:calls/target@0.1.0" = { component = "provider" }
[component.provider]
source = "provider.wasm"
[component.provider.tool.chassis]
provides = ["test:calls/target@0.1.0"]
"#;
        let app = App::new(manifest)?.file("asks.file", &asks)?;
        refused(&app, &["component «asks»", "«provider»", &format!("«{name}»"), word]).await?;
    }
    Ok(())
}
