//! Mail that a server has taken when the host dies, before the host could note it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};

use super::harness::{Api, eventually};
use super::load::Told;
use super::place::Place;
use super::points::{DEATHS, die_at};
use super::smtp_server::{Encryption, Kind, Received, Server};

/// The Message-IDs under which each address got mail, once per copy.
fn message_ids(mails: &[Received]) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in mails {
        let text = String::from_utf8_lossy(&mail.bytes);
        let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).context("no Message-ID")?;
        let to = mail.to.first().context("no recipient")?;
        all.entry(to.trim_matches(['<', '>']).to_owned()).or_default().push(id.to_owned());
    }
    Ok(all)
}

#[tokio::test]
async fn a_mail_that_a_server_has_taken_comes_again_under_its_message_id() -> anyhow::Result<()> {
    let server = Server::start(Kind { encryption: Encryption::None, mechanism: None }, None).await;
    let port = server.port.to_string();
    let settings = [
        ("CHASSIS_MAIL_TRANSPORT", "smtp"),
        ("CHASSIS_MAIL_SMTP_HOST", "127.0.0.1"),
        ("CHASSIS_MAIL_SMTP_PORT", &port),
        ("CHASSIS_MAIL_SMTP_TLS", "none"),
    ];
    let place = Place::with(&settings)?;
    let record = die_at(&place, "mail-accepted", [1, 3, 5, 8, 13]).await?;

    let host = place.start().await?;
    let api = Api::of(&host)?;
    let told = |asked: &super::load::Asked| asked.told == Told::Done;
    let answered: Vec<String> = record.all().into_iter().filter(told).map(|asked| asked.email).collect();
    eventually("all welcomes", async || {
        let mails = message_ids(&server.mails())?;
        Ok(answered.iter().all(|email| mails.contains_key(email)).then_some(()))
    })
    .await?;
    api.quiet().await?;
    let mails = message_ids(&server.mails())?;
    let mut copies = 0;
    for (email, ids) in &mails {
        ensure!(ids.iter().collect::<BTreeSet<_>>().len() == 1, "{email} got mail under {ids:?}");
        copies += ids.len() - 1;
    }
    eprintln!(
        "{DEATHS} deaths with SMTP: {} mails, {copies} of them came once more under their Message-ID",
        mails.len()
    );
    // The mail at which the host died, each time.
    ensure!(copies >= DEATHS, "{mails:?}");
    host.stop().await?;
    Ok(())
}
