//! The requests of a `gthread` worker on their way to its threads, and what those are
//! doing. No Python in here.
//!
//! ```text
//!  main thread                                     thread 1..N
//!  next_request ─▶ submit ─▶ queue ─────────────▶ take ─▶ the application
//!  collect ◀─────────────── finished requests ◀── end, then Responder::finish
//! ```
//!
//! A thread counts as free before its response is given back to the engine: that wakes the
//! main thread, which then finds it free.

use crate::companion::lock;
use rgunicorn_engine::{Clock, Request, Responder};
use rgunicorn_link::protocol::ListenerInfo;
use rgunicorn_link::scoreboard::{Counts, Outcome};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A request for a thread.
pub struct Job {
    pub request: Request,
    pub responder: Responder,
    pub clock: Clock,
}

pub struct ThreadPool {
    state: Mutex<State>,
    /// A job is in the queue, or the pool is stopped.
    work: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    threads: Vec<Thread>,
    /// Threads in no request.
    idle: usize,
    /// Threads that have not ended.
    alive: usize,
    is_stopped: bool,
    listeners: Vec<ListenerInfo>,
    finished: Finished,
    /// A thread ended because of this.
    failure: Option<String>,
}

#[derive(Default)]
struct Thread {
    /// Python's number for it.
    ident: u64,
    /// The method and the path of its last request.
    target: Vec<u8>,
    running: Option<Running>,
}

struct Running {
    start: Instant,
    since_ms: u64,
    is_reported: bool,
}

/// Requests that were answered since the last look.
#[derive(Default)]
pub struct Finished {
    pub requests: Vec<Request>,
    pub counts: Counts,
    /// How long they took together.
    pub time: Duration,
}

/// A request that was reported because it took long.
pub struct Late {
    /// Its method and path.
    pub target: String,
    pub time: Duration,
}

/// What the threads are doing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Threads that could take another request.
    pub free: usize,
    /// Threads in a request.
    pub busy: usize,
    /// When the oldest request began, in milliseconds of the monotonic clock.
    pub oldest_ms: Option<u64>,
    /// When the oldest began that was not reported yet.
    pub oldest_unreported_ms: Option<u64>,
}

/// A request that takes long.
pub struct Overdue {
    /// Python's number for its thread.
    pub ident: u64,
    /// From 1.
    pub thread: usize,
    /// Its method and path.
    pub target: String,
    pub age: Duration,
}

impl ThreadPool {
    /// For this number of threads, which are about to start.
    pub fn new(threads: usize) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                threads: (0..threads).map(|_| Thread::default()).collect(),
                idle: threads,
                alive: 0,
                is_stopped: false,
                listeners: Vec::new(),
                finished: Finished::default(),
                failure: None,
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    // The main thread.

    pub fn add_listeners(&self, infos: Vec<ListenerInfo>) {
        lock(&self.state).listeners.extend(infos);
    }

    /// Hands a request to a thread that is free.
    pub fn submit(&self, job: Job) {
        lock(&self.state).queue.push_back(job);
        self.work.notify_one();
    }

    /// What was finished since the last call, and what the threads are doing.
    pub fn collect(&self) -> (Finished, Activity) {
        let mut state = lock(&self.state);
        let running = || {
            let threads = state.threads.iter();
            threads.filter_map(|thread| thread.running.as_ref())
        };
        let activity = Activity {
            free: state.idle.saturating_sub(state.queue.len()),
            busy: state.threads.len() - state.idle,
            oldest_ms: running().map(|running| running.since_ms).min(),
            oldest_unreported_ms: running()
                .filter(|running| !running.is_reported)
                .map(|running| running.since_ms)
                .min(),
        };
        (std::mem::take(&mut state.finished), activity)
    }

    /// The requests that run for longer than `limit` and were not reported yet.
    pub fn take_overdue(&self, now_ms: u64, limit: Duration) -> Vec<Overdue> {
        let mut overdue = Vec::new();
        for (thread, number) in lock(&self.state).threads.iter_mut().zip(1..) {
            let Some(running) = &mut thread.running else {
                continue;
            };
            let age = Duration::from_millis(now_ms.saturating_sub(running.since_ms));
            if age >= limit && !running.is_reported {
                running.is_reported = true;
                overdue.push(Overdue {
                    ident: thread.ident,
                    thread: number,
                    target: String::from_utf8_lossy(&thread.target).into_owned(),
                    age,
                });
            }
        }
        overdue
    }

    /// Why a thread ended, if one failed.
    pub fn failure(&self) -> Option<String> {
        lock(&self.state).failure.take()
    }

    /// Lets each thread end that is in no request. Returns how many have not ended within
    /// `timeout`, or as soon as those that are left are all in a request.
    pub fn stop(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.state);
        state.is_stopped = true;
        self.work.notify_all();
        while state.alive > state.threads.len() - state.idle {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                break;
            };
            let waited = self.ended.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.alive
    }

    // The threads, by their index.

    /// A thread has started.
    pub fn start(&self, thread: usize, ident: u64) {
        let mut state = lock(&self.state);
        state.alive += 1;
        if let Some(thread) = state.threads.get_mut(thread) {
            thread.ident = ident;
        }
    }

    /// Waits for a request. With it come the listeners that the thread does not know, if it
    /// knows the first `known`. `None`: the thread has to end.
    pub fn take(&self, thread: usize, known: usize) -> Option<(Job, Vec<ListenerInfo>)> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.begin(thread) {
                let unknown = state.listeners.get(known..).unwrap_or_default().to_vec();
                return Some((job, unknown));
            }
            if state.is_stopped {
                return None;
            }
            state = self.wait(state);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.work.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread has answered its request. Returns that, if it was reported.
    pub fn end(
        &self,
        thread: usize,
        request: Request,
        bytes: u64,
        outcome: Outcome,
    ) -> Option<Late> {
        let mut state = lock(&self.state);
        let thread = state.threads.get_mut(thread)?;
        let running = thread.running.take()?;
        let time = running.start.elapsed();
        let late = running.is_reported.then(|| Late {
            target: String::from_utf8_lossy(&thread.target).into_owned(),
            time,
        });
        state.idle += 1;
        let finished = &mut state.finished;
        finished.requests.push(request);
        finished.time += time;
        finished.counts.requests += 1;
        finished.counts.errors += u64::from(outcome == Outcome::Error);
        finished.counts.bytes += bytes;
        late
    }

    /// A thread ends, because of `failure` if there is one.
    pub fn exit(&self, failure: Option<String>) {
        let mut state = lock(&self.state);
        state.alive = state.alive.saturating_sub(1);
        if failure.is_some() {
            state.failure = failure;
        }
        self.ended.notify_all();
    }
}

impl State {
    /// The next request, which now runs in this thread.
    fn begin(&mut self, thread: usize) -> Option<Job> {
        let thread = self.threads.get_mut(thread)?;
        let job = self.queue.pop_front()?;
        self.idle = self.idle.saturating_sub(1);
        thread.target.clear();
        thread.target.extend_from_slice(job.request.method());
        thread.target.push(b' ');
        thread.target.extend_from_slice(job.request.path());
        thread.running = Some(Running {
            start: Instant::now(),
            since_ms: job.clock.now_ms(),
            is_reported: false,
        });
        Some(job)
    }
}
