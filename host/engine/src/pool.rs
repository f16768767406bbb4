//! The instances of one version in one lane: work waits in a queue, workers take it when they can.
//!
//! wasmtime's own `ProxyHandler` does the same for HTTP alone, but it spawns its workers itself: they could neither move
//! to the other lane nor serve typed calls.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_channel::{Receiver, Sender, TrySendError};
use chassis_capabilities::lent::Caller;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Val;
use wasmtime_wasi_http::handler;

use crate::api::Lane;
use crate::lanes::Lanes;
use crate::state::Fate;
use crate::version::Version;
use crate::worker;

/// A request or a call on its way to an instance.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) payload: Work,
    pub(crate) caller: Caller,
    pub(crate) deadline: Instant,
    /// How many typed calls led here.
    pub(crate) depth: u32,
    pub(crate) fate: oneshot::Sender<Fate>,
    /// Its place at its component. Kept until the guest has answered, also where whoever asked is gone by then, and until
    /// that answer has been read.
    pub(crate) place: Arc<OwnedSemaphorePermit>,
    /// Set when an instance takes it.
    pub(crate) begun: Arc<AtomicBool>,
    /// Resolves when whoever asked wants nothing more of it, the body of a response included.
    pub(crate) ended: Option<oneshot::Receiver<Infallible>>,
}

impl Job {
    /// Whether there is still somebody to answer, and time to.
    pub(crate) fn is_wanted(&self) -> bool {
        let given_up = match &self.payload {
            Work::Http(job) => job.reply.is_canceled(),
            Work::Call(job) => job.reply.is_closed(),
        };
        !given_up && Instant::now() < self.deadline
    }

    /// Give up what no instance has taken.
    pub(crate) fn turn_away(self) {
        // Nobody waits any more where this fails.
        drop(self.fate.send(Fate::Overloaded));
    }
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Work {
    Http(HttpJob),
    Call(CallJob),
}

/// A request; the reply is dropped unanswered if its instance is lost.
pub(crate) struct HttpJob {
    pub(crate) request: handler::Request,
    pub(crate) reply: futures::channel::oneshot::Sender<Result<handler::Response, wasmtime::Error>>,
}

impl fmt::Debug for HttpJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpJob").field("uri", self.request.uri()).finish_non_exhaustive()
    }
}

/// A typed call; answered with none where the live version does not offer the function.
#[derive(Debug)]
pub(crate) struct CallJob {
    pub(crate) interface: Arc<str>,
    pub(crate) function: Arc<str>,
    pub(crate) params: Vec<Val>,
    pub(crate) reply: oneshot::Sender<Option<Val>>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// The bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    pub(crate) instances: u32,
    /// Requests at a time in one instance.
    pub(crate) concurrency: u32,
    /// Requests that one instance serves.
    pub(crate) requests: u32,
    /// Jobs that wait for an instance.
    pub(crate) queue: u32,
}

/// What a pool needs to make instances.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) lanes: Arc<Lanes>,
    /// One permit per slot of the pooling allocator: it answers exhaustion with an error, we wait.
    pub(crate) slots: Arc<Semaphore>,
}

/// The instances of one version in one lane.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) lane: Lane,
    pub(crate) limits: PoolLimits,
    pub(crate) means: Means,
    queue: Sender<Job>,
    pub(crate) jobs: Receiver<Job>,
    /// Workers that would take a job at once.
    available: AtomicU32,
    live: AtomicU32,
    /// One permit per instance of the version that may live for a single job, beside those that serve many.
    lone: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new(lane: Lane, limits: PoolLimits, means: Means, lone: Arc<Semaphore>) -> Self {
        let (queue, jobs) = async_channel::bounded(limits.queue.max(1) as usize);
        Self { lane, limits, means, queue, jobs, available: AtomicU32::new(0), live: AtomicU32::new(0), lone }
    }

    /// Instances that serve many jobs each.
    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// Hand a job to an instance that is available, to a new one, or to the queue.
    pub(crate) fn submit(self: &Arc<Self>, version: &Arc<Version>, job: Job) -> Result<(), Full> {
        if self.available.load(Ordering::SeqCst) == 0 && self.reserve() {
            worker::start(Arc::clone(self), Arc::clone(version), job);
            return Ok(());
        }
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Closed(_) => Full,
        })?;
        // The last available worker may have gone while the job was queued.
        self.staff(version);
        Ok(())
    }

    /// Run a job in an instance of its own, which serves nothing else, as soon as there may be one more of these.
    pub(crate) fn submit_alone(self: &Arc<Self>, version: &Arc<Version>, job: Job) {
        worker::start_alone(Arc::clone(self), Arc::clone(version), job);
    }

    /// A place for an instance that serves one job; none where the time is up first.
    pub(crate) async fn lone_place(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        timeout_at(deadline, Arc::clone(&self.lone).acquire_owned()).await.ok()?.ok()
    }

    /// Start a worker where work waits that nobody would take.
    pub(crate) fn staff(self: &Arc<Self>, version: &Arc<Version>) {
        if self.available.load(Ordering::SeqCst) > 0 || self.jobs.is_empty() || !self.reserve() {
            return;
        }
        match self.jobs.try_recv() {
            Ok(job) => worker::start(Arc::clone(self), Arc::clone(version), job),
            Err(_) => self.release(),
        }
    }

    fn reserve(&self) -> bool {
        let most = self.limits.instances;
        self.live.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |live| (live < most).then_some(live + 1)).is_ok()
    }

    pub(crate) fn release(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }

    /// A worker would take a job at once.
    pub(crate) fn count_free(&self) {
        self.available.fetch_add(1, Ordering::SeqCst);
    }

    /// A worker that would have does not any more.
    pub(crate) fn count_occupied(&self) {
        self.available.fetch_sub(1, Ordering::SeqCst);
    }
}
