//! No room: nothing is answered with success that is not kept, and all goes on when there is room again.

use std::sync::Arc;

use anyhow::{Context, ensure};
use chassis_tests::Host;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::findings::examine;
use super::harness::{Api, Exchange, eventually};
use super::load::{Load, Record, Told};
use super::place::Place;

/// Refusals after which the disk has been full for long enough.
const REFUSALS: usize = 40;
/// Bytes beyond which no file grows for a while. A write-ahead log gets there after some dozens of registrations.
const FILE_BYTES: u64 = 512 << 10;

fn is_problem(told: &Told) -> bool {
    matches!(told, Told::Problem(..))
}

/// From now on the files of the host grow to so many bytes and no further.
fn limit_files(host: &Host, bytes: Option<u64>) -> anyhow::Result<()> {
    let id = Pid::from_raw(i32::try_from(host.id().context("the host has ended")?)?);
    prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None }).context("cannot set a limit")?;
    Ok(())
}

#[tokio::test]
async fn files_that_cannot_grow_lead_to_errors_and_recovery_without_a_restart() -> anyhow::Result<()> {
    let (place, record) = (Place::new()?, Arc::new(Record::default()));
    // A write beyond the limit is to fail, and not to send a signal.
    let host = place.start_after("trap '' XFSZ").await?;
    let api = Api::of(&host)?;
    let load = Load::start(&api, &record, 0);
    load.until(8, |told| *told == Told::Done).await?;
    limit_files(&host, Some(FILE_BYTES))?;
    load.until(REFUSALS, is_problem).await?;
    let answered = record.count(0, |told| *told == Told::Done);
    // Reading goes on.
    api.get("/.well-known/jwks.json").expect(200).await?;

    limit_files(&host, None)?;
    load.until(answered + REFUSALS, |told| *told == Told::Done).await?;
    load.end().await?;
    let refused =
        [500, 503].map(|status| record.count(0, |told| matches!(told, Told::Problem(found, _) if *found == status)));
    let found = examine(&api, &record).await?;
    eprintln!("files that could not grow, {refused:?}: {found}");
    ensure!(found.lost.is_empty(), "{:?}", found.lost);
    let ended = host.stop().await?;
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_leads_to_503_and_nothing_is_lost_by_the_next_start() -> anyhow::Result<()> {
    let (place, record) = (Place::new()?, Arc::new(Record::default()));
    let host = place.start_with("disk-full=1500*off->return").await?;
    let api = Api::of(&host)?;
    let user = api.somebody().await?;
    let load = Load::start(&api, &record, 0);
    load.until(REFUSALS, is_problem).await?;
    load.end().await?;
    let full = |told: &Told| *told == Told::Problem(503, true);
    let (refused, told_when) = (record.count(0, is_problem), record.count(0, full));
    ensure!(refused == told_when, "{refused} refused, {told_when} with 503 and Retry-After: {:?}", record.all());
    // Reading goes on.
    ensure!(api.status_with(&user.access).await? == 200);
    let ended = host.stop().await?;
    ensure!(ended.code == Some(0), "{}", ended.stderr);

    let host = place.start().await?;
    let api = Api::of(&host)?;
    let found = examine(&api, &record).await?;
    eprintln!("a full disk: {found}");
    ensure!(found.lost.is_empty() && found.answered > 0, "{found}");
    eventually("a mail", async || Ok(api.mails_to(&user.email).await?.pop())).await?;
    Ok(())
}
