//! The thread that writes, and the queue between it and the rest of the program.
//!
//! Only this thread waits for whoever takes the records. The master's loop puts
//! them into the queue and looks there whether the application's output is to be
//! read (see [`super::queue`] for the rules).

use super::queue::{Queue, STALL};
use super::record::{Content, Record};
use super::sink::{Failure, Sink};
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::event::EventfdFlags;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a record is tried again while nobody is there to take it.
const RETRY: Duration = Duration::from_millis(100);

/// At the end of the program, all that waits is written within this time.
const FINISH: Duration = Duration::from_secs(10);

/// Its call stack: a few frames, and the formatting of a record.
const STACK: usize = 256 * 1024;

/// The queue, the thread that empties it, and how they wake each other.
pub(super) struct Writer {
    state: Mutex<State>,
    /// There is something to write.
    work: Condvar,
    /// Everything is written.
    done: Condvar,
    /// Gets readable when the application's output should be read again.
    resume: OwnedFd,
}

struct State {
    queue: Queue,
    /// What the thread writes to; taken when it starts.
    sink: Option<Sink>,
    /// The thread waits for work.
    idle: bool,
}

impl Writer {
    pub(super) fn new(sink: Sink) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                queue: Queue::default(),
                sink: Some(sink),
                idle: false,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            resume: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Starts the thread, if it does not run yet.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let Some(sink) = self.lock().sink.take() else {
            return Ok(());
        };
        // A signal that this thread took would be missed where signals are read.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let writer = Arc::clone(self);
        let started = thread::Builder::new()
            .name("log".to_owned())
            .stack_size(STACK)
            .spawn(move || writer.run(sink));
        before.thread_set_mask()?;
        started.map(drop)
    }

    pub(super) fn push(&self, content: Content) {
        let mut state = self.lock();
        state.queue.push(Record::now(content), Instant::now());
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.work.notify_one();
        }
    }

    pub(super) fn takes_output(&self) -> bool {
        self.lock().queue.takes_output(Instant::now())
    }

    /// When [`Self::takes_output`] may change without [`Self::resume`] saying so.
    pub(super) fn next_change(&self) -> Option<Instant> {
        let now = Instant::now();
        let state = self.lock();
        // Between two records nothing is being written, but will be at once.
        let stalls = state.queue.stalls_at().unwrap_or(now + STALL);
        (state.queue.is_paused() && stalls > now).then_some(stalls)
    }

    pub(super) fn resume(&self) -> BorrowedFd<'_> {
        self.resume.as_fd()
    }

    /// Waits until everything is written; not for long if nothing of it gets on.
    pub(super) fn finish(self: &Arc<Self>) {
        let end = Instant::now() + FINISH;
        let nothing_waits = self.lock().queue.is_done();
        // A machine that gives no thread gets no log.
        if nothing_waits || self.start().is_err() {
            return;
        }
        let mut state = self.lock();
        while !state.queue.is_done() {
            let now = Instant::now();
            let stalls = state.queue.stalls_at().unwrap_or(now + STALL);
            let left = end.min(stalls).saturating_duration_since(now);
            if left.is_zero() {
                return;
            }
            let waited = self.done.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The thread: writes for as long as the process lives.
    fn run(&self, mut sink: Sink) {
        loop {
            let record = self.next();
            match write(&mut sink, &record) {
                Ok(()) => self.lock().queue.written(),
                Err(Refused) => self.lock().queue.refused(&record),
            }
        }
    }

    fn next(&self) -> Record {
        let mut state = self.lock();
        loop {
            if let Some(record) = state.queue.pop(Instant::now()) {
                if state.queue.resumes() {
                    // The only error is that the counter is full: it is readable.
                    let _ = rustix::io::write(&self.resume, &1_u64.to_ne_bytes());
                }
                return record;
            }
            self.done.notify_all();
            state.idle = true;
            let waited = self.work.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one record, however long it takes, or finds that it cannot be written.
fn write(sink: &mut Sink, record: &Record) -> Result<(), Refused> {
    loop {
        match sink.write(record) {
            Ok(()) => return Ok(()),
            Err(Failure::Refused) => return Err(Refused),
            Err(Failure::Absent) => thread::sleep(RETRY),
        }
    }
}

struct Refused;

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}
