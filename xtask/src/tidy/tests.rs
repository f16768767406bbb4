//! Each rule is shown to hold on a small good checkout, and to fail on the same checkout with one thing broken.

use std::path::Path;

use super::check;

const INHERITED: &str =
    "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n";

/// A `Cargo.toml` of the house, with these dependencies.
fn manifest(name: &str, dependencies: &[&str]) -> String {
    let lines: String = dependencies.iter().map(|name| format!("{name}.workspace = true\n")).collect();
    format!("[package]\nname = \"{name}\"\n{INHERITED}\n[dependencies]\n{lines}\n[lints]\nworkspace = true\n")
}

fn good_files() -> Vec<(&'static str, String)> {
    let mut files = vec![
        ("Cargo.toml", "[workspace]\n".to_owned()),
        ("host/config/Cargo.toml", manifest("chassis-config", &["serde"])),
        ("host/capabilities/Cargo.toml", manifest("chassis-capabilities", &["chassis-config", "sqlx", "wasmtime"])),
        ("host/engine/Cargo.toml", manifest("chassis-engine", &["chassis-config", "wasmtime-wasi", "tokio"])),
        ("host/gateway/Cargo.toml", manifest("chassis-gateway", &["chassis-engine", "axum"])),
        ("host/gateway/src/lib.rs", "//! No component.\nfn route() {}\n".to_owned()),
        ("components/kit/Cargo.toml", manifest("chassis-kit", &["axum"])),
        ("components/shop/Cargo.toml", manifest("shop", &["chassis-kit"])),
        ("components/shop/src/store.rs", "const LIST: &str = include_str!(\"sql/list.sql\");\n".to_owned()),
        ("components/shop/src/sql/list.sql", "select 1\n".to_owned()),
        ("components/mail/Cargo.toml", manifest("mail", &["chassis-kit"])),
        ("wit/shop/shop.wit", "package chassis:shop@0.1.0;\n".to_owned()),
        ("spin.toml", "[component.shop]\nsource = \"shop.wasm\"\n".to_owned()),
        ("README.md", "See [the shop](components/shop/src/domain.rs#top) and [us](https://example.org).\n".to_owned()),
    ];
    for component in ["components/shop", "components/mail"] {
        for room in ["lib", "component", "routes", "handlers", "domain", "error"] {
            let path: &'static str = Box::leak(format!("{component}/src/{room}.rs").into_boxed_str());
            files.push((path, "//! A room.\n".to_owned()));
        }
    }
    files
}

/// Writes the good checkout, then what breaks it; answers with what tidy finds.
fn found(broken: &[(&str, &str)], absent: &[&str]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let good = good_files();
    for (path, text) in good.iter().map(|(path, text)| (*path, text.as_str())).chain(broken.iter().copied()) {
        write(root.path(), path, text);
    }
    for path in absent {
        std::fs::remove_file(root.path().join(path)).unwrap();
    }
    check(root.path()).unwrap().iter().map(ToString::to_string).collect()
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Breaking one file gives exactly one finding, which begins with this.
fn finds(path: &str, text: &str, expected: &str) {
    let all = found(&[(path, text)], &[]);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(all[0].contains(expected), "{all:#?} lacks «{expected}»");
}

#[test]
fn a_good_checkout_has_no_findings() {
    assert_eq!(found(&[], &[]), Vec::<String>::new());
}

#[test]
fn an_arrow_of_the_host_against_the_direction_is_found() {
    let text = manifest("chassis-config", &["chassis-engine"]);
    finds("host/config/Cargo.toml", &text, "host/config must not depend on host/engine");
    let text = manifest("chassis-gateway", &["chassis-capabilities"]);
    finds("host/gateway/Cargo.toml", &text, "host/gateway must not depend on host/capabilities");
}

#[test]
fn an_arrow_for_one_target_or_for_tests_alone_is_found_too() {
    for table in ["target.'cfg(unix)'.dependencies", "dev-dependencies", "build-dependencies"] {
        let text = format!("{}\n[{table}]\nchassis-engine.workspace = true\n", manifest("chassis-config", &[]));
        finds("host/config/Cargo.toml", &text, "must not depend on host/engine");
    }
}

#[test]
fn a_component_that_depends_on_another_or_on_the_host_is_found() {
    finds(
        "components/shop/Cargo.toml",
        &manifest("shop", &["mail"]),
        "components/shop must not depend on components/mail",
    );
    let text = manifest("shop", &["chassis-config"]);
    finds("components/shop/Cargo.toml", &text, "components/shop must not depend on host/config");
}

#[test]
fn a_tool_that_depends_on_a_component_is_found_unless_it_is_the_native_twin() {
    finds("xtask/Cargo.toml", &manifest("xtask", &["shop"]), "xtask must not depend on components/shop");
    finds("tests/Cargo.toml", &manifest("suites", &["shop"]), "tests must not depend on components/shop");
    let twin = manifest("twin", &["shop", "chassis-kit", "chassis-gateway", "axum", "sqlx"]);
    assert_eq!(found(&[("tests/baseline/Cargo.toml", &twin)], &[]), Vec::<String>::new());
    let text = manifest("twin", &["suites"]);
    let all = found(&[("tests/baseline/Cargo.toml", &text), ("tests/Cargo.toml", &manifest("suites", &[]))], &[]);
    assert_eq!(all.len(), 1, "{all:#?}");
}

#[test]
fn a_host_crate_without_arrows_is_found() {
    finds("host/extra/Cargo.toml", &manifest("chassis-extra", &[]), "add its arrows");
}

#[test]
fn guarded_libraries_are_found_outside_their_rooms() {
    finds("host/gateway/Cargo.toml", &manifest("chassis-gateway", &["wasmtime"]), "wasmtime may be used only in");
    finds("host/gateway/Cargo.toml", &manifest("chassis-gateway", &["wasmtime-wasi-http"]), "rule for wasmtime");
    finds("host/engine/Cargo.toml", &manifest("chassis-engine", &["sqlx"]), "sqlx may be used only in");
    finds("host/engine/Cargo.toml", &manifest("chassis-engine", &["axum"]), "axum may be used only in");
    finds("components/shop/Cargo.toml", &manifest("shop", &["tokio"]), "tokio may be used only in");
}

#[test]
fn a_crate_that_does_not_inherit_is_found() {
    let text = manifest("chassis-config", &[]).replace("[lints]\nworkspace = true\n", "");
    finds("host/config/Cargo.toml", &text, "[lints] workspace = true");
    let text = manifest("chassis-config", &[]).replace("edition.workspace = true", "edition = \"2021\"");
    finds("host/config/Cargo.toml", &text, "edition.workspace = true");
    let text = manifest("chassis-config", &[]).replace("[dependencies]", "[dependencies]\nserde = \"1\"");
    finds("host/config/Cargo.toml", &text, "[workspace.dependencies]");
}

#[test]
fn a_missing_room_is_found() {
    let all = found(&[], &["components/shop/src/routes.rs"]);
    assert_eq!(all, ["components/shop/src/routes.rs: missing: every component has this room"]);
    let all = found(&[], &["components/shop/src/store.rs"]);
    assert!(all.iter().any(|line| line.contains("reached through the room `store`")), "{all:#?}");
}

#[test]
fn a_component_with_events_needs_the_room_for_them() {
    let manifest = "[component.shop.tool.chassis]\npublish = [\"shop.*\"]\n";
    finds("spin.toml", manifest, "components/shop/src/events.rs: missing");
}

#[test]
fn a_file_that_is_no_room_is_found() {
    finds("components/shop/src/helpers.rs", "//! Misc.\n", "not a room");
    finds("components/shop/src/util/text.rs", "//! Misc.\n", "not a room");
    assert_eq!(found(&[("components/shop/src/domain/price.rs", "//! Part of a room.\n")], &[]), Vec::<String>::new());
}

#[test]
fn a_domain_that_reads_the_clock_is_found_but_its_tests_and_comments_may_speak_of_it() {
    finds("components/shop/src/domain.rs", "fn now() { SystemTime::now(); }\n", "domain.rs:1: `SystemTime`");
    finds("components/shop/src/domain/ids.rs", "\nuse chassis_kit::Db;\n", "ids.rs:2: `chassis_kit`");
    let text = "// Instant\n/// rand\nfn operand() {}\n#[cfg(test)]\nmod tests { fn now() { SystemTime::now(); } }\n";
    assert_eq!(found(&[("components/shop/src/domain.rs", text)], &[]), Vec::<String>::new());
}

#[test]
fn code_behind_an_item_for_tests_is_looked_at() {
    let text = "\
#[cfg(test)]
use std::time::SystemTime;
struct Price {
    #[cfg(test)]
    made: Instant,
}
#[cfg(test)]
#[expect(dead_code, reason = \"an example\")]
mod tests {
    fn now(
    ) -> SystemTime {
        SystemTime::now()
    }
}
fn now() { Instant::now(); }
";
    let path = "components/shop/src/domain.rs";
    assert_eq!(found(&[(path, text)], &[]).len(), 1);
    finds(path, text, "domain.rs:15: `Instant`");
    finds(path, "#[cfg(test)]\nmod tests;\nuse chassis_kit::Db;\n", "domain.rs:3: `chassis_kit`");
}

#[test]
fn a_gateway_that_names_a_component_is_found() {
    finds("host/gateway/src/lib.rs", "fn f() { g(\"shop\") }\n", "names the component «shop»");
    finds("host/gateway/src/lib.rs", "fn f() { g(\"chassis:shop/cart@0.1.0\") }\n", "names the component «shop»");
}

#[test]
fn sql_that_nothing_includes_is_found() {
    finds("components/shop/src/sql/old.sql", "select 2\n", "old.sql: no `include_str!` names it");
    // `list.sql` is included, which must not count for a file whose name is the end of it.
    finds("components/shop/src/sql/st.sql", "select 2\n", "st.sql: no `include_str!` names it");
}

#[test]
fn a_wit_package_without_a_released_version_is_found() {
    finds("wit/shop/shop.wit", "package chassis:shop@0.1.0-rc.1;\n", "not a released version");
    finds("wit/shop/shop.wit", "package chassis:shop;\n", "has no version");
    finds("adapters/other/wit/world.wit", "package chassis:other@0.1.0-rc.1;\n", "not a released version");
    let copied = [("adapters/other/wit/deps/theirs/theirs.wit", "package other:theirs@0.1.0-draft;\n")];
    assert_eq!(found(&copied, &[]), Vec::<String>::new());
}

#[test]
fn long_files_skipped_tests_and_mod_rs_are_found() {
    finds("host/config/src/lib.rs", &"//\n".repeat(601), "601 lines");
    assert_eq!(found(&[("host/config/src/lib.rs", &"//\n".repeat(600))], &[]), Vec::<String>::new());
    finds("host/config/src/lib.rs", concat!("#[ig", "nore]\nfn test() {}\n"), "lib.rs:1: a test that does not run");
    finds("host/config/src/plan/mod.rs", "//! x\n", "name it after its module");
}

#[test]
fn work_for_later_is_found_in_any_text_but_not_within_a_word() {
    let line = concat!("// TO", "DO: later\n");
    finds("host/config/src/lib.rs", line, "lib.rs:1");
    finds("components/shop/src/sql/list.sql", concat!("-- FIX", "ME\nselect 1\n"), "list.sql:1");
    assert_eq!(
        found(&[("host/config/src/lib.rs", concat!("struct TO", "DOS; // todo.created\n"))], &[]),
        Vec::<String>::new()
    );
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    finds("docs/guide.md", "\n[config](../host/conf/src)\n", "guide.md:2: the link to ../host/conf/src leads nowhere");
    assert_eq!(found(&[("docs/guide.md", "[config](../host/config)\n")], &[]), Vec::<String>::new());
}

#[test]
fn folders_that_hold_what_tools_built_are_not_read() {
    let broken = [("build/CACHEDIR.TAG", "x"), ("build/mod.rs", "x"), (".hidden/mod.rs", "x"), ("target/mod.rs", "x")];
    assert_eq!(found(&broken, &[]), Vec::<String>::new());
}
