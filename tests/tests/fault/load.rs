//! Clients that register all the time, and what they were told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use tokio::task::JoinSet;

use super::harness::{Answer, Api, Exchange, eventually, fresh_email};

/// Clients that register at a time.
const CLIENTS: usize = 8;

/// What somebody was told who asked for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// 201: the account is theirs.
    Done,
    /// A problem with this status, and whether it says when to come back.
    Problem(u16, bool),
    /// Nothing: the connection broke with the request under way.
    Nothing,
    /// There was nobody to ask any more.
    Gone,
}

/// Somebody who asked for an account.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) email: String,
    pub(crate) told: Told,
    /// Which host was asked, counted from 0.
    pub(crate) host: usize,
}

/// Everybody who asked.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Vec<Asked>>);

impl Record {
    pub(crate) fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many heard this from the host with this number.
    pub(crate) fn count(&self, host: usize, told: impl Fn(&Told) -> bool) -> usize {
        self.all().iter().filter(|asked| asked.host == host && told(&asked.told)).count()
    }

    /// Of so many hosts, how many died with requests under way.
    pub(crate) fn died_at_work(&self, hosts: usize) -> usize {
        (0..hosts).filter(|host| self.count(*host, |told| *told == Told::Nothing) > 0).count()
    }

    fn note(&self, asked: Asked) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }
}

/// Clients at work on one host.
#[derive(Debug)]
pub(crate) struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    enough: Arc<AtomicBool>,
    record: Arc<Record>,
    host: usize,
}

impl Load {
    /// Each client registers one after the other, until the host is gone or it is enough.
    pub(crate) fn start(api: &Api, record: &Arc<Record>, host: usize) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (api, record, enough) = (api.clone(), Arc::clone(record), Arc::clone(&enough));
            clients.spawn(async move {
                while !enough.load(Ordering::SeqCst) {
                    let email = fresh_email();
                    let told = ask(&api, &email).await?;
                    let is_over = matches!(told, Told::Nothing | Told::Gone);
                    record.note(Asked { email, told, host });
                    if is_over {
                        break;
                    }
                }
                Ok(())
            });
        }
        Self { clients, enough, record: Arc::clone(record), host }
    }

    /// Wait until so many have heard this.
    pub(crate) async fn until(&self, many: usize, told: impl Fn(&Told) -> bool) -> anyhow::Result<()> {
        let what = format!("{many} answers of host {}", self.host);
        eventually(&what, async || Ok((self.record.count(self.host, &told) >= many).then_some(()))).await
    }

    /// Wait for the last answers: the host is gone, or it is enough.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.enough.store(true, Ordering::SeqCst);
        self.clients.join_all().await.into_iter().collect()
    }
}

async fn ask(api: &Api, email: &str) -> anyhow::Result<Told> {
    match api.register(email).answer().await {
        Ok(answer) if answer.status == 201 => Ok(Told::Done),
        Ok(answer) => problem(&answer),
        Err(error) => {
            let gone = error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
            Ok(if gone { Told::Gone } else { Told::Nothing })
        }
    }
}

/// Whoever is refused by a host in trouble is told so in the form of every error.
fn problem(answer: &Answer) -> anyhow::Result<Told> {
    let document = answer.json()?;
    ensure!(answer.header("content-type") == "application/problem+json", "{answer:?}");
    ensure!(answer.status >= 500 && document["status"] == answer.status, "{answer:?}");
    Ok(Told::Problem(answer.status, answer.headers.contains_key("retry-after")))
}
