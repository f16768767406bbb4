//! What is left of a load, seen by a host that is in good health.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context, bail, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::harness::{Api, Exchange, PASSWORD, eventually};
use super::load::{Asked, Record, Told};

/// Requests at a time when everybody is asked.
const AT_A_TIME: usize = 4;

/// What is left.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Registrations that were answered with 201.
    pub(crate) answered: usize,
    /// Of those, the ones without an account.
    pub(crate) lost: Vec<Asked>,
    /// Registrations without an answer, or with a refusal.
    pub(crate) unanswered: usize,
    /// Of those, the ones that had an account all the same, as a whole.
    pub(crate) made: usize,
    /// Mails beyond the first, all of them under the Message-ID of the first.
    pub(crate) copies: u64,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, lost, unanswered, made, copies } = self;
        write!(
            f,
            "{answered} registrations answered, {} of them lost; {unanswered} not answered, {made} of them made and none \
             by half; {copies} mails came once more under their Message-ID",
            lost.len()
        )
    }
}

/// The mails to one address.
#[derive(Debug, Default, Clone, Copy)]
struct Mails {
    mails: usize,
    copies: u64,
}

/// Look for everybody who asked. An error is what must never be, whatever the disk does: an account without its mail, a
/// mail without its account, a second mail under a Message-ID of its own, an address that is neither taken nor free.
pub(crate) async fn examine(api: &Api, record: &Record) -> anyhow::Result<Findings> {
    let (answered, unanswered): (Vec<_>, Vec<_>) = record.all().into_iter().partition(|it| it.told == Told::Done);
    let mut found = Findings { answered: answered.len(), unanswered: unanswered.len(), ..Findings::default() };
    let (there, lost) = part(answered, async |asked| has_account(api, &asked.email).await).await?;
    let mut holders: Vec<String> = there.into_iter().map(|asked| asked.email).collect();
    let welcomed = all_welcomed(api, &holders).await?;
    let (made, free) = part(unanswered, async |asked| is_taken(api, &asked.email).await).await?;
    found.made = made.len();
    for asked in lost.iter().chain(&free) {
        ensure!(!welcomed.contains_key(&asked.email), "{asked:?} had a mail and no account");
    }
    // Those who were not answered have an account by now, at the first try or at this one.
    holders.extend(made.into_iter().chain(free).map(|asked| asked.email));
    for (email, Mails { mails, copies }) in all_welcomed(api, &holders).await? {
        ensure!(mails == 1, "{email} has {mails} welcomes under Message-IDs of their own");
        found.copies += copies - 1;
    }
    ensure!(api.admin_list("/v1/dead-letters").await?.is_empty(), "an event was given up");
    Ok(Findings { lost, ..found })
}

/// Divide by an answer that takes a request.
async fn part(
    all: Vec<Asked>,
    look: impl AsyncFn(&Asked) -> anyhow::Result<bool>,
) -> anyhow::Result<(Vec<Asked>, Vec<Asked>)> {
    let looks = stream::iter(all).map(|asked| async { anyhow::Ok((look(&asked).await?, asked)) });
    let looked: Vec<_> = looks.buffer_unordered(AT_A_TIME).try_collect().await?;
    let (yes, no): (Vec<_>, Vec<_>) = looked.into_iter().partition(|(answer, _)| *answer);
    let asked = |list: Vec<(bool, Asked)>| list.into_iter().map(|(_, asked)| asked).collect();
    Ok((asked(yes), asked(no)))
}

async fn has_account(api: &Api, email: &str) -> anyhow::Result<bool> {
    let answer = api.login(email, PASSWORD).answer().await?;
    if answer.status == 200 {
        return Ok(true);
    }
    answer.problem(401, "unauthorized").map(|_| false).with_context(|| format!("{email} cannot log in"))
}

/// Whether an address had an account that works. If not, it was free, and has one now.
async fn is_taken(api: &Api, email: &str) -> anyhow::Result<bool> {
    let answer = api.register(email).answer().await?;
    if answer.status == 201 {
        return Ok(false);
    }
    answer.problem(409, "conflict").with_context(|| format!("{email} is neither taken nor free"))?;
    ensure!(has_account(api, email).await?, "{email} is taken, and nobody can log in");
    Ok(true)
}

/// The mails to everybody, once these have theirs and no delivery is on its way.
async fn all_welcomed(api: &Api, holders: &[String]) -> anyhow::Result<HashMap<String, Mails>> {
    let waited =
        eventually("all welcomes", async || Ok(unwelcomed(api, holders).await?.is_empty().then_some(()))).await;
    if waited.is_err() {
        bail!("accounts without a mail: {:?}", unwelcomed(api, holders).await?);
    }
    api.quiet().await?;
    welcomes(api).await
}

async fn unwelcomed<'a>(api: &Api, holders: &'a [String]) -> anyhow::Result<Vec<&'a String>> {
    let there = welcomes(api).await?;
    Ok(holders.iter().filter(|email| !there.contains_key(*email)).collect())
}

async fn welcomes(api: &Api) -> anyhow::Result<HashMap<String, Mails>> {
    let mut all: HashMap<String, Mails> = HashMap::new();
    for mail in api.admin_list("/v1/mailbox").await? {
        let to = mail["to"][0].as_str().context("a mail has a recipient")?;
        ensure!(mail["subject"].as_str().is_some_and(|subject| subject.starts_with("Welcome")), "{mail}");
        let entry = all.entry(to.to_owned()).or_default();
        entry.mails += 1;
        entry.copies += mail["copies"].as_u64().context("a mail has copies")?;
    }
    Ok(all)
}
