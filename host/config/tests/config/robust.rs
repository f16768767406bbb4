//! Whatever the files hold, the answer is a plan or a list of errors, and no secret is shown.

use std::fs;
use std::path::Path;

use chassis_config::{ConfigErrors, Options, load, load_from_process};
use proptest::prelude::*;

const MANIFEST: &str = include_str!("../cases/everything/spin.toml");
const SETTINGS: &str = include_str!("../cases/everything/chassis.toml");
const RUNTIME_CONFIG: &str = include_str!("../cases/everything/runtime-config.toml");

/// A folder with the three files.
fn written(manifest: &str, runtime_config: &str, settings: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("spin.toml", manifest), ("runtime-config.toml", runtime_config), ("chassis.toml", settings)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for name in ["auth.wasm", "todos.wasm", "mail.wasm"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

fn errors(folder: &Path) -> Option<ConfigErrors> {
    load(&Options::new(folder), Vec::new()).err()
}

/// The text without one of its lines.
fn without(text: &str, line: usize) -> String {
    text.lines().enumerate().filter(|(index, _)| *index != line).map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn a_file_without_one_of_its_lines_is_read_or_refused() {
    for line in 0..MANIFEST.lines().count() {
        let folder = written(&without(MANIFEST, line), RUNTIME_CONFIG, SETTINGS);
        let errors = errors(folder.path()).expect("the required variable has no value in any of them");
        for error in errors.iter().filter(|error| error.place.position.is_some()) {
            let text = fs::read_to_string(folder.path().join(&*error.place.source)).unwrap();
            let (line, column) = error.place.position.unwrap();
            let line = text.lines().nth(line as usize - 1).unwrap_or_default();
            assert!(column as usize <= line.chars().count() + 1, "{error}");
        }
    }
}

#[test]
fn a_missing_manifest_is_one_error_of_the_process_environment_too() {
    let folder = tempfile::tempdir().unwrap();
    let errors = load_from_process(&Options::new(folder.path())).unwrap_err();
    assert!(errors.to_string().contains("spin.toml: cannot be read"), "{errors}");
}

#[test]
fn a_huge_file_is_refused_unread() {
    let folder = written(&"#".repeat(4 * 1024 * 1024 + 1), "", "");
    let errors = errors(folder.path()).unwrap().to_string();
    assert!(errors.contains("at most 4194304"), "{errors}");
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let folder = written("", "", "");
    fs::write(folder.path().join("chassis.toml"), [0xff, 0xfe]).unwrap();
    let errors = errors(folder.path()).unwrap().to_string();
    assert!(errors.contains("chassis.toml: cannot be read as UTF-8"), "{errors}");
}

#[test]
fn secrets_are_not_in_the_debug_print_of_a_plan() {
    let folder = written(MANIFEST, RUNTIME_CONFIG, SETTINGS);
    fs::create_dir(folder.path().join("templates")).unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    fs::write(folder.path().join("assets/a.txt"), "").unwrap();
    let environment = [("SPIN_VARIABLE_API_KEY".to_owned(), "s3cret".to_owned())];
    let (plan, _) = load(&Options::new(folder.path()), environment).unwrap();
    let printed = format!("{plan:?}");
    assert!(printed.contains("as it is"), "an ordinary variable is printed");
    assert!(!printed.contains("s3cret"), "a secret variable is not");
    assert!(!printed.contains("hush"), "the password of the mail server is not");
}

#[test]
fn values_are_not_in_errors_of_the_environment() {
    let folder = written("", "", "");
    let names = ["CHASSIS_NONSENSE", "CHASSIS_SQL_ROWS", "CHASSIS_GATEWAY_LISTEN", "CHASSIS_ADMIN_ALLOW_REMOTE"];
    let environment = names.map(|name| (name.to_owned(), "s3cret".to_owned()));
    let errors = load(&Options::new(folder.path()), environment).unwrap_err().to_string();
    for name in names {
        assert!(errors.contains(name), "{errors}");
    }
    assert!(!errors.contains("s3cret"), "{errors}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_the_loader_panic(manifest in ".{0,200}", runtime_config in ".{0,100}", settings in ".{0,100}") {
        let folder = written(&manifest, &runtime_config, &settings);
        prop_assert!(errors(folder.path()).is_some());
    }

    #[test]
    fn no_edit_makes_the_loader_panic(at in 0..MANIFEST.len(), length in 0usize..40, inserted in "[\\[\\]{}=\"',.a-z0-9\n]{0,8}") {
        let mut manifest = MANIFEST.to_owned();
        let from = (0..=at).rev().find(|at| manifest.is_char_boundary(*at)).unwrap();
        let to = (from + length).min(manifest.len());
        let to = (to..=manifest.len()).find(|at| manifest.is_char_boundary(*at)).unwrap();
        manifest.replace_range(from..to, &inserted);
        let folder = written(&manifest, RUNTIME_CONFIG, SETTINGS);
        let _errors = errors(folder.path());
    }
}
