//! A case is a folder in `tests/cases`: the files that a user would write, and what Chassis makes of them.
//!
//! `env` holds variables (`NAME=value`), `options` command line options, `setup` further files (`file <path>`,
//! `folder <path>`, `link <path> <target>`). `UPDATE_EXPECT=1` rewrites `expected.txt`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chassis_config::{Options, load};

use super::render;

/// There are cases for everything that the configuration promises; fewer than this, and some were lost.
const CASES_MIN: usize = 35;

#[test]
fn every_case_gives_what_it_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= CASES_MIN, "only {} cases were found", cases.len());
    let mut failures = String::new();
    for case in &cases {
        let (found, expected) = (run(case), fs::read_to_string(case.join("expected.txt")).unwrap_or_default());
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(case.join("expected.txt"), &found).unwrap();
        } else if found != expected {
            let name = case.file_name().unwrap().display();
            writeln!(failures, "\n=== {name}\n--- expected\n{expected}--- found\n{found}").unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn run(case: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    for name in ["spin.toml", "runtime-config.toml", "chassis.toml"] {
        if case.join(name).exists() {
            fs::copy(case.join(name), folder.join(name)).unwrap();
        }
    }
    for name in ["auth.wasm", "todos.wasm", "mail.wasm"] {
        fs::write(folder.join(name), "").unwrap();
    }
    set_up(&folder, &lines(case, "setup"));
    let environment = lines(case, "env").into_iter().map(|line| {
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.to_owned())
    });
    let found = match load(&options(&folder, &lines(case, "options")), environment.collect::<Vec<_>>()) {
        Ok((plan, warnings)) => {
            let warnings: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
            warnings + &render::plan(&plan)
        }
        Err(errors) => format!("{errors}\n"),
    };
    found.replace(folder.to_str().unwrap(), "<folder>")
}

fn options(folder: &Path, lines: &[String]) -> Options {
    let mut options = Options::new(folder);
    for line in lines {
        let (name, value) = line.split_once('=').expect("name=value");
        match name {
            "manifest" => options.manifest = value.into(),
            "runtime-config" => options.runtime_config = Some(value.into()),
            "settings" => options.settings = Some(value.into()),
            "listen" => options.listen = Some(value.parse().unwrap()),
            "admin" => options.admin = Some(value.parse().unwrap()),
            "state-dir" => options.state_dir = Some(value.into()),
            "reserved" => options.reserved_variables.push(value.to_owned()),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

fn set_up(folder: &Path, lines: &[String]) {
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["file", path] => {
                fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
                fs::write(folder.join(path), "").unwrap();
            }
            ["folder", path] => fs::create_dir_all(folder.join(path)).unwrap(),
            ["link", path, target] => std::os::unix::fs::symlink(target, folder.join(path)).unwrap(),
            _ => panic!("unknown line {line}"),
        }
    }
}

fn lines(case: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(case.join(name)).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
