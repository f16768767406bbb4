//! One request or call in an instance, from its start in the guest to its answer.

use std::pin::pin;

use futures::future::{Either, select};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use wasmtime::component::{Accessor, Func, GuestTaskId, Instance, Val};
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

use crate::link::Linked;
use crate::pool::{CallJob, HttpJob, Job, Work as Payload};
use crate::state::{Fate, StoreState, Work};
use crate::version::Version;

/// An instance that has started.
pub(crate) struct Guest {
    proxy: Proxy,
    instance: Instance,
    /// Its HTTP handler: stands for the instance where wasmtime asks whether it takes calls.
    pub(crate) handler: Func,
}

/// How a request or call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    InTime,
    /// The deadline came first; the guest goes on until its store is dropped, since nothing else would stop it.
    Late,
}

impl Guest {
    pub(crate) async fn start(version: &Version, store: &mut Store<StoreState>) -> wasmtime::Result<Self> {
        let Linked { pre, service } = version.linked();
        let instance = pre.instantiate_async(&mut *store).await?;
        let service = service.load(&mut *store, &instance)?;
        let handler = *service.wasi_http_handler().func_handle().func();
        Ok(Self { proxy: Proxy::P3(service), instance, handler })
    }

    /// # Errors
    /// Where the guest trapped: the instance is lost.
    pub(crate) async fn serve(
        &self,
        accessor: &Accessor<StoreState>,
        job: Job,
        version: &Version,
    ) -> wasmtime::Result<Answered> {
        let Job { payload, caller, deadline, depth, fate, place: _until_answered, .. } = job;
        let work = Work { caller, deadline, fate: Some(fate), depth };
        let (task, answered) = match payload {
            Payload::Http(http) => self.http(accessor, http, work).await?,
            Payload::Call(call) => match self.call(accessor, call, work, version).await? {
                Some(done) => done,
                None => return Ok(Answered::InTime),
            },
        };
        let left = match answered {
            Answered::InTime => version.stream_timeout(),
            // Until all others in the instance must have been answered, and it can be dropped.
            Answered::Late => version.limits().deadline,
        };
        accessor.with(|mut access| {
            if let Some(work) = access.get().work.get_mut(&task) {
                work.fate = None;
                work.deadline = Instant::now() + left;
            }
        });
        Ok(answered)
    }

    async fn http(
        &self,
        accessor: &Accessor<StoreState>,
        job: HttpJob,
        work: Work,
    ) -> wasmtime::Result<(GuestTaskId, Answered)> {
        let deadline = work.deadline;
        let (prepared, task) = accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let prepared =
                Prepared::new(store.as_context_mut(), &self.proxy, job.request, StoreState::http, job.reply)?;
            let task = match &prepared {
                Prepared::P3 { call, .. } => call.task(),
                Prepared::P2 { call, .. } => call.task(),
            };
            store.data_mut().take_on(task, work);
            wasmtime::error::Ok((prepared, task))
        })?;
        let in_time = prepared.run(accessor, sleep_until(deadline)).await?;
        Ok((task, if in_time { Answered::InTime } else { Answered::Late }))
    }

    /// None where the live version has no such function, or its parameters do not fit: that is answered, and harms nobody.
    async fn call(
        &self,
        accessor: &Accessor<StoreState>,
        job: CallJob,
        work: Work,
        version: &Version,
    ) -> wasmtime::Result<Option<(GuestTaskId, Answered)>> {
        let deadline = work.deadline;
        let mut results = [Val::Bool(false)];
        let started = accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let function = self.instance.get_func(&mut store, version.offered(&job.interface, &job.function)?)?;
            let call = function.start_call_concurrent(&mut store, &job.params, &mut results).ok()?;
            let task = call.task();
            store.data_mut().take_on(task, work);
            Some((function, call, task))
        });
        let Some((function, call, task)) = started else {
            drop(job.reply.send(None));
            return Ok(None);
        };
        let finished =
            match select(pin!(function.finish_call_concurrent(accessor, call)), pin!(sleep_until(deadline))).await {
                Either::Left((finished, _)) => Some(finished),
                Either::Right(((), _)) => None,
            };
        let Some(finished) = finished else {
            let fate = accessor.with(|mut access| access.get().work.get_mut(&task).and_then(|work| work.fate.take()));
            tell(fate, Fate::Deadline);
            return Ok(Some((task, Answered::Late)));
        };
        finished?;
        let [answer] = results;
        drop(job.reply.send(Some(answer)));
        Ok(Some((task, Answered::InTime)))
    }
}

fn tell(sender: Option<oneshot::Sender<Fate>>, fate: Fate) {
    if let Some(sender) = sender {
        // Nobody waits any more where this fails.
        drop(sender.send(fate));
    }
}
