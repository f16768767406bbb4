//! `Idempotency-Key`: the same request twice is done once, and answered twice with the same answer.
//!
//! The record of a request is the first step of the batch that does its work. So it exists exactly if the work was
//! done; of several equal requests at a time one wins, and the others find its record and give its answer. What was
//! refused, and what failed, leaves no record and is decided anew.
//!
//! ```text
//! let ticket = match idempotency::begin(&db, claim, environment).await? {
//!     Begin::Proceed(ticket) => ticket,
//!     Begin::Replay(response) => return Ok(response),
//! };
//! // ... read, decide, build a batch and an answer ...
//! ticket.commit(batch, answer).await
//! ```

mod record;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use jiff::Timestamp;

use self::record::{load, purge, store};
use crate::db::{Batch, Db, DbError};
use crate::environment::Environment;
use crate::problem::{Problem, ProblemType};
use crate::values::idempotency::{self as plain, Key, NextAction, Record, Scope};

pub use self::record::{answer, respond};
pub use crate::values::idempotency::Answer;

/// The header that carries a key.
pub const KEY_HEADER: &str = "idempotency-key";
/// The header by which a repeated answer is recognised.
pub const REPLAYED_HEADER: &str = "idempotency-replayed";

/// What a request says about its idempotency: its key, if it has one, and its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    key: Option<Key>,
    route: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let path = parts.extensions.get::<MatchedPath>().map_or(parts.uri.path(), MatchedPath::as_str);
        let route = format!("{} {path}", parts.method);
        let mut values = parts.headers.get_all(KEY_HEADER).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(read_key(value)?),
            (Some(_), Some(_)) => {
                return Err(Problem::new(ProblemType::InvalidRequest).detail("more than one Idempotency-Key"));
            }
        };
        Ok(Self { key, route })
    }
}

fn read_key(value: &HeaderValue) -> Result<Key, Problem> {
    let text = value.to_str().map_err(|_not_ascii| plain::InvalidKey);
    text.and_then(Key::parse).map_err(|error| Problem::new(ProblemType::InvalidRequest).detail(error.to_string()))
}

impl Idempotency {
    /// Complete what the request says by whose it is and what it asks for. `fingerprint` is made of the body
    /// ([`crate::values::fingerprint::of_json`]), without its secrets.
    pub fn claim(self, subject: &str, fingerprint: String) -> Claim {
        let scope = Scope { subject: subject.to_owned(), route: self.route };
        Claim { key: self.key.map(|key| Keyed { key, scope, fingerprint }) }
    }
}

/// A request that wants to be done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    key: Option<Keyed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Keyed {
    key: Key,
    scope: Scope,
    fingerprint: String,
}

/// How a request begins.
#[derive(Debug)]
pub enum Begin {
    /// Do it; the ticket is for the commit.
    Proceed(Ticket),
    /// It was done before: give this answer.
    Replay(Response),
}

/// Look whether a request was done before. Without a key it never was.
///
/// # Errors
/// `idempotency-key-reused` where the key was used for another body, and what [`DbError`] becomes.
pub async fn begin(db: &Db, claim: Claim, environment: Environment) -> Result<Begin, Problem> {
    let now = environment.now();
    let Some(keyed) = claim.key else {
        return Ok(Begin::Proceed(Ticket { db: *db, keyed: None, now }));
    };
    match look(db, &keyed, now).await? {
        NextAction::Replay(record) => Ok(Begin::Replay(replay(&record))),
        NextAction::Mismatch => Err(Problem::new(ProblemType::IdempotencyKeyReused)),
        NextAction::Proceed => {
            let nonce = hex(&environment.random::<16>()?);
            Ok(Begin::Proceed(Ticket { db: *db, keyed: Some((keyed, nonce)), now }))
        }
    }
}

async fn look(db: &Db, keyed: &Keyed, now: Timestamp) -> Result<NextAction, DbError> {
    let record = load(db, &keyed.scope, &keyed.key).await?;
    Ok(plain::decide(record, &keyed.fingerprint, now))
}

/// A request that is being done for the first time.
#[derive(Debug)]
pub struct Ticket {
    db: Db,
    keyed: Option<(Keyed, String)>,
    now: Timestamp,
}

/// Why a request was not committed.
#[derive(Debug)]
pub enum CommitError {
    /// The batch was not kept, for a reason of its own; the step of [`DbError::Guard`] counts from the first of the
    /// batch. The component may decide anew, and commit again with the same ticket.
    Db(DbError),
    /// It is over: this is the answer.
    Refused(Problem),
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Db(error) => error.into(),
            CommitError::Refused(problem) => problem,
        }
    }
}

impl From<DbError> for CommitError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl Ticket {
    /// Do the work of the request and record its answer, all or nothing. Answers with `answer`, or with the answer of
    /// an equal request that was faster.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, batch: Batch, answer: Answer) -> Result<Response, CommitError> {
        let Some((keyed, nonce)) = &self.keyed else {
            self.db.apply(batch).await?;
            return Ok(respond(&answer));
        };
        let record = Record {
            fingerprint: keyed.fingerprint.clone(),
            answer,
            nonce: nonce.clone(),
            expires_at: plain::expiry(self.now),
        };
        // The record comes first, so that a request that lost against its equal learns that, and not that what it
        // wanted to create exists already.
        let first = Batch::new().run_affecting(1, store(&keyed.scope, &keyed.key, &record, self.now)?);
        match self.db.apply(first.then(batch).run(purge(self.now))).await {
            Ok(_answers) => Ok(respond(&record.answer)),
            Err(DbError::Guard(0)) => self.lost(keyed).await,
            Err(DbError::Guard(step)) => Err(DbError::Guard(step.saturating_sub(1)).into()),
            Err(DbError::OutcomeUnknown) => self.resolve(keyed, &record).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The answer of an equal request that was done since this one began, if there is one. For whoever finds, before a
    /// commit, that what it was to create exists: its equal may have created it.
    ///
    /// # Errors
    /// `idempotency-key-reused` where the key was used for another body, and what [`DbError`] becomes.
    pub async fn done_meanwhile(&self) -> Result<Option<Response>, Problem> {
        let Some((keyed, _nonce)) = &self.keyed else { return Ok(None) };
        match look(&self.db, keyed, self.now).await? {
            NextAction::Replay(record) => Ok(Some(replay(&record))),
            NextAction::Mismatch => Err(Problem::new(ProblemType::IdempotencyKeyReused)),
            NextAction::Proceed => Ok(None),
        }
    }

    /// Another request has taken the key meanwhile.
    async fn lost(&self, keyed: &Keyed) -> Result<Response, CommitError> {
        match look(&self.db, keyed, self.now).await? {
            NextAction::Replay(record) => Ok(replay(&record)),
            NextAction::Mismatch => Err(CommitError::Refused(Problem::new(ProblemType::IdempotencyKeyReused))),
            NextAction::Proceed => Err(CommitError::Refused(Problem::new(ProblemType::IdempotencyInFlight))),
        }
    }

    /// It is not known whether the batch was kept: the record tells.
    async fn resolve(&self, keyed: &Keyed, own: &Record) -> Result<Response, CommitError> {
        match look(&self.db, keyed, self.now).await {
            Ok(NextAction::Replay(record)) if record.nonce == own.nonce => Ok(respond(&own.answer)),
            Ok(NextAction::Replay(record)) => Ok(replay(&record)),
            Ok(NextAction::Mismatch) => Err(CommitError::Refused(Problem::new(ProblemType::IdempotencyKeyReused))),
            // No record: it was not kept, or is not visible yet. Only a repetition by the client is safe.
            Ok(NextAction::Proceed) | Err(_) => Err(DbError::OutcomeUnknown.into()),
        }
    }
}

fn replay(record: &Record) -> Response {
    let mut response = respond(&record.answer);
    response.headers_mut().insert(HeaderName::from_static(REPLAYED_HEADER), HeaderValue::from_static("true"));
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
