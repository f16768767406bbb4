//! What is shipped cannot be made to die.

use anyhow::ensure;
use chassis_tests::{App, HostOptions, Program, failpoints_binary, host_binary, run_to_end};

/// Names that only failpoints have.
const NAMES: [&str; 6] =
    ["CHASSIS_FAILPOINTS", "batch-applied", "moved-to-messaging", "mail-accepted", "drop-unsynced", "synchronous-off"];

fn options(program: Program, failpoints: &str) -> HostOptions {
    let environment = vec![("CHASSIS_FAILPOINTS".to_owned(), failpoints.to_owned())];
    HostOptions { program, environment, ..HostOptions::default() }
}

#[tokio::test]
async fn the_shipped_host_refuses_the_variable_of_failpoints() -> anyhow::Result<()> {
    let ended = run_to_end(&App::hello()?, options(Program::Shipped, "committed=return")).await?;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("CHASSIS_FAILPOINTS: unknown variable"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn a_failpoint_that_does_not_exist_is_refused() -> anyhow::Result<()> {
    for (text, reason) in [("commited=return", "no failpoint «commited»"), ("committed=die", "committed")] {
        let ended = run_to_end(&App::hello()?, options(Program::Failpoints, text)).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    }
    Ok(())
}

#[test]
fn the_shipped_host_holds_no_name_of_a_failpoint() -> anyhow::Result<()> {
    let (shipped, with) = (std::fs::read(host_binary()?)?, std::fs::read(failpoints_binary()?)?);
    for name in NAMES {
        let holds = |binary: &[u8]| memchr::memmem::find(binary, name.as_bytes()).is_some();
        ensure!(holds(&with), "the host with failpoints does not hold {name}: this test would find nothing");
        ensure!(!holds(&shipped), "the shipped host holds {name}");
    }
    Ok(())
}
