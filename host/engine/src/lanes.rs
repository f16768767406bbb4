//! The two lanes that guests run in, and how an instance moves from one to the other.
//!
//! The fast lane is the runtime that serves the gateway. The slow lane has threads of its own at low priority, so that
//! a guest that burns CPU takes only what nobody else wants.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use chassis_config::plan::EngineLimits;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

use crate::api::Lane;
use crate::meter::Meter;

/// Niceness of the slow lane's threads: the lowest priority that still runs on a machine that is idle otherwise.
const SLOW_NICENESS: i32 = 19;

/// The runtimes of both lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    fast: Handle,
    slow: Handle,
    bursts: Arc<Semaphore>,
    /// Taken at drop: a runtime must not be dropped on a thread of another.
    runtime: Option<Runtime>,
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Lanes {
    /// The fast lane is the runtime that this is called on.
    pub(crate) fn start(limits: &EngineLimits) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(limits.slow_threads.max(1) as usize)
            .thread_name("chassis-slow")
            .on_thread_start(|| {
                // Without the permission to be nicer the lane is still apart, only less polite.
                if let Err(error) = rustix::process::setpriority_process(None, SLOW_NICENESS) {
                    tracing::warn!(%error, "the slow lane runs at normal priority");
                }
            })
            .enable_all()
            .build()?;
        let bursts = Arc::new(Semaphore::new(limits.fast_threads.max(1) as usize));
        Ok(Self { fast: Handle::current(), slow: runtime.handle().clone(), bursts, runtime: Some(runtime) })
    }

    /// Places of instances that compute for longer than a tick in the fast lane: one for each of its threads.
    pub(crate) fn bursts(&self) -> &Arc<Semaphore> {
        &self.bursts
    }

    pub(crate) fn handle(&self, lane: Lane) -> &Handle {
        match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
        }
    }

    /// Run the future of an instance in a lane. Once its meter says that it burns CPU, the fast lane lets go of it between two
    /// polls and the slow lane goes on with it.
    pub(crate) fn run(self: &Arc<Self>, lane: Lane, meter: Arc<Meter>, task: Task) {
        let lanes = Arc::clone(self);
        let mut task = Some(task);
        self.handle(lane).spawn(poll_fn(move |context| {
            let Some(running) = task.as_mut() else { return Poll::Ready(()) };
            if running.as_mut().poll(context).is_ready() {
                task = None;
                return Poll::Ready(());
            }
            if lane == Lane::Fast && meter.is_over_burst() {
                if let Some(moving) = task.take() {
                    lanes.run(Lane::Slow, Arc::clone(&meter), moving);
                }
                return Poll::Ready(());
            }
            Poll::Pending
        }));
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
