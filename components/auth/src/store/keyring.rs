//! The signing keys, read from the store and kept in the instance for a while; made where there is none.
//!
//! However many instances start at once, one key is made: the batch that writes it asks that there is none, and who
//! comes second reads what the first has written.

use std::sync::{Arc, Mutex, PoisonError};

use chassis_kit::{Batch, Component as _, Db, DbError, log, sql};
use chassis_values::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::component::App;
use crate::domain::signing::{KeyError, Randomness, SigningKey, StoredKey, VerifyingKey};
use crate::domain::token::{self, Claims, TokenError};
use crate::error::Error;

/// How long the keys are taken for current without asking.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// How soon an unknown key may make them be read again, so that forged tokens cannot keep the database busy.
const READ_AGAIN_FOR_UNKNOWN: SignedDuration = SignedDuration::from_secs(1);

/// The keys of this instance.
#[derive(Debug)]
pub(crate) struct Keyring {
    known: Mutex<Option<Arc<Keys>>>,
}

/// The keys, as they were read.
#[derive(Debug)]
pub(crate) struct Keys {
    stored: Vec<StoredKey>,
    signing: Result<SigningKey, KeyError>,
    verifying: Vec<VerifyingKey>,
    read_at: Timestamp,
}

impl Keys {
    /// What is stored, oldest first.
    pub(crate) fn stored(&self) -> &[StoredKey] {
        &self.stored
    }

    /// The key that signs: the newest.
    pub(crate) fn signing(&self) -> Result<&SigningKey, KeyError> {
        self.signing.as_ref().map_err(Clone::clone)
    }

    /// Whose token this is, as far as the token itself can tell.
    pub(crate) fn verify(&self, token: &str, issuer: &str, now: Timestamp) -> Result<Claims, TokenError> {
        token::verify(token, &self.verifying, issuer, now)
    }

    fn is_younger_than(&self, age: SignedDuration, now: Timestamp) -> bool {
        self.read_at <= now && now < time::after(self.read_at, age)
    }
}

impl Keyring {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self { known: Mutex::new(None) }
    }

    /// The keys; read where they are not known or too old.
    pub(crate) async fn keys(&self, app: &App) -> Result<Arc<Keys>, Error> {
        let now = app.environment().now();
        match self.known() {
            Some(keys) if keys.is_younger_than(READ_AGAIN, now) => Ok(keys),
            Some(_) | None => self.read(app, now).await,
        }
    }

    /// The keys, read anew if these are not brand-new.
    pub(crate) async fn newer_than(&self, app: &App, keys: &Arc<Keys>) -> Result<Arc<Keys>, Error> {
        let now = app.environment().now();
        if keys.is_younger_than(READ_AGAIN_FOR_UNKNOWN, now) { Ok(Arc::clone(keys)) } else { self.read(app, now).await }
    }

    async fn read(&self, app: &App, now: Timestamp) -> Result<Arc<Keys>, Error> {
        let secret = app.secret().await?;
        let mut stored = load(&app.db()).await?;
        if stored.is_empty() {
            make(app, secret.as_deref(), now).await?;
            stored = load(&app.db()).await?;
        }
        let newest = stored.last().ok_or(KeyError::NotMade)?;
        let signing = newest.signing(secret.as_deref());
        if let Err(error) = &signing {
            log::error("nobody can log in", json!({ "reason": error.to_string() }));
        }
        let verifying = stored.iter().map(StoredKey::verifying).collect::<Result<_, _>>()?;
        let keys = Arc::new(Keys { signing, verifying, read_at: now, stored });
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&keys));
        Ok(keys)
    }

    fn known(&self) -> Option<Arc<Keys>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn load(db: &Db) -> Result<Vec<StoredKey>, DbError> {
    db.all(sql(include_str!("../sql/list_signing_keys.sql"))).await
}

/// Make the first key, unless somebody else has.
async fn make(app: &App, secret: Option<&str>, now: Timestamp) -> Result<(), Error> {
    let environment = app.environment();
    let randomness = Randomness { seed: environment.random()?, nonce: environment.random()? };
    let key = StoredKey::new(&randomness, secret, now)?;
    let insert = sql(include_str!("../sql/insert_signing_key.sql"))
        .bind(key.kid.as_str())
        .bind(key.public_key.as_str())
        .bind(key.private_key.as_slice())
        .bind(key.is_sealed)
        .bind(key.created_at);
    let none_yet = sql(include_str!("../sql/find_any_signing_key.sql"));
    let batch = Batch::new().run_finding_none(none_yet).run_affecting(1, insert);
    match app.db().apply(batch).await {
        Ok(_answers) => {
            log::info("a signing key was made", json!({ "kid": key.kid, "sealed": key.is_sealed }));
            Ok(())
        }
        // Another instance was faster, or it is not known whether we were: what is stored counts.
        Err(DbError::Guard(0) | DbError::Conflict | DbError::OutcomeUnknown) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
