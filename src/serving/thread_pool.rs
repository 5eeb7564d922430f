//! The requests of a `gthread` worker on their way to its threads, and what those are
//! doing. No Python in here.
//!
//! ```text
//!  main thread                                     thread 1..N
//!  next_request ─▶ submit ─▶ queue ─────────────▶ take ─▶ the application
//!  collect ◀─────────────── finished requests ◀── end, then Responder::finish
//! ```
//!
//! Or one of the threads borrows the engine and answers in line, with no queue (`lending`).
//!
//! A thread counts as free before its response is given back to the engine: that wakes the
//! main thread, which then finds it free.

use crate::{NamedRequest, lock};
use rgunicorn_engine::{Clock, Request, RequestId, Responder, TimeOut};
use rgunicorn_link::protocol::ListenerInfo;
use rgunicorn_link::scoreboard::{Counts, Outcome};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A request for a thread.
pub struct Job {
    pub request: Request,
    pub responder: Responder,
    pub clock: Clock,
}

pub struct ThreadPool {
    state: Mutex<State>,
    /// A job is in the queue, the engine is to be borrowed, or the pool is stopped.
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
    /// Threads that sleep, and were not woken yet.
    asleep: usize,
    /// Threads that were woken, and still have to notice.
    woken: usize,
    /// The engine is for the first thread that comes.
    is_engine_lent: bool,
    /// A thread is to show that it gets the GIL, by looking for a request.
    is_look_wanted: bool,
    is_stopped: bool,
    listeners: Vec<ListenerInfo>,
    finished: Finished,
    /// Responses that are complete, and leave together: each that is sent wakes a client and
    /// the main thread, which then compete with the application for the processors.
    held: Vec<Responder>,
    /// When the first of them was completed.
    held_since: Option<Instant>,
    max_hold: Duration,
    /// A thread ended because of this.
    failure: Option<String>,
}

#[derive(Default)]
struct Thread {
    /// Python's number for it.
    ident: u64,
    /// Whether its request has taken the connection, and serves that for as long as it likes.
    taken: Arc<AtomicBool>,
    /// Its last one.
    request: NamedRequest,
    running: Option<Running>,
}

struct Running {
    start: Instant,
    since_ms: u64,
    id: RequestId,
    is_reported: bool,
    /// What became of it when `request_timeout` had passed.
    timed_out: Option<TimeOut>,
}

/// What the threads have done since the last look.
#[derive(Default)]
pub struct Finished {
    /// Requests that were answered.
    pub requests: Vec<Request>,
    pub counts: Counts,
    /// How long they took together.
    pub time: Duration,
    /// How often threads have looked for a request, which they do under the GIL.
    pub looks: usize,
    /// Responses that were held back for long enough.
    pub responders: Vec<Responder>,
}

/// What a thread does after a request.
#[derive(Default)]
pub struct Ended {
    /// Responses to be sent.
    pub responders: Vec<Responder>,
    /// The request, if it was reported.
    pub late: Option<Late>,
}

/// A request that was reported because it took long.
pub struct Late {
    pub request: NamedRequest,
    pub time: Duration,
}

/// What the threads are doing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Threads that could take another request at once.
    pub free: usize,
    /// Requests in the queue.
    pub queued: usize,
    /// Responses that are held back.
    pub held: usize,
    /// Threads in a request.
    pub busy: usize,
    /// Those of them that have a connection of their own.
    pub taken: usize,
    /// When the oldest request began, in milliseconds of the monotonic clock.
    pub oldest_ms: Option<u64>,
    /// When the oldest began that was not reported yet.
    pub oldest_unreported_ms: Option<u64>,
    /// When the oldest began that was not ended by `request_timeout`.
    pub oldest_untimed_ms: Option<u64>,
}

impl Activity {
    /// Whether a worker is of use that makes no progress. A thread whose request has a
    /// connection of its own may be in it for as long as it likes, but helps no request that
    /// waits for the other threads. `has_waited`: there is one, or was since the last progress.
    pub fn is_of_use(&self, has_waited: bool) -> bool {
        let others = self.busy.saturating_sub(self.taken);
        let has_own = self.taken > 0;
        self.queued == 0 && (self.free > 0 || (has_own && (others == 0 || !has_waited)))
    }
}

/// What a thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Requests are in the queue.
    Requests,
    /// Borrow the engine.
    Engine,
    End,
}

/// A request that takes long.
pub struct Overdue {
    /// Python's number for its thread.
    pub ident: u64,
    /// From 1.
    pub thread: usize,
    pub request: NamedRequest,
    pub age: Duration,
    /// It took longer than `request_timeout`.
    pub timed_out: Option<TimeOut>,
}

impl ThreadPool {
    /// For this number of threads, which are about to start. A response that is complete
    /// waits at most `max_hold` for others.
    pub fn new(threads: usize, max_hold: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                threads: (0..threads).map(|_| Thread::default()).collect(),
                idle: threads,
                alive: 0,
                asleep: 0,
                woken: 0,
                is_engine_lent: false,
                is_look_wanted: false,
                is_stopped: false,
                listeners: Vec::new(),
                finished: Finished::default(),
                held: Vec::new(),
                held_since: None,
                max_hold,
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

    /// Puts a request into the queue.
    pub fn submit(&self, job: Job) {
        lock(&self.state).queue.push_back(job);
    }

    /// Takes back what no thread has taken, the last one first. One of them will look all the
    /// same as soon as it gets the GIL.
    pub fn recall(&self) -> Vec<Job> {
        let mut state = lock(&self.state);
        let jobs = state.queue.drain(..).rev().collect();
        state.is_look_wanted = true;
        let busy = state.threads.len() - state.idle;
        self.wake_in(state, busy + 1);
        jobs
    }

    /// Wakes threads until `count` are awake.
    pub fn wake(&self, count: usize) {
        self.wake_in(lock(&self.state), count);
    }

    /// Lets a thread borrow the engine.
    pub fn lend_engine(&self) {
        let mut state = lock(&self.state);
        state.is_engine_lent = true;
        self.wake_in(state, 1);
    }

    /// `true`: no thread had come for it.
    pub fn withdraw_engine(&self) -> bool {
        std::mem::take(&mut lock(&self.state).is_engine_lent)
    }

    fn wake_in(&self, mut state: MutexGuard<'_, State>, count: usize) {
        let awake = state.alive.saturating_sub(state.asleep);
        let more = count.saturating_sub(awake).min(state.asleep);
        state.asleep -= more;
        state.woken += more;
        drop(state);
        for _ in 0..more {
            self.work.notify_one();
        }
    }

    /// What was finished since the last call, and what the threads are doing.
    pub fn collect(&self) -> (Finished, Activity) {
        let mut state = lock(&self.state);
        let running = || {
            let threads = state.threads.iter();
            threads.filter_map(|thread| thread.running.as_ref())
        };
        // A request that has taken its connection may last for as long as that.
        let limited = || {
            let threads = state.threads.iter().filter(|thread| !thread.has_taken());
            threads.filter_map(|thread| thread.running.as_ref())
        };
        let taken = state.threads.iter().filter(|thread| thread.has_taken());
        let mut activity = Activity {
            free: state.idle.saturating_sub(state.queue.len()),
            queued: state.queue.len(),
            held: state.held.len(),
            busy: state.threads.len() - state.idle,
            taken: taken.count(),
            oldest_ms: running().map(|running| running.since_ms).min(),
            oldest_unreported_ms: limited()
                .filter(|running| !running.is_reported)
                .map(|running| running.since_ms)
                .min(),
            oldest_untimed_ms: limited()
                .filter(|running| running.timed_out.is_none())
                .map(|running| running.since_ms)
                .min(),
        };
        let mut finished = std::mem::take(&mut state.finished);
        if state.is_held_for_long() {
            finished.responders = state.take_held();
            activity.held = 0;
        }
        (finished, activity)
    }

    /// Calls `show` with the method and the path of the oldest request, if there is one.
    pub fn with_oldest(&self, show: impl FnOnce(&[u8], &[u8])) {
        let state = lock(&self.state);
        let running = state.threads.iter().filter_map(|thread| {
            let since = thread.running.as_ref()?.start;
            Some((since, thread.request.method_and_path()))
        });
        if let Some((_, (method, path))) = running.min_by_key(|(since, _)| *since) {
            show(method, path);
        } else if let Some(job) = state.queue.front() {
            show(job.request.method(), job.request.path());
        }
    }

    /// Ends the requests that run for longer than `limit` by `time_out`. They are to be
    /// reported after that.
    pub fn time_out(
        &self,
        now_ms: u64,
        limit: Duration,
        mut time_out: impl FnMut(RequestId) -> TimeOut,
    ) {
        for thread in &mut lock(&self.state).threads {
            if thread.has_taken() {
                continue;
            }
            if let Some(running) = &mut thread.running {
                let age = Duration::from_millis(now_ms.saturating_sub(running.since_ms));
                if age >= limit && running.timed_out.is_none() {
                    running.timed_out = Some(time_out(running.id));
                    running.is_reported = false;
                }
            }
        }
    }

    /// The requests that run for longer than `limit` and were not reported yet.
    pub fn take_overdue(&self, now_ms: u64, limit: Duration) -> Vec<Overdue> {
        let mut overdue = Vec::new();
        for (thread, number) in lock(&self.state).threads.iter_mut().zip(1..) {
            if thread.has_taken() {
                continue;
            }
            let Some(running) = &mut thread.running else {
                continue;
            };
            let age = Duration::from_millis(now_ms.saturating_sub(running.since_ms));
            if age >= limit && !running.is_reported {
                running.is_reported = true;
                overdue.push(Overdue {
                    ident: thread.ident,
                    thread: number,
                    request: thread.request.clone(),
                    age,
                    timed_out: running.timed_out,
                });
            }
        }
        overdue
    }

    /// Why a thread ended, if one failed.
    pub fn failure(&self) -> Option<String> {
        lock(&self.state).failure.take()
    }

    pub fn has_failed(&self) -> bool {
        lock(&self.state).failure.is_some()
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

    /// By which a thread is told that its request has taken the connection.
    pub fn set_taken(&self, thread: usize, taken: Arc<AtomicBool>) {
        if let Some(thread) = lock(&self.state).threads.get_mut(thread) {
            thread.taken = taken;
        }
    }

    /// A thread has started.
    pub fn start(&self, thread: usize, ident: u64) {
        let mut state = lock(&self.state);
        state.alive += 1;
        if let Some(thread) = state.threads.get_mut(thread) {
            thread.ident = ident;
        }
    }

    /// The next request, if there is one.
    pub fn take(&self, thread: usize) -> Option<Job> {
        lock(&self.state).begin(thread)
    }

    /// Waits for something to do.
    pub fn wait(&self) -> Task {
        let mut state = lock(&self.state);
        loop {
            if !state.queue.is_empty() || state.is_look_wanted {
                return Task::Requests;
            }
            if std::mem::take(&mut state.is_engine_lent) {
                return Task::Engine;
            }
            if state.is_stopped {
                return Task::End;
            }
            state.asleep += 1;
            while state.woken == 0 && !state.is_stopped {
                let waited = self.work.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
            if state.woken > 0 {
                state.woken -= 1;
            } else {
                state.asleep -= 1;
            }
        }
    }

    /// The listeners that a thread does not know which knows the first `known`.
    pub fn new_listeners(&self, known: usize) -> Vec<ListenerInfo> {
        let state = lock(&self.state);
        state.listeners.get(known..).unwrap_or_default().to_vec()
    }

    /// A thread that has borrowed the engine begins with a request.
    pub fn begin_in_line(&self, thread: usize, request: &Request, now_ms: u64) {
        lock(&self.state).note_begin(thread, request, now_ms);
    }

    /// It has answered that, and still has the engine. Returns how long it took.
    pub fn end_in_line(&self, thread: usize) -> Duration {
        let mut state = lock(&self.state);
        state.idle += 1;
        let thread = state.threads.get_mut(thread);
        let running = thread.and_then(Thread::end);
        running.map_or(Duration::ZERO, |running| running.start.elapsed())
    }

    /// A thread has answered its request.
    pub fn end(
        &self,
        thread: usize,
        request: Request,
        responder: Option<Responder>,
        outcome: Outcome,
    ) -> Ended {
        let bytes = responder.as_ref().map_or(0, Responder::bytes);
        let mut state = lock(&self.state);
        state.hold(responder);
        let responders = if state.queue.is_empty() || state.is_held_for_long() {
            state.take_held()
        } else {
            Vec::new()
        };
        let late = state.note_end(thread, request, bytes, outcome);
        Ended { responders, late }
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

impl Thread {
    fn has_taken(&self) -> bool {
        self.taken.load(Relaxed)
    }

    /// Its request is over.
    fn end(&mut self) -> Option<Running> {
        if self.has_taken() {
            self.taken.store(false, Relaxed);
        }
        self.running.take()
    }
}

impl State {
    fn hold(&mut self, responder: Option<Responder>) {
        if let Some(responder) = responder {
            self.held.push(responder);
            self.held_since.get_or_insert_with(Instant::now);
        }
    }

    fn is_held_for_long(&self) -> bool {
        self.held_since
            .is_some_and(|since| since.elapsed() >= self.max_hold)
    }

    fn take_held(&mut self) -> Vec<Responder> {
        self.held_since = None;
        std::mem::take(&mut self.held)
    }

    fn note_end(
        &mut self,
        thread: usize,
        request: Request,
        bytes: u64,
        outcome: Outcome,
    ) -> Option<Late> {
        let thread = self.threads.get_mut(thread)?;
        let running = thread.end()?;
        let time = running.start.elapsed();
        let late = running.is_reported.then(|| Late {
            request: thread.request.clone(),
            time,
        });
        self.idle += 1;
        let finished = &mut self.finished;
        finished.requests.push(request);
        finished.time += time;
        finished.counts.requests += 1;
        let is_cut = matches!(
            running.timed_out,
            Some(TimeOut::Answered | TimeOut::BrokenOff)
        );
        finished.counts.errors += u64::from(is_cut || outcome == Outcome::Error);
        finished.counts.bytes += bytes;
        late
    }

    /// The next request, which now runs in this thread.
    fn begin(&mut self, thread: usize) -> Option<Job> {
        self.finished.looks += 1;
        self.is_look_wanted = false;
        let job = self.queue.pop_front()?;
        self.note_begin(thread, &job.request, job.clock.now_ms());
        Some(job)
    }

    fn note_begin(&mut self, thread: usize, request: &Request, since_ms: u64) {
        self.idle = self.idle.saturating_sub(1);
        let Some(thread) = self.threads.get_mut(thread) else {
            return;
        };
        thread.request.set(request);
        thread.running = Some(Running {
            start: Instant::now(),
            since_ms,
            id: request.id(),
            is_reported: false,
            timed_out: None,
        });
    }
}

#[cfg(test)]
mod tests;
