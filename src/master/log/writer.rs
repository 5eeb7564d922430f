//! The thread that writes, and the queue between it and the rest of the program.
//!
//! Only this thread waits for whoever takes the records. The master's loop puts
//! them into the queue and looks there whether the application's output is to be
//! read (see [`super::queue`] for the rules).

use super::error_file::{ErrorFile, FileOrder, Route};
use super::queue::{Queue, STALL};
use super::record::{Content, Record};
use super::sink::{Failure, Sink};
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::event::EventfdFlags;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a record is tried again while nobody is there to take it.
const RETRY: Duration = Duration::from_millis(100);

/// The most time that writing what waits may take at the end of the program.
pub const FINISH: Duration = Duration::from_secs(10);

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
    /// Records that did not get into the file of the error log.
    missed: Arc<AtomicU64>,
}

struct State {
    queue: Queue,
    /// The file of the error log, as the thread is to have it.
    file_order: Option<FileOrder>,
    /// The same, for whoever asks.
    file_path: Option<PathBuf>,
    /// What the thread writes to. The thread takes it, so that it is still here for
    /// another attempt if there could be no thread.
    sink: Option<Sink>,
    /// The thread was started.
    started: bool,
    /// The thread waits for work.
    idle: bool,
}

impl Writer {
    pub(super) fn new(sink: Sink) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                queue: Queue::default(),
                file_order: None,
                file_path: None,
                sink: Some(sink),
                started: false,
                idle: false,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            resume: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            missed: Arc::default(),
        })
    }

    /// Starts the thread, if it does not run yet.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        if std::mem::replace(&mut self.lock().started, true) {
            return Ok(());
        }
        let spawned = self.spawn(STACK);
        self.lock().started = spawned.is_ok();
        spawned
    }

    fn spawn(self: &Arc<Self>, stack: usize) -> io::Result<()> {
        // A signal that this thread took would be missed where signals are read.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let writer = Arc::clone(self);
        let spawned = thread::Builder::new()
            .name("log".to_owned())
            .stack_size(stack)
            .spawn(move || writer.run());
        before.thread_set_mask()?;
        spawned.map(drop)
    }

    pub(super) fn push(&self, content: Content) {
        let mut state = self.lock();
        state.queue.push(Record::now(content), Instant::now());
        self.wake(state);
    }

    /// From now on records go to this file; `None`: as before there was one.
    pub(super) fn use_file(&self, file: Option<ErrorFile>) {
        let path = file.as_ref().map(|file| file.path().to_owned());
        let order = file.map_or(FileOrder::Leave, |file| FileOrder::Use(Box::new(file)));
        let mut state = self.lock();
        state.file_path = path;
        state.file_order = Some(order);
        self.wake(state);
    }

    /// Opens the file anew, if there is one.
    pub(super) fn reopen_file(&self) {
        let mut state = self.lock();
        state.file_order.get_or_insert(FileOrder::Reopen);
        self.wake(state);
    }

    pub(super) fn file_path(&self) -> Option<PathBuf> {
        self.lock().file_path.clone()
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.work.notify_one();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().queue.dropped_ever()
    }

    pub(super) fn is_done(&self) -> bool {
        self.lock().queue.is_done()
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

    /// Waits until all is written, the writer stalls, or [`FINISH`] has passed.
    /// Returns whether there was a thread to write it.
    pub(super) fn finish(self: &Arc<Self>) -> bool {
        self.wait(FINISH)
    }

    /// Waits like [`Self::finish`], for at most `longest`.
    pub(super) fn wait(self: &Arc<Self>, longest: Duration) -> bool {
        let end = Instant::now() + longest;
        if self.lock().queue.is_done() {
            return true;
        }
        if self.start().is_err() {
            return false;
        }
        let mut state = self.lock();
        while !state.queue.is_done() {
            let now = Instant::now();
            let stalls = state.queue.stalls_at().unwrap_or(now + STALL);
            let left = end.min(stalls).saturating_duration_since(now);
            if left.is_zero() {
                break;
            }
            let waited = self.done.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// The thread: writes for as long as the process lives.
    fn run(&self) {
        let Some(sink) = self.lock().sink.take() else {
            return;
        };
        let mut route = Route::new(sink, Arc::clone(&self.missed));
        loop {
            match self.next() {
                Work::File(order) => route.apply(order),
                Work::Record(record) => match write(&mut route, &record) {
                    Ok(()) => self.lock().queue.written(),
                    Err(Refused) => self.lock().queue.refused(&record),
                },
            }
        }
    }

    fn next(&self) -> Work {
        let mut state = self.lock();
        loop {
            if let Some(order) = state.file_order.take() {
                return Work::File(order);
            }
            if let Some(record) = state.queue.pop(Instant::now()) {
                if state.queue.resumes() {
                    // The only error is that the counter is full: it is readable.
                    let _ = rustix::io::write(&self.resume, &1_u64.to_ne_bytes());
                }
                return Work::Record(record);
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
fn write(route: &mut Route, record: &Record) -> Result<(), Refused> {
    loop {
        match route.write(record) {
            Ok(()) => return Ok(()),
            Err(Failure::Refused) => return Err(Refused),
            Err(Failure::Absent) => thread::sleep(RETRY),
        }
    }
}

struct Refused;

/// What the thread does next.
enum Work {
    Record(Record),
    File(FileOrder),
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::console::{Console, Style};
    use std::fs::{self, File};

    #[test]
    fn after_a_thread_could_not_be_started_the_records_wait_for_the_next_attempt() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let console = Console::on(File::create(file.path()).unwrap(), Style::Plain, "stderr");
        let writer = Arc::new(Writer::new(Sink::Console(console)).unwrap());
        writer.push(Content::Dropped(7));

        // No machine has that much memory.
        writer.spawn(1 << 60).unwrap_err();
        assert_eq!(fs::read(file.path()).unwrap(), b"");

        assert!(writer.finish());
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.contains("7 log records were dropped"), "{text}");
    }
}
