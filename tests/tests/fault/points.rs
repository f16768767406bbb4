//! Death at the moments at which something has happened and nobody has been told.

use std::sync::Arc;

use anyhow::{Context, ensure};
use chassis_tests::Signal;

use super::findings::{Findings, examine};
use super::harness::Api;
use super::kills::DELIVERIES;
use super::load::{Load, Record};
use super::place::Place;

/// How often a host dies at each point.
pub(crate) const DEATHS: usize = 5;

/// Hosts under load die at a passing of this point, one after the other, every second one as if the power had failed.
pub(crate) async fn die_at(place: &Place, point: &str, passings: [u32; DEATHS]) -> anyhow::Result<Arc<Record>> {
    let record = Arc::new(Record::default());
    for (number, passing) in passings.into_iter().enumerate() {
        let earlier = passing - 1;
        let actions = if earlier == 0 { "return".to_owned() } else { format!("{earlier}*off->return") };
        let power = if number % 2 == 0 { "" } else { ";drop-unsynced=return" };
        let host = place.start_with(&format!("{point}={actions}{power}")).await?;
        let load = Load::start(&Api::of(&host)?, &record, number);
        let ended = host.ended().await.with_context(|| format!("{point}: death {number} at passing {passing}"))?;
        load.end().await?;
        ensure!(ended.signal == Some(Signal::KILL.as_raw()), "{point}: {ended:?}");
    }
    let at_work = record.died_at_work(DEATHS);
    ensure!(at_work >= DEATHS - 1, "{point}: only {at_work} of {DEATHS} deaths hit a request");
    Ok(record)
}

/// The same, and a host in good health looks at what is left.
async fn whole_after(point: &str, passings: [u32; DEATHS]) -> anyhow::Result<Findings> {
    let place = Place::new()?;
    let record = die_at(&place, point, passings).await?;
    let host = place.start().await?;
    let found = examine(&Api::of(&host)?, &record).await.context(point.to_owned())?;
    eprintln!("{DEATHS} deaths at {point}: {found}");
    ensure!(found.lost.is_empty(), "{point}: {:?}", found.lost);
    ensure!(found.copies <= DEATHS as u64 * DELIVERIES, "{point}: {found}");
    host.stop().await?;
    Ok(found)
}

#[tokio::test]
async fn a_batch_that_is_applied_and_not_committed_never_was() -> anyhow::Result<()> {
    whole_after("batch-applied", [3, 20, 40, 60, 90]).await.map(drop)
}

#[tokio::test]
async fn a_batch_that_is_committed_is_whole_though_nobody_was_answered() -> anyhow::Result<()> {
    whole_after("committed", [3, 20, 40, 60, 90]).await.map(drop)
}

#[tokio::test]
async fn events_that_are_in_their_queues_and_still_in_the_outbox_are_delivered_once() -> anyhow::Result<()> {
    whole_after("moved-to-messaging", [2, 5, 10, 15, 25]).await.map(drop)
}

#[tokio::test]
async fn an_event_that_was_handled_and_not_acknowledged_is_delivered_again_and_does_nothing() -> anyhow::Result<()> {
    whole_after("delivered", [1, 5, 10, 20, 30]).await.map(drop)
}

#[tokio::test]
async fn a_mail_that_was_accepted_and_not_confirmed_comes_again_under_its_message_id() -> anyhow::Result<()> {
    let found = whole_after("mail-accepted", [1, 5, 10, 20, 30]).await?;
    // The mail at which the host died, each time.
    ensure!(found.copies >= DEATHS as u64, "{found}");
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_that_is_half_done_is_done_again() -> anyhow::Result<()> {
    whole_after("checkpoint", [1, 2, 1, 2, 1]).await.map(drop)
}
