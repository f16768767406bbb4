//! The signing keys, read from the store and kept in the instance for a while.
//!
//! Whoever checks a token needs the public halves alone, and may be given no more: under Spin this code also runs inside
//! of components that ask whose a token is, without the secret. Only where tokens are signed, or are about to be, is a
//! private half opened, and the first key made. However many instances start at once, one is made: the batch that writes
//! it asks that there is none, and who comes second reads what the first has written.

use std::sync::{Arc, Mutex, PoisonError};

use chassis_kit::{Batch, Component as _, Db, DbError, log, sql};
use chassis_values::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::rows::PublicHalf;
use crate::component::App;
use crate::domain::signing::{KeyError, Randomness, SigningKey, StoredKey, VerifyingKey};
use crate::error::Error;

/// How long the keys are taken for current without asking.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// How soon an unknown key may make them be read again, so that forged tokens cannot keep the database busy.
const READ_AGAIN_FOR_UNKNOWN: SignedDuration = SignedDuration::from_secs(1);

/// The keys of this instance.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    verifying: Kept<Vec<VerifyingKey>>,
    signing: Kept<SigningKey>,
}

impl Keyring {
    /// The public halves, oldest first; none where no key was made yet.
    pub(crate) async fn verifying(&self, app: &App) -> Result<Arc<Vec<VerifyingKey>>, Error> {
        self.verifying_within(READ_AGAIN, app).await
    }

    /// The same for who has met an unknown key: it may have been made a moment ago.
    pub(crate) async fn verifying_anew(&self, app: &App) -> Result<Arc<Vec<VerifyingKey>>, Error> {
        self.verifying_within(READ_AGAIN_FOR_UNKNOWN, app).await
    }

    /// The public halves, to be published: at least one, which is made where there is none. Whoever fetches an empty set
    /// may keep it, and would refuse the first tokens.
    pub(crate) async fn published(&self, app: &App) -> Result<Arc<Vec<VerifyingKey>>, Error> {
        let known = self.verifying(app).await?;
        if !known.is_empty() {
            return Ok(known);
        }
        self.signing(app).await?;
        self.verifying(app).await
    }

    /// The key that signs: the newest, made where there is none.
    pub(crate) async fn signing(&self, app: &App) -> Result<Arc<SigningKey>, Error> {
        let now = app.environment().now();
        if let Some(known) = self.signing.get(READ_AGAIN, now) {
            return Ok(known);
        }
        let secret = app.secret().await?;
        let mut stored = newest(&app.db()).await?;
        if stored.is_none() {
            make(app, secret.as_deref(), now).await?;
            stored = newest(&app.db()).await?;
        }
        let key = stored.ok_or(KeyError::NotMade)?.signing(secret.as_deref())?;
        Ok(self.signing.put(key, now))
    }

    async fn verifying_within(&self, age: SignedDuration, app: &App) -> Result<Arc<Vec<VerifyingKey>>, Error> {
        let now = app.environment().now();
        if let Some(known) = self.verifying.get(age, now) {
            return Ok(known);
        }
        let halves: Vec<PublicHalf> = app.db().all(sql(include_str!("../sql/list_public_keys.sql"))).await?;
        let keys = halves.into_iter().map(|half| VerifyingKey::new(half.kid, &half.public_key));
        let keys: Vec<VerifyingKey> = keys.collect::<Result<_, _>>()?;
        // That there is none is not kept: the first key counts from its first token on.
        if keys.is_empty() { Ok(Arc::new(keys)) } else { Ok(self.verifying.put(keys, now)) }
    }
}

/// What was read last, and when.
#[derive(Debug)]
struct Kept<T>(Mutex<Option<(Arc<T>, Timestamp)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Kept<T> {
    /// It, if it was read so long ago at most.
    fn get(&self, age: SignedDuration, now: Timestamp) -> Option<Arc<T>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, read_at) = kept.as_ref()?;
        (*read_at <= now && now < time::after(*read_at, age)).then(|| Arc::clone(value))
    }

    fn put(&self, value: T, now: Timestamp) -> Arc<T> {
        let value = Arc::new(value);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&value), now));
        value
    }
}

async fn newest(db: &Db) -> Result<Option<StoredKey>, DbError> {
    db.first(sql(include_str!("../sql/find_newest_signing_key.sql"))).await
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
