//! Components and manifests that do not fit each other: typed calls that nobody granted, that nobody answers, or that
//! lead in a circle.

use chassis_tests::{App, HostOptions, component_file, run_to_end};

async fn refused(manifest: &str, words: &[&str]) -> anyhow::Result<()> {
    for guest in ["caller", "relay", "provider", "auth"] {
        component_file(guest)?;
    }
    let ended = run_to_end(&App::new(manifest)?, HostOptions::default()).await?;
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(!ended.stdout.contains("ready "), "{}", ended.stdout);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "«{word}» is missing in: {}", ended.stderr);
    }
    Ok(())
}

const ROUTE: &str = "[[trigger.http]]\nroute = \"/...\"\n";

#[tokio::test]
async fn an_interface_that_was_not_granted_is_not_linked() -> anyhow::Result<()> {
    // The provider is there, and offers it: without an entry in `dependencies` it is not lent.
    let manifest = format!(
        "{ROUTE}component = \"relay\"\n[[trigger.http]]\nroute = \"/provider\"\ncomponent = \"provider\"\n\
         [component.relay]\nsource = \"relay.wasm\"\n\
         [component.relay.tool.chassis]\nprovides = [\"test:calls/passage@0.1.0\"]\n\
         [component.provider]\nsource = \"provider.wasm\"\n\
         [component.provider.tool.chassis]\nprovides = [\"test:calls/target@0.1.0\"]\n"
    );
    refused(&manifest, &["component «relay»", "test:calls/target@0.1.0", "not granted", "dependencies"]).await
}

#[tokio::test]
async fn a_provider_that_is_missing_is_told_at_start() -> anyhow::Result<()> {
    let manifest = format!(
        "{ROUTE}component = \"relay\"\n[component.relay]\nsource = \"relay.wasm\"\n\
         [component.relay.dependencies]\n\"test:calls/target@0.1.0\" = {{ component = \"provider\" }}\n\
         [component.relay.tool.chassis]\nprovides = [\"test:calls/passage@0.1.0\"]\n"
    );
    refused(&manifest, &["provider", "spin.toml:"]).await
}

#[tokio::test]
async fn a_component_that_offers_what_it_was_not_granted_to_offer_is_refused() -> anyhow::Result<()> {
    for (source, grants) in
        [("auth", ""), ("auth", "[component.intruder.tool.chassis]\nprovides = []\n"), ("provider", "")]
    {
        let manifest =
            format!("{ROUTE}component = \"intruder\"\n[component.intruder]\nsource = \"{source}.wasm\"\n{grants}");
        let interface = if source == "auth" { "chassis:auth/identity@0.1.0" } else { "test:calls/target@0.1.0" };
        refused(&manifest, &["component «intruder»", interface, "provides"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_interface_has_one_provider() -> anyhow::Result<()> {
    let component = |name: &str| {
        format!(
            "[[trigger.http]]\nroute = \"/{name}\"\ncomponent = \"{name}\"\n[component.{name}]\nsource = \"auth.wasm\"\n\
             [component.{name}.tool.chassis]\nprovides = [\"chassis:auth/identity@0.1.0\"]\n"
        )
    };
    let manifest = component("auth") + &component("intruder");
    refused(&manifest, &["chassis:auth/identity@0.1.0", "already provided by «auth»", "spin.toml:"]).await
}

#[tokio::test]
async fn calls_that_lead_in_a_circle_are_refused() -> anyhow::Result<()> {
    let manifest = format!(
        "{ROUTE}component = \"relay\"\n[component.relay]\nsource = \"relay.wasm\"\n\
         [component.relay.dependencies]\n\"test:calls/target@0.1.0\" = {{ component = \"provider\" }}\n\
         [component.relay.tool.chassis]\nprovides = [\"test:calls/passage@0.1.0\"]\n\
         [component.provider]\nsource = \"provider.wasm\"\n\
         [component.provider.dependencies]\n\"test:calls/passage@0.1.0\" = {{ component = \"relay\" }}\n\
         [component.provider.tool.chassis]\nprovides = [\"test:calls/target@0.1.0\"]\n"
    );
    refused(&manifest, &["circle", "relay", "provider"]).await
}
