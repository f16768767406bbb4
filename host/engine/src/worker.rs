//! One instance: it takes work as long as it may, computes, and ends.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_channel::Recv;
use chassis_capabilities::lent::Caller;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::{Duration, Instant, Sleep, sleep_until, timeout_at};
use wasmtime::component::Accessor;
use wasmtime::{Store, WasmBacktrace};

use crate::api::Lane;
use crate::meter::{Before, FastLane, Meter, Pause};
use crate::pool::{Job, Pool};
use crate::serve::{Answered, Guest};
use crate::state::{Company, DeadlineTrap, Fate, GRACE, StoreState, Work};
use crate::version::Version;

/// Start a worker that begins with `job` and goes on with the queue. Its seat in the pool is reserved already.
pub(crate) fn start(pool: Arc<Pool>, version: Arc<Version>, job: Job) {
    let (meter, lanes) = (meter(&pool, &version), Arc::clone(&pool.means.lanes));
    let (lane, requests) = (pool.lane, pool.limits.requests);
    let seat = Seat::new(pool, version, None);
    lanes.run(lane, Arc::clone(&meter), Box::pin(work(seat, job, meter, requests)));
}

/// Start a worker for `job` alone.
pub(crate) fn start_alone(pool: Arc<Pool>, version: Arc<Version>, job: Job) {
    let (meter, lanes) = (meter(&pool, &version), Arc::clone(&pool.means.lanes));
    let (lane, of_worker) = (pool.lane, Arc::clone(&meter));
    let task = async move {
        match pool.lone_place(job.deadline).await {
            Some(place) => work(Seat::new(pool, version, Some(place)), job, of_worker, 1).await,
            None => job.turn_away(),
        }
    };
    lanes.run(lane, meter, Box::pin(task));
}

fn meter(pool: &Pool, version: &Version) -> Arc<Meter> {
    let fast = || FastLane::new(Arc::clone(version.standing()), Arc::clone(pool.means.lanes.bursts()));
    Arc::new(Meter::new(version.limits().burst_cpu, version.tick(), (pool.lane == Lane::Fast).then(fast)))
}

/// A worker's place in its pool; given back however the worker ends.
struct Seat {
    pool: Arc<Pool>,
    version: Arc<Version>,
    /// Of a worker for a single job; the places of the others are counted by the pool.
    lone: Option<OwnedSemaphorePermit>,
}

impl Seat {
    fn new(pool: Arc<Pool>, version: Arc<Version>, lone: Option<OwnedSemaphorePermit>) -> Self {
        version.gauge().increment(1);
        Self { pool, version, lone }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.version.gauge().decrement(1);
        if self.lone.take().is_none() {
            self.pool.release();
        }
        self.pool.staff(&self.version);
    }
}

async fn work(seat: Seat, job: Job, meter: Arc<Meter>, requests: u32) {
    let Some(slot) = acquire_slot(&seat, job.deadline).await.filter(|_| job.is_wanted()) else {
        job.turn_away();
        return;
    };
    let alone = requests == 1 || seat.pool.limits.concurrency == 1;
    let company = if alone { Company::Alone } else { Company::Several };
    let mut store = seat.version.new_store(Arc::clone(&meter), job.deadline, company);
    let starting = timeout_at(job.deadline + GRACE, Guest::start(&seat.version, &mut store)).await;
    let guest = match starting.map_err(|_elapsed| DeadlineTrap.into()).flatten() {
        Ok(guest) => guest,
        Err(error) => {
            let fate = fate_of_start(&error);
            // One that was late may have waited for its slot all the time; one that computes is noticed by that.
            if matches!(fate, Fate::Trapped(_)) {
                seat.version.standing().count_trap();
            }
            report(&seat.version, Some(&job.caller), &error, "an instance did not start");
            drop(job.fate.send(fate));
            return;
        }
    };
    let shift = Shift { seat: &seat, guest: &guest, meter: &meter, requests };
    let outcome = run(shift, &mut store, job).await;
    if let Err(error) = outcome {
        seat.version.standing().count_trap();
        settle(&seat.version, store.data_mut(), &error);
    }
    drop(store);
    drop(slot);
}

async fn acquire_slot(seat: &Seat, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    let slots = Arc::clone(&seat.pool.means.slots);
    timeout_at(deadline, slots.acquire_owned()).await.ok()?.ok()
}

fn fate_of_start(error: &wasmtime::Error) -> Fate {
    if error.is::<DeadlineTrap>() {
        Fate::Deadline
    } else if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        Fate::Overloaded
    } else {
        Fate::Trapped(error.root_cause().to_string())
    }
}

/// Tell everyone who waits for this instance what became of it.
fn settle(version: &Version, state: &mut StoreState, error: &wasmtime::Error) {
    let late = error.is::<DeadlineTrap>();
    let culprit = state.current_task();
    let caller = state.current_work().map(|work| &work.caller);
    let neighbours = state.work.len().saturating_sub(1);
    report(version, caller, error, format_args!("an instance was lost, with {neighbours} other requests in it"));
    let now = Instant::now();
    for (task, work) in state.work.drain() {
        let Work { fate: Some(fate), deadline, .. } = work else { continue };
        drop(fate.send(match (late, Some(task) == culprit) {
            (true, _) if deadline <= now => Fate::Deadline,
            (false, true) => Fate::Trapped(error.root_cause().to_string()),
            _ => Fate::Lost,
        }));
    }
}

/// Innermost frames of a backtrace that an error tells; all of them are there at the level `debug`.
const FRAMES: usize = 8;

/// Log an instance that came to nothing, within its component's budget of lines.
fn report(version: &Version, caller: Option<&Caller>, error: &wasmtime::Error, message: impl Display) {
    if !version.lines().admits() {
        return;
    }
    let component = version.name().as_str();
    let (request_id, trace_id) = caller.map(|caller| (&*caller.request_id, caller.trace_id())).unzip();
    let (cause, frames) = (error.root_cause(), frames(error));
    tracing::error!(component, request_id, trace_id, %cause, frames, "{message}");
    tracing::debug!(component, request_id, trace_id, "{message}: {error:?}");
}

/// The functions that the guest was in, the innermost first.
fn frames(error: &wasmtime::Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let names = frames.iter().take(FRAMES).map(|frame| frame.func_name().unwrap_or("?"));
    let more = if frames.len() > FRAMES { " < …" } else { "" };
    Some(names.collect::<Vec<_>>().join(" < ") + more)
}

/// What the event loop of the instance tells the loop around it.
struct Pulse {
    base: Instant,
    /// Since the last job was taken, all tasks have come to wait once.
    quiet: AtomicBool,
    /// Milliseconds after `base` until which the guest may be at work; 0 where it has none.
    busy_until: AtomicU64,
    /// Milliseconds after `base` since when it has none.
    idle_since: AtomicU64,
    retired: AtomicBool,
}

impl Pulse {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            quiet: AtomicBool::new(false),
            busy_until: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }
    }

    fn offset(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.base).as_millis()).unwrap_or(u64::MAX)
    }

    fn extend_busy(&self, until: Instant) {
        self.busy_until.fetch_max(self.offset(until).max(1), Ordering::Relaxed);
    }

    fn set_idle(&self) {
        if self.busy_until.swap(0, Ordering::Relaxed) != 0 {
            self.idle_since.store(self.offset(Instant::now()), Ordering::Relaxed);
        }
    }

    fn is_idle(&self) -> bool {
        self.busy_until.load(Ordering::Relaxed) == 0
    }

    /// When the instance is to be dropped from outside.
    fn end(&self, idle: Duration) -> Instant {
        match self.busy_until.load(Ordering::Relaxed) {
            0 => self.base + Duration::from_millis(self.idle_since.load(Ordering::Relaxed)) + idle,
            until => self.base + Duration::from_millis(until) + GRACE,
        }
    }
}

/// What an instance works by.
#[derive(Clone, Copy)]
struct Shift<'a> {
    seat: &'a Seat,
    guest: &'a Guest,
    meter: &'a Meter,
    /// Requests and calls that it may take in all.
    requests: u32,
}

/// Drive the instance until it is done, retired, idle for too long, lost, or beyond every deadline.
async fn run(shift: Shift<'_>, store: &mut Store<StoreState>, first: Job) -> wasmtime::Result<()> {
    let pulse = Pulse::new();
    let Shift { seat, meter, .. } = shift;
    let idle = seat.version.limits().instance_idle;
    let mut serving = Serving {
        shift,
        pulse: &pulse,
        late: false,
        served: 0,
        place: Place::Occupied,
        next: None,
        unended: Vec::new(),
    };
    let mut serving = pin!(store.run_concurrent(async |accessor| serving.serve(accessor, first).await));
    let mut retired = pin!(seat.version.retired());
    let mut end = pin!(sleep_until(pulse.end(idle)));
    poll_fn(|context| {
        loop {
            let before = Before::now();
            if let Poll::Ready(result) = serving.as_mut().poll(context) {
                return Poll::Ready(result.flatten());
            }
            let pause = meter.after(&before);
            let calm = pause == Pause::Waiting && !pulse.quiet.swap(true, Ordering::Relaxed);
            let leaving = !pulse.retired.load(Ordering::Relaxed) && retired.as_mut().poll(context).is_ready();
            if leaving {
                pulse.retired.store(true, Ordering::Relaxed);
            }
            // Either may let the event loop take more work, or end.
            if !calm && !leaving {
                break;
            }
        }
        poll_end(context, end.as_mut(), &pulse, idle)
    })
    .await
}

fn poll_end(
    context: &mut Context<'_>,
    mut end: Pin<&mut Sleep>,
    pulse: &Pulse,
    idle: Duration,
) -> Poll<wasmtime::Result<()>> {
    let due = pulse.end(idle);
    if end.deadline() != due {
        end.as_mut().reset(due);
    }
    match end.poll(context) {
        Poll::Ready(()) if pulse.is_idle() => Poll::Ready(Ok(())),
        Poll::Ready(()) => Poll::Ready(Err(DeadlineTrap.into())),
        Poll::Pending => Poll::Pending,
    }
}

/// So many answers are kept track of before those that have ended are forgotten.
const UNENDED_CHECKED: usize = 64;

/// Whether the pool counts on an instance to take work at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Free,
    Occupied,
}

/// The event loop inside the store.
struct Serving<'a> {
    shift: Shift<'a>,
    pulse: &'a Pulse,
    /// Something did not answer in time, and may never end: nothing new joins it, and the instance ends as soon as all others
    /// have what they asked for.
    late: bool,
    served: u32,
    place: Place,
    next: Option<Pin<Box<Recv<'a, Job>>>>,
    /// What was asked for and is not whole yet, such as responses whose bodies are still read.
    unended: Vec<oneshot::Receiver<Infallible>>,
}

impl Serving<'_> {
    async fn serve(&mut self, accessor: &Accessor<StoreState>, first: Job) -> wasmtime::Result<()> {
        let Shift { seat, guest, .. } = self.shift;
        let mut running = FuturesUnordered::new();
        running.push(guest.serve(accessor, self.accept(first), &seat.version));
        poll_fn(|context| {
            loop {
                match running.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(answered))) => {
                        self.answered(answered, running.len());
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                let ready = accessor.poll_ready_for_concurrent_call(guest.handler, context).is_ready();
                let may_take = self.may_take() && ready;
                self.move_to(if may_take && self.has_room(running.len()) { Place::Free } else { Place::Occupied });
                if let Some(job) = self.poll_job(context) {
                    if job.is_wanted() {
                        running.push(guest.serve(accessor, self.accept(job), &seat.version));
                    } else {
                        job.turn_away();
                    }
                    continue;
                }
                if self.late && running.is_empty() && self.poll_ended(context).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                if !running.is_empty() || accessor.poll_no_interesting_tasks(context).is_pending() {
                    return Poll::Pending;
                }
                accessor.with(|mut access| access.get().rest());
                if !may_take {
                    return Poll::Ready(Ok(()));
                }
                self.pulse.set_idle();
                return Poll::Pending;
            }
        })
        .await
    }

    fn accept(&mut self, mut job: Job) -> Job {
        job.begun.store(true, Ordering::Relaxed);
        self.shift.meter.begin();
        if self.unended.len() >= UNENDED_CHECKED {
            self.unended.retain_mut(|ended| ended.try_recv() == Err(TryRecvError::Empty));
        }
        self.unended.extend(job.ended.take());
        self.served += 1;
        // It may be about to compute: no other work beside it before it has waited once.
        self.pulse.quiet.store(false, Ordering::Relaxed);
        self.pulse.extend_busy(job.deadline);
        job
    }

    fn answered(&mut self, answered: Answered, running: usize) {
        self.late |= answered == Answered::Late;
        self.shift.meter.answer();
        if running == 0 {
            self.pulse.extend_busy(Instant::now() + self.shift.seat.version.stream_timeout());
        }
    }

    /// Ready when nobody waits for anything more of this instance.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.unended.retain_mut(|ended| Pin::new(ended).poll(context).is_pending());
        if self.unended.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn may_take(&self) -> bool {
        let retired = self.pulse.retired.load(Ordering::Relaxed) && self.shift.seat.pool.jobs.is_empty();
        !self.late && self.served < self.shift.requests && !retired && !self.shift.meter.is_over_burst()
    }

    fn has_room(&self, running: usize) -> bool {
        let most = self.shift.seat.pool.limits.concurrency as usize;
        running < most && (running == 0 || self.pulse.quiet.load(Ordering::Relaxed))
    }

    fn move_to(&mut self, place: Place) {
        if place == self.place {
            return;
        }
        self.place = place;
        let Seat { pool, version, .. } = self.shift.seat;
        match place {
            Place::Free => pool.count_free(),
            Place::Occupied => {
                // A listener that is not polled would keep a job from the others.
                self.next = None;
                pool.count_occupied();
                pool.staff(version);
            }
        }
    }

    fn poll_job(&mut self, context: &mut Context<'_>) -> Option<Job> {
        if self.place == Place::Occupied {
            return None;
        }
        let jobs = &self.shift.seat.pool.jobs;
        if let Ok(job) = jobs.try_recv() {
            self.next = None;
            return Some(job);
        }
        let next = self.next.get_or_insert_with(|| Box::pin(jobs.recv()));
        match next.as_mut().poll(context) {
            Poll::Ready(job) => {
                self.next = None;
                job.ok()
            }
            Poll::Pending => None,
        }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.move_to(Place::Occupied);
    }
}
