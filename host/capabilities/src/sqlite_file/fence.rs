//! What the connection may do at this moment, and until when; and what its callbacks have seen.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::conduct::Conduct;

/// Niceness of a thread that has burned CPU: the lowest priority that still runs on a machine that is idle otherwise.
const SLOW_NICENESS: i32 = 19;
/// Time between two looks at the CPU time of a thread.
const TIME_BETWEEN_SAMPLES: Duration = Duration::from_millis(1);

/// On whose behalf SQL is compiled and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// The host's own statements.
    Host = 0,
    /// A guest's statement: hostile input.
    Guest = 1,
    /// A migration of a component: may change its schema, and nothing of the host's.
    Migration = 2,
}

/// Shared by a connection and its callbacks: authorizer, progress handler, functions, the hook of its commits.
#[derive(Debug)]
pub(crate) struct Fence {
    mode: AtomicU8,
    /// Whether the last compiled statement did anything that a guest may do at all.
    touched: AtomicU8,
    began: Instant,
    /// Nanoseconds after `began` at which running SQL is interrupted.
    until: AtomicU64,
    /// Functions that were compiled into statements since they were last asked for.
    functions: AtomicU32,
    /// Nanoseconds after `began` at which the CPU time is looked at.
    sample_at: AtomicU64,
    watched: Mutex<Option<Watched>>,
    /// Pages in the write-ahead log, as this connection knows it.
    log_pages: AtomicU32,
    /// Whether the connection's thread has the lowest priority. Linux lets no thread come back from there.
    is_niced: AtomicBool,
}

/// Work whose CPU time counts.
#[derive(Debug)]
struct Watched {
    conduct: Arc<dyn Conduct>,
    /// CPU time of the thread when it was first looked at.
    cpu_began: Option<Duration>,
    is_reported: bool,
}

const NEVER: u64 = u64::MAX;

impl Fence {
    pub(crate) fn new() -> Self {
        Self {
            mode: AtomicU8::new(Mode::Host as u8),
            touched: AtomicU8::new(0),
            began: Instant::now(),
            until: AtomicU64::new(NEVER),
            functions: AtomicU32::new(0),
            sample_at: AtomicU64::new(NEVER),
            watched: Mutex::default(),
            log_pages: AtomicU32::new(0),
            is_niced: AtomicBool::new(false),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Host,
            2 => Mode::Migration,
            _ => Mode::Guest,
        }
    }

    /// From now on SQL is compiled on behalf of `mode`.
    pub(crate) fn enter(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Interrupt what runs after `time` from now.
    pub(crate) fn limit(&self, time: Duration) {
        self.until.store(nanos(self.began.elapsed().saturating_add(time)), Ordering::SeqCst);
    }

    /// Let what runs take its time.
    pub(crate) fn unlimit(&self) {
        self.until.store(NEVER, Ordering::SeqCst);
    }

    /// Interrupt what runs now.
    pub(crate) fn expire(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Whether the time is up.
    pub(crate) fn expired(&self) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        until != NEVER && self.began.elapsed().as_nanos() >= u128::from(until)
    }

    /// From now on CPU time counts: the thread of the connection is set back when it has burned more than a burst, or at
    /// once where the conduct is bad already.
    pub(crate) fn watch(&self, conduct: Arc<dyn Conduct>) {
        let watched = Watched { conduct, cpu_began: None, is_reported: false };
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
        self.sample_at.store(0, Ordering::SeqCst);
    }

    /// From now on nobody minds the CPU time.
    pub(crate) fn unwatch(&self) {
        self.sample_at.store(NEVER, Ordering::SeqCst);
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the connection's thread was set back for good.
    pub(crate) fn is_niced(&self) -> bool {
        self.is_niced.load(Ordering::SeqCst)
    }

    /// Called on the connection's own thread now and then while SQL runs: whether it may go on.
    pub(crate) fn pass(&self) -> bool {
        let now = self.began.elapsed();
        if nanos(now) >= self.sample_at.load(Ordering::SeqCst) {
            self.sample(now);
        }
        !self.expired()
    }

    fn sample(&self, now: Duration) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watched) = watched.as_mut() else { return };
        let cpu = thread_cpu();
        let burned = cpu.saturating_sub(*watched.cpu_began.get_or_insert(cpu));
        let is_over = burned > watched.conduct.burst();
        if is_over && !watched.is_reported {
            watched.is_reported = true;
            watched.conduct.burned();
        }
        if (is_over || watched.conduct.is_slow()) && !self.is_niced.swap(true, Ordering::SeqCst) {
            step_back();
        }
        let next = if watched.is_reported { NEVER } else { nanos(now.saturating_add(TIME_BETWEEN_SAMPLES)) };
        self.sample_at.store(next, Ordering::SeqCst);
    }

    /// Note how many pages are in the write-ahead log.
    pub(crate) fn note_log(&self, pages: u32) {
        self.log_pages.store(pages, Ordering::SeqCst);
    }

    /// Pages in the write-ahead log after the last commit or checkpoint of this connection; 0 before any.
    pub(crate) fn log_pages(&self) -> u32 {
        self.log_pages.load(Ordering::SeqCst)
    }

    /// Note a function in the statement being compiled.
    pub(crate) fn count_function(&self) {
        self.functions.fetch_add(1, Ordering::SeqCst);
    }

    /// How many functions were compiled since the last call.
    pub(crate) fn take_functions(&self) -> u32 {
        self.functions.swap(0, Ordering::SeqCst)
    }

    /// Note that the statement being compiled reads or writes rows.
    pub(crate) fn touch(&self) {
        self.touched.store(1, Ordering::SeqCst);
    }

    /// Whether a statement compiled since the last call reads or writes rows.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.swap(0, Ordering::SeqCst) != 0
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

/// Give the calling thread, and no other, the lowest priority.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, SLOW_NICENESS) {
        tracing::warn!(%error, "a thread of a database stays at normal priority");
    }
}

/// CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
