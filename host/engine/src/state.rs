//! The data of an instance's store.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::lent::{Caller, Lending, Lent, LentView};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{CallHook, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::guest_log::GuestLog;
use crate::memory_limit::MemoryLimit;
use crate::meter::Meter;
use crate::outbound::Outbound;

/// What the store of one instance holds.
pub(crate) struct StoreState {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) http: WasiHttpCtx,
    pub(crate) outbound: Outbound,
    pub(crate) lent: Arc<Lent>,
    pub(crate) memory: MemoryLimit,
    pub(crate) meter: Arc<Meter>,
    pub(crate) log: Arc<GuestLog>,
    /// Requests and calls that the guest has not finished with.
    pub(crate) work: HashMap<GuestTaskId, Work>,
    /// Until when the guest may be busy without any request: while it starts.
    pub(crate) start_deadline: Instant,
    /// Whose code ran last.
    pub(crate) current: Option<GuestTaskId>,
}

/// One request or call in an instance.
pub(crate) struct Work {
    pub(crate) caller: Caller,
    /// When the guest must have answered or, once it has, must have finished.
    pub(crate) deadline: Instant,
    /// Told what became of the request if the instance is lost before it is answered.
    pub(crate) fate: Option<oneshot::Sender<Fate>>,
    /// How many typed calls led here.
    pub(crate) depth: u32,
}

/// Why a request in a lost instance was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It made the instance trap.
    Trapped(String),
    /// It computed beyond its deadline.
    Deadline,
    /// Another request did.
    Lost,
    /// No instance could be had.
    Overloaded,
    /// Its instance computes for another request, and goes on: what is safe to repeat had better be run elsewhere.
    Crowded,
}

impl fmt::Debug for StoreState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreState").field("lent", &self.lent).field("work", &self.work.len()).finish_non_exhaustive()
    }
}

impl StoreState {
    /// The task of the work whose code ran last; with one at work, that one.
    pub(crate) fn current_task(&self) -> Option<GuestTaskId> {
        match self.work.len() {
            1 => self.work.keys().next().copied(),
            _ => self.current.filter(|task| self.work.contains_key(task)),
        }
    }

    /// Take on a request or call.
    pub(crate) fn take_on(&mut self, task: GuestTaskId, work: Work) {
        // The number of a task that has ended is given to the next, which is another's all the same.
        let unattributed = self.work.is_empty() || self.current == Some(task);
        self.work.insert(task, work);
        if unattributed {
            self.current = None;
            self.switch_to(task);
        }
    }

    /// All that was taken on has ended.
    pub(crate) fn rest(&mut self) {
        self.work.clear();
        self.current = None;
        self.log.attribute(None);
    }

    /// Another's code runs now.
    fn switch_to(&mut self, task: GuestTaskId) {
        if self.current != Some(task) {
            self.current = Some(task);
            self.log.attribute(self.work.get(&task).map(|work| &work.caller));
        }
    }

    /// The work whose code ran last.
    pub(crate) fn current_work(&self) -> Option<&Work> {
        self.current_task().and_then(|task| self.work.get(&task))
    }
}

impl StoreState {
    /// The guest computes without end in sight; whoever else waits in this instance need not wait for that.
    fn send_neighbours_away(&mut self) {
        let hog = self.current_task();
        for (_, work) in self.work.iter_mut().filter(|(task, _)| Some(**task) != hog) {
            if let Some(fate) = work.fate.take() {
                // Nobody waits any more where this fails.
                drop(fate.send(Fate::Crowded));
            }
        }
    }
}

impl Lending for StoreState {
    fn lent(&mut self) -> LentView {
        let caller = self.current_work().map(|work| work.caller.clone()).unwrap_or_default();
        LentView { lent: Arc::clone(&self.lent), caller }
    }
}

impl WasiView for StoreState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for StoreState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// The guest computed beyond the deadline of the request that it computes for.
#[derive(Debug, thiserror::Error)]
#[error("the guest computed beyond its deadline")]
pub(crate) struct DeadlineTrap;

/// Whether an instance may have several requests or calls at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    Alone,
    Several,
}

/// Put the bounds of an instance on its store: memory, handles, and time. Whose code runs has to be found out only where
/// there can be several.
pub(crate) fn confine(store: &mut Store<StoreState>, company: Company) {
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(interrupt);
    if company == Company::Several {
        store.call_hook(attribute);
    }
}

/// Called at each epoch while the guest computes.
fn interrupt(mut context: StoreContextMut<'_, StoreState>) -> wasmtime::Result<UpdateDeadline> {
    let task = root_task(&mut context);
    let state = context.data_mut();
    state.meter.interrupt();
    if let Some(task) = task {
        state.switch_to(task);
    }
    let deadline = state.current_work().map_or(state.start_deadline, |work| work.deadline);
    if Instant::now() > deadline {
        return Err(DeadlineTrap.into());
    }
    if state.meter.is_over_burst() {
        state.send_neighbours_away();
    }
    Ok(UpdateDeadline::Yield(1))
}

/// Called at each passage between host and guest: remembers whose code runs, for log lines, events and traps. With one
/// request in the instance there is nothing to find out.
fn attribute(mut context: StoreContextMut<'_, StoreState>, hook: CallHook) -> wasmtime::Result<()> {
    if !matches!(hook, CallHook::CallingHost | CallHook::CallingWasm) || context.data().work.len() < 2 {
        return Ok(());
    }
    if let Some(task) = root_task(&mut context) {
        context.data_mut().switch_to(task);
    }
    Ok(())
}

fn root_task(context: &mut StoreContextMut<'_, StoreState>) -> Option<GuestTaskId> {
    context.async_call_stack().ok()?.last()
}

/// Time beyond every deadline after which an instance is dropped from outside, whatever it does.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
