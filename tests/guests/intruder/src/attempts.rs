//! Attempts by the platform's interfaces.

use axum::Json;
use chassis_kit::bindings::{config as settings, key_value as store, mail as post, messaging, sql, types};
use chassis_kit::events::{self, Publication};
use serde::Deserialize;
use serde_json::json;

use crate::{Told, tell};

#[derive(Deserialize)]
pub(crate) struct Sql {
    database: String,
    /// Statements; `query` takes the first.
    texts: Vec<String>,
    /// Parameters of every statement.
    #[serde(default)]
    params: Vec<String>,
    /// How often `query` tries; the answer is that of the last time.
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

impl Sql {
    fn statements(&self) -> impl Iterator<Item = sql::Statement> {
        self.texts.iter().map(|text| sql::Statement {
            text: text.clone(),
            params: self.params.iter().cloned().map(sql::Value::Text).collect(),
        })
    }
}

pub(crate) async fn query(Json(attempt): Json<Sql>) -> Told {
    let nothing = sql::Statement { text: String::new(), params: Vec::new() };
    let statement = attempt.statements().next().unwrap_or(nothing);
    for _ in 1..attempt.times {
        // Whatever it says: the last answer is told.
        let _answer = sql::query(attempt.database.clone(), statement.clone()).await;
    }
    tell(&sql::query(attempt.database, statement).await)
}

pub(crate) async fn batch(Json(attempt): Json<Sql>) -> Told {
    let step = |statement| sql::Step::Run(sql::Guarded { statement, expect: None });
    let steps = attempt.statements().map(step).collect();
    tell(&sql::batch(attempt.database, steps).await)
}

#[derive(Deserialize)]
pub(crate) struct Publish {
    #[serde(default)]
    database: String,
    event_type: String,
}

impl Publish {
    fn event(&self) -> types::Event {
        types::Event {
            event_type: self.event_type.clone(),
            subject: None,
            data: "{}".to_owned(),
            delay_ms: None,
            priority: None,
            dedup_key: None,
        }
    }
}

pub(crate) async fn publish(Json(attempt): Json<Publish>) -> Told {
    tell(&messaging::publish(vec![attempt.event()]).await)
}

pub(crate) async fn publish_step(Json(attempt): Json<Publish>) -> Told {
    let steps = vec![sql::Step::Publish(attempt.event())];
    tell(&sql::batch(attempt.database, steps).await)
}

/// As components of the product would, with all that can be said of an event.
pub(crate) async fn publish_by_kit(Json(attempt): Json<Publish>) -> Told {
    let event = Publication::new(&attempt.event_type, "thing_1", &json!({ "n": 1 }));
    tell(&events::publish(vec![event.delayed(60_000).priority(9).once_per("a key")]).await)
}

#[derive(Deserialize)]
pub(crate) struct Mail {
    from: Option<String>,
    to: String,
    subject: String,
}

pub(crate) async fn mail(Json(attempt): Json<Mail>) -> Told {
    let message = post::Message {
        id: "attempt".to_owned(),
        from: attempt.from,
        to: vec![attempt.to],
        reply_to: None,
        subject: attempt.subject,
        text: "text".to_owned(),
        html: None,
    };
    tell(&post::send(message).await)
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deed {
    Get,
    Set,
    Delete,
    Increment,
    Swap,
    List,
}

#[derive(Deserialize)]
pub(crate) struct KeyValue {
    store: String,
    deed: Deed,
}

pub(crate) async fn key_value(Json(KeyValue { store: label, deed }): Json<KeyValue>) -> Told {
    let key = "key".to_owned();
    let options = store::SetOptions { ttl_ms: None, if_absent: false };
    match deed {
        Deed::Get => tell(&store::get(label, key).await),
        Deed::Set => tell(&store::set(label, key, b"7".to_vec(), options).await),
        Deed::Delete => tell(&store::delete(label, key).await),
        Deed::Increment => tell(&store::increment(label, key, 1, None).await),
        Deed::Swap => tell(&store::swap(label, key, 0, b"7".to_vec(), None).await),
        Deed::List => tell(&store::list(label, String::new(), None, 10).await),
    }
}

#[derive(Deserialize)]
pub(crate) struct Name {
    name: String,
    #[serde(default)]
    secret: bool,
}

pub(crate) async fn config(Json(Name { name, secret }): Json<Name>) -> Told {
    match secret {
        true => tell(&settings::secret(name).await),
        false => tell(&settings::get(name).await),
    }
}
