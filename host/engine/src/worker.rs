//! One instance: it takes work as long as it may, computes, and ends.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_channel::Recv;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use metrics::{Gauge, gauge};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Instant, Sleep, sleep_until, timeout_at};
use wasmtime::Store;
use wasmtime::component::Accessor;

use crate::api::Lane;
use crate::meter::{Meter, Pause};
use crate::pool::{Job, Pool};
use crate::serve::{Answered, Guest};
use crate::state::{DeadlineTrap, Fate, GRACE, StoreState, Work};
use crate::version::Version;

/// Start a worker that begins with `job` and goes on with the queue. Its seat in the pool is reserved already.
pub(crate) fn start(pool: Arc<Pool>, version: Arc<Version>, job: Job) {
    let requests = pool.limits.requests;
    spawn(Seat::new(pool, version), job, requests);
}

/// Start a worker for `job` alone.
pub(crate) fn start_alone(pool: Arc<Pool>, version: Arc<Version>, job: Job) {
    spawn(Seat::new(pool, version), job, 1);
}

fn spawn(seat: Seat, job: Job, requests: u32) {
    let standing = (seat.pool.lane == Lane::Fast).then(|| Arc::clone(seat.version.standing()));
    let meter = Arc::new(Meter::new(seat.version.limits().burst_cpu, seat.version.tick(), standing));
    let lanes = Arc::clone(&seat.pool.means.lanes);
    lanes.run(seat.pool.lane, Arc::clone(&meter), Box::pin(work(seat, job, meter, requests)));
}

/// A worker's place in its pool; given back however the worker ends.
struct Seat {
    pool: Arc<Pool>,
    version: Arc<Version>,
}

impl Seat {
    fn new(pool: Arc<Pool>, version: Arc<Version>) -> Self {
        let seat = Self { pool, version };
        seat.gauge().increment(1);
        seat
    }

    fn gauge(&self) -> Gauge {
        gauge!("component_instances", "component" => self.version.name().to_string())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gauge().decrement(1);
        self.pool.release();
        self.pool.staff(&self.version);
    }
}

async fn work(seat: Seat, job: Job, meter: Arc<Meter>, requests: u32) {
    let Some(slot) = acquire_slot(&seat, job.deadline).await else {
        drop(job.fate.send(Fate::Overloaded));
        return;
    };
    let mut store = seat.version.new_store(Arc::clone(&meter), job.deadline);
    let starting = timeout_at(job.deadline + GRACE, Guest::start(&seat.version, &mut store)).await;
    let guest = match starting.map_err(|_elapsed| DeadlineTrap.into()).flatten() {
        Ok(guest) => guest,
        Err(error) => {
            let fate = fate_of_start(&error);
            tracing::error!(component = %seat.version.name(), ?fate, "an instance did not start: {error:#}");
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
    let request_id = culprit.and_then(|task| state.work.get(&task)).map(|work| &*work.caller.request_id);
    tracing::error!(component = %version.name(), request_id, neighbours = state.work.len().saturating_sub(1), "an instance was lost: {error:#}");
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
    let mut serving = Serving { shift, pulse: &pulse, open: true, served: 0, place: Place::Occupied, next: None };
    let mut serving = pin!(store.run_concurrent(async |accessor| serving.serve(accessor, first).await));
    let mut retired = pin!(seat.version.retired());
    let mut end = pin!(sleep_until(pulse.end(idle)));
    poll_fn(|context| {
        loop {
            let before = meter.before();
            if let Poll::Ready(result) = serving.as_mut().poll(context) {
                return Poll::Ready(result.flatten());
            }
            let pause = meter.after(before);
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
    /// Whether it takes further work at all.
    open: bool,
    served: u32,
    place: Place,
    next: Option<Pin<Box<Recv<'a, Job>>>>,
}

impl Serving<'_> {
    async fn serve(&mut self, accessor: &Accessor<StoreState>, first: Job) -> wasmtime::Result<()> {
        let Shift { seat, guest, .. } = self.shift;
        let stream_timeout = seat.version.stream_timeout();
        let mut running = FuturesUnordered::new();
        self.accept(&first);
        running.push(guest.serve(accessor, first, stream_timeout));
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
                    self.accept(&job);
                    running.push(guest.serve(accessor, job, stream_timeout));
                    continue;
                }
                if !running.is_empty() || accessor.poll_no_interesting_tasks(context).is_pending() {
                    return Poll::Pending;
                }
                accessor.with(|mut access| access.get().work.clear());
                if !may_take {
                    return Poll::Ready(Ok(()));
                }
                self.pulse.set_idle();
                return Poll::Pending;
            }
        })
        .await
    }

    fn accept(&mut self, job: &Job) {
        self.served += 1;
        // It may be about to compute: no other work beside it before it has waited once.
        self.pulse.quiet.store(false, Ordering::Relaxed);
        self.pulse.extend_busy(job.deadline);
    }

    fn answered(&mut self, answered: Answered, running: usize) {
        // What did not answer in time may never end: nothing new joins it.
        if answered == Answered::Late {
            self.open = false;
        }
        if running == 0 {
            self.pulse.extend_busy(Instant::now() + self.shift.seat.version.stream_timeout());
        }
    }

    fn may_take(&self) -> bool {
        let retired = self.pulse.retired.load(Ordering::Relaxed) && self.shift.seat.pool.jobs.is_empty();
        self.open && self.served < self.shift.requests && !retired && !self.shift.meter.is_over_burst()
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
        let Seat { pool, version } = self.shift.seat;
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
