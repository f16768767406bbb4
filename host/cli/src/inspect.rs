//! `chassis ps`, `mail`, `queue` and `token`: what the admin API tells, as tables or as JSON.

use anyhow::Context;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::arguments::{Mail, Output, Ps, Queue, QueueCommand, Token, TokenCommand};
use crate::print;

pub(crate) fn ps(arguments: &Ps) -> anyhow::Result<()> {
    let items = arguments.target.client()?.list("/v1/components")?;
    print_list(
        arguments.output,
        &items,
        &["name", "lane", "instances", "running", "waiting", "traps", "health.healthy", "digest"],
    )
}

pub(crate) fn mail(arguments: &Mail) -> anyhow::Result<()> {
    let client = arguments.target.client()?;
    let Some(id) = &arguments.id else {
        let items = client.list("/v1/mailbox")?;
        return print_list(arguments.output, &items, &["id", "receivedAt", "to", "subject", "messageId", "copies"]);
    };
    let mail = client.get(&format!("/v1/mailbox/{}", segment(id)?))?;
    match arguments.output {
        Output { json: true } => print::line(mail),
        Output { json: false } => print::line(letter(&mail)),
    }
}

pub(crate) fn queue(arguments: &Queue) -> anyhow::Result<()> {
    let client = arguments.target.client()?;
    match &arguments.command {
        None => {
            let items = client.list("/v1/queues")?;
            print_list(
                arguments.output,
                &items,
                &["queue", "ready", "blocked", "delayed", "leased", "dead", "oldestReadySeconds"],
            )
        }
        Some(QueueCommand::Dead) => {
            let items = client.list("/v1/dead-letters")?;
            print_list(arguments.output, &items, &["id", "queue", "event.type", "attempts", "diedAt", "reason"])
        }
        Some(QueueCommand::Replay { id }) => {
            client.send(Method::POST, &format!("/v1/dead-letters/{}/replay", segment(id)?), None)?;
            done(arguments.output, &json!({ "id": id, "replayed": true }), &format!("{id} is back in its queue"))
        }
    }
}

pub(crate) fn token(arguments: &Token) -> anyhow::Result<()> {
    let client = arguments.target.client()?;
    match &arguments.command {
        TokenCommand::Ls => {
            let items = client.list("/v1/tokens")?;
            print_list(arguments.output, &items, &["id", "name", "role", "createdAt"])
        }
        TokenCommand::Create { name, role } => {
            let made = client.send(Method::POST, "/v1/tokens", Some(&json!({ "name": name, "role": role })))?;
            done(arguments.output, &made, &text(&made, "token"))
        }
        TokenCommand::Revoke { id } => {
            client.send(Method::DELETE, &format!("/v1/tokens/{}", segment(id)?), None)?;
            done(arguments.output, &json!({ "id": id, "revoked": true }), &format!("{id} is revoked"))
        }
    }
}

/// A mail as it was sent: its head, an empty line, its text.
fn letter(mail: &Value) -> String {
    let head = text(mail, "headers").replace("\r\n", "\n");
    format!("{}\n\n{}", head.trim_end(), text(mail, "text"))
}

/// Say what was done.
fn done(output: Output, document: &Value, words: &str) -> anyhow::Result<()> {
    match output {
        Output { json: true } => print::line(document),
        Output { json: false } => print::line(words),
    }
}

/// An id as one segment of a path: what the host gives as ids needs no escaping, and nothing else is sent.
fn segment(id: &str) -> anyhow::Result<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b':');
    (!id.is_empty() && id.bytes().all(plain)).then_some(id).with_context(|| format!("«{id}» is no id"))
}

fn print_list(output: Output, items: &[Value], columns: &[&str]) -> anyhow::Result<()> {
    if output.json {
        return print::line(serde_json::to_string(items)?);
    }
    let heads = columns.iter().map(|column| column.to_uppercase()).collect();
    let rows = items.iter().map(|item| columns.iter().map(|column| text(item, column)).collect());
    let table: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in &table {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        print::line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A member of a document, by its path with dots, as a person reads it.
fn text(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |value, member| value.get(member));
    match found {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_path() {
        let value = json!({ "a": { "b": 1 }, "to": ["x", "y"], "none": null });
        assert_eq!(text(&value, "a.b"), "1");
        assert_eq!(text(&value, "to"), "x, y");
        assert_eq!(text(&value, "none"), "-");
        assert_eq!(text(&value, "a.c"), "-");
    }

    #[test]
    fn a_letter_has_an_empty_line_below_its_head() {
        for end in ["", "\r\n", "\r\n\r\n"] {
            let mail = json!({ "headers": format!("From: a\r\nTo: b{end}"), "text": "Hello\n" });
            assert_eq!(letter(&mail), "From: a\nTo: b\n\nHello\n");
        }
    }

    #[test]
    fn an_id_cannot_leave_its_segment() {
        assert!(segment("018f-aa_b").is_ok());
        assert!(segment("../tokens").is_err());
        assert!(segment("").is_err());
        assert!(segment("a?b").is_err());
    }
}
