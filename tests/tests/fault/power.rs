//! Power failures: what was written and not synced is gone with the process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;

use super::findings::{Findings, examine};
use super::harness::Api;
use super::load::{Load, Record, Told};
use super::place::Place;

/// How often the power fails.
const FAILURES: usize = 10;
/// The moment is drawn from so many milliseconds after the first answers.
const MOMENTS: u64 = 300;

/// Hosts with these failpoints run under load on a disk that loses what is not synced, and are killed; what a host on a
/// sound disk finds.
async fn power_fails(place: &Place, failures: usize, failpoints: &str) -> anyhow::Result<Findings> {
    let record = Arc::new(Record::default());
    for number in 0..failures {
        let host = place.start_with(&format!("drop-unsynced=return{failpoints}")).await?;
        let load = Load::start(&Api::of(&host)?, &record, number);
        load.until(5, |told| *told == Told::Done).await?;
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..MOMENTS))).await;
        host.kill().await?;
        load.end().await?;
    }
    let host = place.start().await?;
    let found = examine(&Api::of(&host)?, &record).await?;
    eprintln!("{failures} power failures{failpoints}: {found}");
    host.stop().await?;
    Ok(found)
}

#[tokio::test]
async fn no_201_leaves_before_its_commit_is_synced() -> anyhow::Result<()> {
    let found = power_fails(&Place::new()?, FAILURES, "").await?;
    ensure!(found.lost.is_empty(), "{:?}", found.lost);
    ensure!(found.answered >= FAILURES * 5, "{found}");
    Ok(())
}

/// The test above would find a host that does not sync: this one does not, and is found.
#[tokio::test]
async fn without_syncs_the_same_test_finds_what_is_lost() -> anyhow::Result<()> {
    let found = power_fails(&Place::new()?, 1, ";synchronous-off=return").await?;
    ensure!(found.answered >= 5 && found.lost.len() == found.answered, "{found}");
    Ok(())
}
