//! The thread that writes the access log, or sends metrics, and the queue in front of it. Whoever
//! adds a record never waits: neither for a disk, nor for a reader of a pipe, nor for a server.
//! What does not fit into the queue is dropped and counted.
//!
//! There is no thread before the first record: the worker may not have been forked, or may be
//! about to fork (Python warns of a fork with threads). A fork ends it, and the next record
//! starts another.

use crate::access_destination::{Destination, count, push_datagram};
use crate::{Reporter, lock};
use nix::sys::signal::{SigSet, SigmaskHow};
use rgunicorn_engine::AccessOutput;
use rgunicorn_link::protocol::{AccessDestination, Level};
use rgunicorn_link::remote::RemoteAddress;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The most bytes that wait; as many may be on their way into a file.
const LONGEST_QUEUE: usize = 1 << 20;

/// What is worth a write of its own.
const BATCH: usize = 64 * 1024;

/// How long a record waits for others at the longest.
const INTERVAL: Duration = Duration::from_millis(200);

/// The same for a server: what comes at once has to fit into its socket, which with the usual
/// limits holds less than 300 short datagrams.
const REMOTE_BATCH: usize = 4 * 1024;
const REMOTE_INTERVAL: Duration = Duration::from_millis(10);

/// How long a worker that leaves waits for what is left to be written.
pub(crate) const MAX_FINISH: Duration = Duration::from_secs(2);

/// How long a fork waits for the thread at the longest: better a warning than a request that
/// hangs. A server may be looked up by its name, which takes seconds.
const MAX_PAUSE: Duration = Duration::from_secs(1);
const MAX_REMOTE_PAUSE: Duration = Duration::from_millis(100);

/// How often the log says how many records are lost.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// What looks names up may need more than what writes.
const STACK_SIZE: usize = 256 * 1024;

/// The writers of this process, for [`pause_access_writers`].
static RUNNING: Mutex<Vec<Arc<Shared>>> = Mutex::new(Vec::new());

/// One destination of a worker's access log, or its metrics.
#[derive(Clone)]
pub struct AccessWriter {
    shared: Arc<Shared>,
    /// How many records are lost, for whoever counts them.
    lost: Arc<AtomicU64>,
    has_datagrams: bool,
    batch: usize,
    interval: Duration,
    content: Content,
    /// Who takes the records, in a sentence.
    taker: String,
    reporter: Reporter,
}

/// What is written.
#[derive(Debug, Clone, Copy)]
enum Content {
    AccessLog,
    Records,
    Metrics,
}

impl Content {
    /// As listings of threads show it.
    fn thread_name(self) -> &'static str {
        match self {
            Self::AccessLog => "access log",
            Self::Records => "syslog",
            Self::Metrics => "statsd",
        }
    }
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do.
    work: Condvar,
    /// The thread has ended.
    ended: Condvar,
    /// How long a fork waits for the thread.
    max_pause: Duration,
    /// Taken by the thread for as long as it lives.
    destination: Mutex<Destination>,
}

#[derive(Default)]
struct State {
    queue: Vec<u8>,
    /// The memory of a queue that was written.
    spare: Vec<u8>,
    has_thread: bool,
    thread: Option<JoinHandle<()>>,
    has_to_reopen: bool,
    stop: Option<Stop>,
    /// Records that are lost and were not reported.
    unreported: u64,
    /// Why, if writing failed; else the queue was full.
    error: Option<String>,
    last_report: Option<Instant>,
}

/// How the thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// At once; what is left is written by the next.
    Pause,
    /// When everything is written, or at this time.
    Finish(Instant),
}

impl AccessWriter {
    /// Opens the destination.
    pub fn open(destination: &AccessDestination, reporter: &Reporter) -> Self {
        let (opened, error) = Destination::open(destination);
        if let Some(error) = error {
            let text = format!("Cannot open the access log {}: {error}", opened.name());
            reporter.log(Level::Error, text);
        }
        Self::new(opened, Content::AccessLog, reporter)
    }

    /// For records that are not of the access log.
    pub fn open_syslog(address: &RemoteAddress, reporter: &Reporter) -> Self {
        Self::new(Destination::syslog(address), Content::Records, reporter)
    }

    /// For metrics.
    pub fn open_statsd(address: &RemoteAddress, reporter: &Reporter) -> Self {
        Self::new(Destination::statsd(address), Content::Metrics, reporter)
    }

    fn new(destination: Destination, content: Content, reporter: &Reporter) -> Self {
        let (batch, interval, max_pause) = if destination.is_remote() {
            (REMOTE_BATCH, REMOTE_INTERVAL, MAX_REMOTE_PAUSE)
        } else {
            (BATCH, INTERVAL, MAX_PAUSE)
        };
        Self {
            has_datagrams: destination.takes_datagrams(),
            batch,
            interval,
            taker: destination.taker(),
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                ended: Condvar::new(),
                max_pause,
                destination: Mutex::new(destination),
            }),
            lost: Arc::default(),
            content,
            reporter: reporter.clone(),
        }
    }

    /// Adds a record; never waits.
    pub(crate) fn push(&self, record: &[u8]) {
        let mut state = lock(&self.shared.state);
        let before = state.queue.len();
        if before + record.len() > LONGEST_QUEUE {
            self.lose(&mut state, 1, None);
            return;
        }
        if self.has_datagrams {
            push_datagram(&mut state.queue, record);
        } else {
            state.queue.extend_from_slice(record);
        }
        let is_batch = before < self.batch && state.queue.len() >= self.batch;
        if before == 0 || is_batch || !state.has_thread {
            self.wake(state);
        }
    }

    /// Opens a file anew, behind what is in the queue.
    pub fn reopen(&self) {
        let mut state = lock(&self.shared.state);
        state.has_to_reopen = true;
        self.wake(state);
    }

    /// How many records are lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Logs how many records are lost, unless that was done a short time ago.
    pub fn report_if_due(&self) {
        // Usually nothing was lost.
        if self.lost.load(Relaxed) > 0 {
            let mut state = lock(&self.shared.state);
            let is_due = (state.last_report).is_none_or(|last| last.elapsed() >= REPORT_INTERVAL);
            if is_due {
                self.report(&mut state);
            }
        }
    }

    fn report(&self, state: &mut State) {
        let count = std::mem::take(&mut state.unreported);
        if count == 0 {
            return;
        }
        state.last_report = Some(Instant::now());
        let s = if count == 1 { " was" } else { "s were" };
        let why = match state.error.take() {
            Some(error) => error,
            None => format!("{} takes them too slowly", self.taker),
        };
        let text = match self.content {
            Content::AccessLog => format!("{count} record{s} not written to the access log: {why}"),
            Content::Records => format!("{count} record{s} not sent: {why}"),
            Content::Metrics => format!("{count} metric{s} not sent: {why}"),
        };
        self.reporter.log(Level::Warning, text);
    }

    /// Writes what is left, before the worker leaves.
    pub fn finish(&self) {
        finish_all([self].into_iter());
    }

    fn begin_to_finish(&self, until: Instant) {
        let mut state = lock(&self.shared.state);
        if !state.queue.is_empty() || state.has_thread {
            state.stop = Some(Stop::Finish(until));
            self.wake(state);
        }
    }

    fn wait_for_finish(&self, until: Instant) {
        let mut state = wait_for_end(&self.shared, until + Duration::from_millis(100));
        let left = std::mem::take(&mut state.queue);
        let (count, has_thread) = (count(&left, self.has_datagrams), state.has_thread);
        self.lose(&mut state, count, None);
        if has_thread && count == 0 {
            // What it has taken is lost with the process.
            state.error = Some(format!("{} takes nothing", self.taker));
        }
        self.report(&mut state);
    }

    fn lose(&self, state: &mut State, count: u64, error: Option<String>) {
        self.lost.fetch_add(count, Relaxed);
        state.unreported += count;
        if error.is_some() {
            state.error = error;
        }
    }

    /// Lets the thread look, and starts one if there is none.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if state.has_thread {
            drop(state);
            self.shared.work.notify_one();
            return;
        }
        if state.stop == Some(Stop::Pause) {
            state.stop = None;
        }
        match self.start() {
            Ok(thread) => {
                state.has_thread = true;
                state.thread = Some(thread);
            }
            // The next record tries again; meanwhile the queue fills.
            Err(error) => state.error = Some(format!("cannot start a thread: {error}")),
        }
    }

    fn start(&self) -> io::Result<JoinHandle<()>> {
        let writer = self.clone();
        // Signals are for the main thread: a thread inherits what is blocked.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let thread = std::thread::Builder::new()
            .name(self.content.thread_name().to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || writer.run());
        if let Ok(before) = before {
            // It was valid when it was replaced.
            let _ = before.thread_set_mask();
        }
        let thread = thread?;
        let mut running = lock(&RUNNING);
        running.retain(|other| !Arc::ptr_eq(other, &self.shared));
        running.push(Arc::clone(&self.shared));
        Ok(thread)
    }

    // The thread.

    fn run(&self) {
        let mut destination = lock(&self.shared.destination);
        while let Some(mut batch) = self.next_batch() {
            if destination.is_closed() || destination.is_deleted() {
                self.reopen_now(&mut destination);
            }
            let written = destination.write(&batch, || self.may_wait());
            let mut state = lock(&self.shared.state);
            if let Some(error) = &written.error {
                let text = format!("{}: {error}", destination.name());
                self.lose(&mut state, written.lost, Some(text));
            }
            if written.bytes < batch.len() {
                // It was told to stop: the rest stays in front of what has come.
                batch.drain(..written.bytes);
                batch.extend_from_slice(&state.queue);
                state.queue = batch;
                let is_late = matches!(state.stop, Some(Stop::Finish(_)));
                if is_late {
                    let left = std::mem::take(&mut state.queue);
                    let count = count(&left, self.has_datagrams);
                    self.lose(&mut state, count, None);
                }
            } else {
                batch.clear();
                batch.shrink_to(2 * BATCH);
                state.spare = batch;
            }
            if state.has_to_reopen && state.queue.is_empty() {
                state.has_to_reopen = false;
                drop(state);
                self.reopen_now(&mut destination);
            }
        }
        drop(destination);
        lock(&self.shared.state).has_thread = false;
        self.shared.ended.notify_all();
    }

    fn reopen_now(&self, destination: &mut Destination) {
        if let Err(error) = destination.reopen() {
            let text = format!(
                "Cannot open the access log {} anew, and go on with the old file: {error}",
                destination.name()
            );
            self.reporter.log(Level::Error, text);
        }
    }

    /// Waits for records, or for the order to reopen. `None`: it is to end.
    fn next_batch(&self) -> Option<Vec<u8>> {
        let mut state = lock(&self.shared.state);
        let mut since = None;
        loop {
            if state.stop == Some(Stop::Pause) || state.stop.is_some() && state.queue.is_empty() {
                return None;
            }
            let is_urgent =
                state.stop.is_some() || state.has_to_reopen || state.queue.len() >= self.batch;
            if is_urgent {
                break;
            }
            if state.queue.is_empty() {
                let waited = self.shared.work.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            } else {
                let since = *since.get_or_insert_with(Instant::now);
                let Some(left) = self.interval.checked_sub(since.elapsed()) else {
                    break;
                };
                let waited = self.shared.work.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let spare = std::mem::take(&mut state.spare);
        Some(std::mem::replace(&mut state.queue, spare))
    }

    /// Whether the thread may wait for somebody who takes nothing.
    fn may_wait(&self) -> bool {
        match lock(&self.shared.state).stop {
            None => true,
            Some(Stop::Pause) => false,
            Some(Stop::Finish(until)) => Instant::now() < until,
        }
    }
}

/// Has all of them write what is left, in the time that one may take.
pub(crate) fn finish_all<'a>(writers: impl Iterator<Item = &'a AccessWriter> + Clone) {
    let until = Instant::now() + MAX_FINISH;
    for writer in writers.clone() {
        writer.begin_to_finish(until);
    }
    for writer in writers {
        writer.wait_for_finish(until);
    }
}

impl AccessOutput for AccessWriter {
    fn write(&mut self, record: &[u8]) {
        self.push(record);
    }
}

fn wait_for_end(shared: &Shared, until: Instant) -> MutexGuard<'_, State> {
    let mut state = lock(&shared.state);
    while state.has_thread {
        let Some(left) = until.checked_duration_since(Instant::now()) else {
            break;
        };
        let waited = shared.ended.wait_timeout(state, left);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    state
}

/// Ends the threads of this process, if there are any. The next record starts another.
pub fn pause_access_writers() {
    let writers = std::mem::take(&mut *lock(&RUNNING));
    for shared in &writers {
        let mut state = lock(&shared.state);
        if state.has_thread {
            state.stop.get_or_insert(Stop::Pause);
        }
        drop(state);
        shared.work.notify_one();
    }
    let start = Instant::now();
    for shared in &writers {
        let mut state = wait_for_end(shared, start + shared.max_pause);
        if !state.has_thread {
            state.stop = None;
            // It has nothing left to do but to end, and is counted until it has.
            if let Some(thread) = state.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sender;
    use rgunicorn_link::Link;
    use rgunicorn_link::remote::IpFamily;

    #[test]
    fn a_fork_does_not_wait_until_a_name_has_been_looked_up() {
        let (link, _master) = Link::pair().unwrap();
        let reporter = Reporter::new(Arc::new(link), Level::Info, Sender::Worker);
        let address = RemoteAddress::Udp {
            host: "127.0.0.1".to_owned(),
            port: 9,
            family: IpFamily::Any,
        };
        let time_of_a_fork = || {
            let writer = AccessWriter::open_statsd(&address, &reporter);
            // The thread gets no further, as in a lookup.
            let _lookup = lock(&writer.shared.destination);
            writer.push(b"gunicorn.requests:1|c");

            let start = Instant::now();
            pause_access_writers();

            assert!(lock(&writer.shared.state).has_thread);
            start.elapsed()
        };

        // A machine may stand still, but not each time.
        assert!((0..5).any(|_| time_of_a_fork() < MAX_PAUSE));
    }
}
