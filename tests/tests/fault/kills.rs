//! SIGKILL from outside, at any moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::findings::examine;
use super::harness::{Api, Exchange, PASSWORD};
use super::load::{Load, Record, Told};
use super::place::Place;

/// How often the host is killed.
const KILLS: usize = 50;
/// Of these, how many must hit requests that are under way.
const KILLS_AT_WORK: usize = 40;
/// Deliveries at a time: the setting `messaging.concurrency`, which is left at its default.
pub(crate) const DELIVERIES: u64 = 8;
/// The moment of a kill is drawn from so many milliseconds after the first answers.
const MOMENTS: u64 = 300;

/// Runs a host under load and kills it.
async fn one_kill(place: &Place, record: &Arc<Record>, number: usize) -> anyhow::Result<()> {
    let host = place.start().await?;
    let api = Api::of(&host)?;
    if let Some(last) = record.all().iter().rev().find(|asked| asked.told == Told::Done) {
        api.login(&last.email, PASSWORD).expect(200).await.with_context(|| format!("the last answered: {last:?}"))?;
    }
    let load = Load::start(&api, record, number);
    load.until(1, |told| *told == Told::Done).await?;
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..MOMENTS))).await;
    host.kill().await?;
    load.end().await
}

#[tokio::test]
async fn no_answered_registration_is_lost_and_none_is_there_by_half_after_50_kills() -> anyhow::Result<()> {
    let (place, record) = (Place::new()?, Arc::new(Record::default()));
    for number in 0..KILLS {
        one_kill(&place, &record, number).await.with_context(|| format!("kill {number}"))?;
    }
    let at_work = record.died_at_work(KILLS);
    ensure!(at_work >= KILLS_AT_WORK, "only {at_work} of {KILLS} kills hit a request");

    let host = place.start().await?;
    let found = examine(&Api::of(&host)?, &record).await?;
    eprintln!("{KILLS} kills, {at_work} of them with requests under way: {found}");
    ensure!(found.lost.is_empty(), "{:?}", found.lost);
    ensure!(found.answered >= KILLS, "{found}");
    // A mail that was sent when the host died is sent once more, and nothing else is.
    ensure!(found.copies <= KILLS as u64 * DELIVERIES, "{found}");
    Ok(())
}
