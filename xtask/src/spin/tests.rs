//! The check is shown to refuse what Spin would, and the composition to follow Spin's rules. Small components are written as
//! text; those of the product are the ones that were built.

use std::path::Path;

use super::compose::{Part, compose};
use super::interfaces::Offered;
use super::manifest::Manifest;

const HANDLER: &str = "(instance $handler) (export \"wasi:http/handler@0.3.0\" (instance $handler))";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn offered() -> Offered {
    Offered::parse(&std::fs::read_to_string(root().join(super::INTERFACES)).unwrap()).unwrap()
}

fn component(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {body})")).unwrap()
}

/// What is said of a component.
fn refusal(body: &str) -> String {
    format!("{:#}", offered().check(&component(body), &[]).unwrap_err())
}

fn built(name: &str) -> Vec<u8> {
    let file = root().join("target/wasm32-wasip2/release").join(format!("{name}.wasm"));
    std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; build it with `cargo xtask build-components`", file.display()))
}

#[test]
fn what_takes_only_what_spin_offers_is_found_good() {
    let body = format!(
        "(import \"wasi:cli/environment@0.2.3\" (instance)) (import \"spin:sqlite/sqlite@3.0.0\" (instance)) {HANDLER}"
    );
    let found = offered().check(&component(&body), &[]).unwrap();
    assert_eq!((found.imports, found.handler.as_str()), (2, "wasi:http/handler@0.3.0"));
}

#[test]
fn what_takes_anything_else_is_refused() {
    for import in [
        "chassis:platform/mail@0.1.0",
        "wasi:blobstore/container@0.2.0",
        "wasi:http/types@0.4.0",
        "wasi:cli/environment@0.3.0-rc-2026-01-06",
        "spin:sqlite/sqlite@2.0.0",
        "spin:sqlite/other@3.1.0",
    ] {
        let text = refusal(&format!("(import \"{import}\" (instance)) {HANDLER}"));
        assert!(text.contains(&format!("imports {import}, which Spin does not offer")), "{text}");
    }
    let text = refusal(&format!("(import \"plain\" (func)) {HANDLER}"));
    assert!(text.contains("imports plain"), "{text}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = refusal("(import \"a:b/c@1.0.0\" (instance)) (import \"a:b/d@1.0.0\" (instance))");
    for part in ["a:b/c@1.0.0", "a:b/d@1.0.0", "has 0 HTTP handlers"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn one_handler_is_needed_and_no_second() {
    assert!(refusal("").contains("has 0 HTTP handlers"));
    for second in
        ["wasi:http/incoming-handler@0.2.3", "wasi:http/handler@0.3.0-rc-2026-03-15", "fermyon:spin/inbound-http"]
    {
        let text = refusal(&format!("{HANDLER} (export \"{second}\" (instance $handler))"));
        assert!(text.contains("has 2 HTTP handlers"), "{text}");
    }
    // Of the interface that is meant, but not of a version that Spin knows.
    let text = refusal("(instance $i) (export \"wasi:http/handler@0.4.0\" (instance $i))");
    assert!(text.contains("has 0 HTTP handlers"), "{text}");
}

#[test]
fn what_is_offered_to_others_is_named_in_the_manifest() {
    let body = format!("{HANDLER} (export \"chassis:auth/identity@0.1.0\" (instance $handler))");
    assert!(refusal(&body).contains("exports chassis:auth/identity@0.1.0"));
    offered().check(&component(&body), &["chassis:auth/identity@0.1.0".to_owned()]).unwrap();
}

/// What is within a component is its own affair; a module is no component.
#[test]
fn only_the_outside_counts() {
    let body = format!("(component (import \"a:b/c@1.0.0\" (instance)) {HANDLER}) {HANDLER}");
    offered().check(&component(&body), &[]).unwrap();
    for wasm in [wat::parse_str("(module)").unwrap(), b"not wasm".to_vec(), Vec::new()] {
        offered().check(&wasm, &[]).unwrap_err();
    }
}

#[test]
fn components_that_are_not_composed_are_refused() {
    for (name, package) in [("todos", "chassis:auth/identity@0.1.0"), ("auth", "chassis:platform/sql@0.1.0")] {
        let text = format!("{:#}", offered().check(&built(name), &[]).unwrap_err());
        assert!(text.contains(&format!("imports {package}")), "{name}: {text}");
    }
    // With the platform alone, todos still lacks who knows tokens.
    let part = Part { name: "chassis:platform@0.1.0".to_owned(), wasm: built("spin_adapter") };
    let half = compose(built("todos"), vec![part]).unwrap();
    let text = format!("{:#}", offered().check(&half, &[]).unwrap_err());
    assert!(text.contains("imports chassis:auth/identity@0.1.0") && !text.contains("chassis:platform"), "{text}");
}

/// The adapter answers no requests: it could not be run by itself, and imports nothing of Chassis.
#[test]
fn the_adapter_lacks_nothing_but_a_handler() {
    let provides = ["types", "sql", "messaging", "key-value", "mail", "config"];
    let provides = provides.map(|name| format!("chassis:platform/{name}@0.1.0"));
    let text = format!("{:#}", offered().check(&built("spin_adapter"), &provides).unwrap_err());
    assert!(text.ends_with("it has 0 HTTP handlers where Spin takes exactly one: []"), "{text}");
}

const PLUG: &str = "
    (core module $m (func (export \"f\") (result i32) i32.const 7))
    (core instance $m (instantiate $m))
    (func $f (result u32) (canon lift (core func $m \"f\")))
    (instance $i (export \"f\" (func $f)))
    (export \"a:b/c@0.1.0\" (instance $i))";

fn part(name: &str, body: &str) -> Part {
    Part { name: name.to_owned(), wasm: component(body) }
}

#[test]
fn a_dependency_satisfies_what_it_is_named_for() {
    let body = format!("(import \"a:b/c@0.1.0\" (instance (export \"f\" (func (result u32))))) {HANDLER}");
    assert!(offered().check(&component(&body), &[]).is_err());
    for name in ["a:b@0.1.0", "a:b/c@0.1.0", "a:b"] {
        let composed = compose(component(&body), vec![part(name, PLUG)]).unwrap();
        assert_eq!(offered().check(&composed, &[]).unwrap().imports, 0, "{name}");
    }
}

#[test]
fn a_dependency_that_does_not_fit_is_refused() {
    let refusal = |import: &str, parts: Vec<Part>| {
        let body = format!("(import \"a:b/c@0.1.0\" (instance (export \"f\" (func {import})))) {HANDLER}");
        format!("{:#}", compose(component(&body), parts).unwrap_err())
    };
    let text = refusal("(result u32)", vec![part("a:b/d@0.1.0", PLUG)]);
    assert!(text.contains("matches no import"), "{text}");
    let text = refusal("(result u32)", vec![part("a:b@0.1.0", HANDLER)]);
    assert!(text.contains("does not export «a:b/c@0.1.0»"), "{text}");
    let text = refusal("(result u64)", vec![part("a:b@0.1.0", PLUG)]);
    assert!(text.contains("has other types than the import"), "{text}");
    let text = refusal("(result u32)", vec![part("a:b/c@0.1.0", PLUG), part("a:b@0.1.0", PLUG)]);
    assert!(text.contains("dependency «a:b@0.1.0»"), "{text}");
}

#[test]
fn the_manifest_says_what_is_composed_and_what_cannot_be() {
    let parse = |dependency: &str| {
        Manifest::parse(&format!(
            "[component.a]\nsource = 'a.wasm'\n[component.a.dependencies]\n\"x:y@0.1.0\" = {dependency}\n[component.b]\nsource = 'b.wasm'\n"
        ))
    };
    let manifest = parse("{ path = 'y.wasm', inherit_configuration = true }").unwrap();
    let composed: Vec<&str> = manifest.composed().map(|component| component.name.as_str()).collect();
    assert_eq!(composed, ["a"]);
    for wrong in
        ["{ path = 'y.wasm' }", "{ component = 'b' }", "'0.1.0'", "{ path = 'y.wasm', inherit_configuration = false }"]
    {
        let text = format!("{:#}", parse(wrong).unwrap_err());
        assert!(text.contains("[component.a]: dependency «x:y@0.1.0»"), "{wrong}: {text}");
    }
}
