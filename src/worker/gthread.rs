//! The `gthread` class: the application is called in several Python threads. The main
//! thread turns the engine; it takes the GIL only where Python is needed (signals, the
//! stacks of stuck threads), so the connections never wait for the application.

use crate::application;
use crate::companion::lock;
use crate::forking;
use crate::reporter::Reporter;
use crate::serving::{self, Serving};
use crate::signals::Signals;
use crate::thread_pool::{Activity, Ended, Job, Late, Overdue, ThreadPool};
use crate::wsgi::{Answered, Wsgi};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};
use rgunicorn_engine::Balance;
use rgunicorn_link::protocol::{Level, Site};
use rgunicorn_link::scoreboard::Outcome;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often the worker looks whether requests that wait need another thread or worker.
const TICK: Duration = Duration::from_millis(1);

/// How long no thread may finish a request before those that wait go to other workers.
const MAX_STALL: Duration = Duration::from_millis(2);

/// One thread after the other takes requests that are quicker than this: several would only
/// wait for each other, and each hand-over of the GIL costs as much as a request.
const QUICK: Duration = Duration::from_micros(200);

/// A request that runs for longer than this, by the engine's coarse clock, is not quick.
const MAX_QUICK_MS: u64 = 4;

/// How many quick requests wait for the thread that is awake.
const MAX_QUEUED: usize = 16;

/// How long threads may take to end that are in no request.
const MAX_STOP: Duration = Duration::from_secs(1);

pub struct Gthread {
    serving: Serving,
    /// Not called: each thread has its own. It logs what they left out.
    wsgi: Wsgi,
    signals: Signals,
    site: Arc<Site>,
    reporter: Reporter,
    pool: Arc<ThreadPool>,
    thread_count: usize,
    threads: Vec<Py<PyAny>>,
    balance: Balance,
    /// Where the balance's time begins.
    start: Instant,
    /// After which a request is logged with its stack.
    report_limit: Option<Duration>,
    request_timeout: Option<Duration>,
    /// How long a request takes, averaged over the last ones.
    mean: Duration,
    /// Since when requests wait and no thread has finished one.
    stalled_since: Option<Instant>,
    /// It sends a heartbeat at least this often.
    heartbeat_interval: Duration,
}

/// How a worker left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Python may end as it always does.
    Cleanly,
    /// Threads are still in the application.
    WithThreads,
}

/// When the oldest request has to be looked at, in milliseconds of the engine's clock.
struct Limits {
    report_ms: Option<u64>,
    time_out_ms: Option<u64>,
}

/// What the main thread needs Python for.
enum Need {
    Signals,
    ReportOverdue,
    Leave,
}

impl Gthread {
    pub fn new(
        serving: Serving,
        wsgi: Wsgi,
        signals: Signals,
        site: &Arc<Site>,
        threads: usize,
        reporter: Reporter,
    ) -> Self {
        let request_timeout = serving::request_timeout(site);
        let timeout = (site.timeout_ms > 0).then(|| Duration::from_millis(site.timeout_ms));
        Self {
            serving,
            wsgi,
            signals,
            site: Arc::clone(site),
            reporter,
            pool: Arc::new(ThreadPool::new(threads)),
            thread_count: threads,
            threads: Vec::new(),
            balance: Balance::default(),
            start: Instant::now(),
            report_limit: [timeout, request_timeout].into_iter().flatten().min(),
            request_timeout,
            mean: TICK,
            stalled_since: None,
            heartbeat_interval: Duration::from_millis(site.beat_ms.max(10)),
        }
    }

    /// Serves until the worker has left.
    pub fn serve(mut self, py: Python<'_>) -> PyResult<Left> {
        let served = self.start_threads(py).and_then(|()| self.run(py));
        let left = self.stop_threads(py);
        self.wsgi.log_all_suppressed(&self.reporter);
        self.serving.log_unserved();
        match served {
            // A signal's exception found no application to interrupt.
            Err(_) if self.signals.quit() => left,
            Err(error) if left.as_ref().is_ok_and(|left| *left == Left::WithThreads) => {
                let text = format!("Worker stops: {}", application::traceback(py, &error));
                self.reporter.log(Level::Error, text);
                left
            }
            Err(error) => Err(error),
            Ok(()) => left,
        }
    }

    fn start_threads(&mut self, py: Python<'_>) -> PyResult<()> {
        let threading = py.import("threading")?;
        for index in 0..self.thread_count {
            let thread = Thread {
                index,
                wsgi: self.wsgi.for_thread(py, &self.site)?,
                pool: Arc::clone(&self.pool),
                reporter: self.reporter.clone(),
                listeners: 0,
            };
            let thread = Mutex::new(Some(thread));
            let target = PyCFunction::new_closure(py, None, None, move |arguments, _| {
                let thread = lock(&thread).take();
                if let Some(mut thread) = thread {
                    thread.run(arguments.py());
                }
            })?;
            let options = PyDict::new(py);
            options.set_item("target", target)?;
            options.set_item("name", format!("rgunicorn-{}", index + 1))?;
            // Python must not wait for a request that is stuck.
            options.set_item("daemon", true)?;
            let thread = threading.call_method("Thread", (), Some(&options))?;
            thread.call_method0("start")?;
            self.threads.push(thread.unbind());
        }
        Ok(())
    }

    fn stop_threads(&self, py: Python<'_>) -> PyResult<Left> {
        let pool = &self.pool;
        if py.detach(|| pool.stop(MAX_STOP)) > 0 {
            return Ok(Left::WithThreads);
        }
        for thread in &self.threads {
            thread.call_method0(py, "join")?;
        }
        Ok(Left::Cleanly)
    }

    fn run(&mut self, py: Python<'_>) -> PyResult<()> {
        loop {
            let need = py.detach(|| self.work())?;
            if let Some(failure) = self.pool.failure() {
                return Err(PyRuntimeError::new_err(failure));
            }
            match need {
                Need::Signals => py.check_signals()?,
                Need::ReportOverdue => self.report_overdue(py),
                Need::Leave => return Ok(()),
            }
            // A handler of the application's may have forked.
            forking::exit_if_child(py, &Ok(()));
            if self.signals.quit() {
                return Ok(());
            }
        }
    }

    /// Serves until Python is needed.
    fn work(&mut self) -> io::Result<Need> {
        loop {
            self.serving.handle_events()?;
            if self.serving.take_signalled() {
                return Ok(Need::Signals);
            }
            let infos = self.serving.take_new_listeners();
            if !infos.is_empty() {
                self.pool.add_listeners(infos);
            }
            self.serving.wake_another_if_needed()?;
            let activity = self.hand_out()?;
            if self.serving.is_done() {
                return Ok(Need::Leave);
            }
            let now_ms = self.serving.engine.clock().now_ms();
            let limits = self.limits(activity);
            if let (Some(due_ms), Some(limit)) = (limits.time_out_ms, self.request_timeout) {
                if due_ms <= now_ms {
                    let engine = &mut self.serving.engine;
                    self.pool.time_out(now_ms, limit, |id| engine.time_out(id));
                    return Ok(Need::ReportOverdue);
                }
            }
            if limits.report_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                return Ok(Need::ReportOverdue);
            }
            self.turn(activity)?;
        }
    }

    /// Takes what the threads have finished, and gives them requests.
    fn hand_out(&mut self) -> io::Result<Activity> {
        let (finished, mut activity) = self.pool.collect();
        let engine = &mut self.serving.engine;
        let now_ms = engine.clock().now_ms();
        if forking::has_forked() {
            engine.share_sockets();
        }
        let has_finished = finished.counts.requests > 0;
        if has_finished {
            let count = u32::try_from(finished.counts.requests).unwrap_or(u32::MAX);
            let threads = u32::try_from(self.thread_count).unwrap_or(u32::MAX);
            self.balance.add(count, finished.time / threads.max(1));
            // The last ones have the weight of a quarter.
            self.mean = (self.mean * 3 + finished.time / count) / 4;
        }
        for responder in finished.responders {
            engine.finish(responder);
        }
        for request in finished.requests {
            engine.recycle(request);
        }
        let is_quick = self.mean < QUICK
            && activity
                .oldest_ms
                .is_none_or(|since_ms| now_ms <= since_ms + MAX_QUICK_MS);
        let idle = activity.free + activity.queued;
        let max_queued = if is_quick { idle.max(MAX_QUEUED) } else { idle };
        let mut has_begun = false;
        while activity.queued < max_queued {
            let Some((request, responder)) = engine.next_request() else {
                break;
            };
            let clock = engine.clock().clone();
            self.pool.submit(Job {
                request,
                responder,
                clock,
            });
            activity.queued += 1;
            activity.oldest_ms = activity.oldest_ms.or(Some(now_ms));
            activity.oldest_unreported_ms = activity.oldest_unreported_ms.or(Some(now_ms));
            activity.oldest_untimed_ms = activity.oldest_untimed_ms.or(Some(now_ms));
            has_begun = true;
        }
        activity.free = idle.saturating_sub(activity.queued);
        self.note_stall(activity, has_finished);
        if activity.queued > 0 {
            let is_enough = is_quick && self.stalled() < TICK;
            let wanted = if is_enough {
                1
            } else {
                activity.busy + activity.queued
            };
            self.pool.wake(wanted);
        }
        self.share(activity, has_finished)?;
        self.wsgi.log_suppressed(now_ms, &self.reporter);
        let connections = self.serving.engine.connections() as u64;
        if let Some(row) = self.serving.scoreboard.row(self.serving.row) {
            row.count(finished.counts);
            row.set_load(activity.oldest_ms.unwrap_or(0), connections);
        }
        // While all threads stay in the same requests, nothing says that the worker is of any
        // use: if that lasts for `timeout`, the master replaces it.
        if activity.free > 0 || has_finished || has_begun {
            self.serving.beat(now_ms);
        }
        Ok(activity)
    }

    /// Notes since when requests wait and no thread has finished one.
    fn note_stall(&mut self, activity: Activity, has_finished: bool) {
        let waits = activity.queued + self.serving.engine.ready() > 0;
        if has_finished || !waits {
            self.stalled_since = None;
        }
        if waits {
            self.stalled_since.get_or_insert_with(Instant::now);
        }
    }

    fn stalled(&self) -> Duration {
        self.stalled_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Gives requests that find no free thread to other workers, if that is worth it.
    fn share(&mut self, activity: Activity, has_finished: bool) -> io::Result<()> {
        let stalled = self.stalled();
        let serving = &mut self.serving;
        let now = self.start.elapsed();
        if activity.free > 0 {
            self.balance.woke(now);
            return serving.engine.resume_intake();
        }
        // Each request that is finished makes room for one new connection.
        serving.engine.accept_between_requests()?;
        let ready = serving.engine.ready();
        if ready == 0 {
            return serving.engine.resume_intake();
        }
        if stalled >= MAX_STALL && serving.scoreboard.others_serve(serving.row) {
            // As in `Serving::time_out_current`.
            if self.request_timeout.is_some_and(|limit| stalled >= limit) {
                serving.engine.resume_intake()?;
            } else {
                serving.engine.suspend_intake()?;
            }
            serving.engine.give_requests_away(usize::MAX);
        } else {
            serving.give_surplus_away(&mut self.balance, ready + 1, now);
            if has_finished {
                serving.engine.resume_intake()?;
            } else {
                // A listener with connections would end each wait at once.
                serving.engine.suspend_intake()?;
            }
        }
        Ok(())
    }

    /// Waits for events, and lets the engine handle them.
    fn turn(&mut self, activity: Activity) -> io::Result<()> {
        let limits = self.limits(activity);
        let serving = &mut self.serving;
        let is_idle = activity.busy + activity.queued == 0;
        if is_idle && serving.engine.turn(Duration::ZERO)? > 0 {
            return Ok(());
        }
        let max = if serving.engine.ready() + activity.queued + activity.held > 0 {
            TICK
        } else {
            self.heartbeat_interval
        };
        let due_ms = [limits.report_ms, limits.time_out_ms];
        let now_ms = serving.engine.clock().now_ms();
        let max = due_ms.into_iter().flatten().fold(max, |max, due_ms| {
            max.min(Duration::from_millis(due_ms.saturating_sub(now_ms) + 1))
        });
        let wait = serving.sleep_time_while_busy(max);
        if activity.free == 0 {
            serving.engine.turn(wait)?;
            return Ok(());
        }
        // It could take requests from others.
        serving.scoreboard.sleeps(serving.row);
        let found = is_idle && serving.engine.try_accept()?;
        let turned = if found {
            Ok(0)
        } else {
            serving.engine.turn(wait)
        };
        serving.scoreboard.wakes(serving.row);
        turned.map(drop)
    }

    fn limits(&self, activity: Activity) -> Limits {
        let due = |since_ms: Option<u64>, limit: Option<Duration>| {
            let limit_ms = u64::try_from(limit?.as_millis()).ok()?;
            Some(since_ms?.saturating_add(limit_ms))
        };
        Limits {
            report_ms: due(activity.oldest_unreported_ms, self.report_limit),
            time_out_ms: due(activity.oldest_untimed_ms, self.request_timeout),
        }
    }

    /// Logs requests that take longer than the limits, with the stacks of their threads.
    fn report_overdue(&self, py: Python<'_>) {
        let Some(limit) = self.report_limit else {
            return;
        };
        let now_ms = self.serving.engine.clock().now_ms();
        for overdue in self.pool.take_overdue(now_ms, limit) {
            let Overdue {
                ident,
                thread,
                target,
                age,
                timed_out,
            } = overdue;
            let consequence = timed_out.map_or("", serving::consequence);
            let stack = stack(py, ident).unwrap_or_else(|error| format!("unknown: {error}"));
            let text = format!(
                "The request {target} has run for {} s in the thread rgunicorn-{thread}\
                 {consequence}; its stack:\n{stack}",
                age.as_secs()
            );
            self.reporter.log(Level::Warning, text);
        }
    }
}

/// The stack of another Python thread.
fn stack(py: Python<'_>, ident: u64) -> PyResult<String> {
    let frames = py.import("sys")?.call_method0("_current_frames")?;
    let frame = frames.get_item(ident)?;
    let lines: Vec<String> = py
        .import("traceback")?
        .call_method1("format_stack", (frame,))?
        .extract()?;
    Ok(lines.concat().trim_end().to_owned())
}

/// What one of the threads needs.
struct Thread {
    index: usize,
    wsgi: Wsgi,
    pool: Arc<ThreadPool>,
    reporter: Reporter,
    /// How many listeners its `wsgi` knows.
    listeners: usize,
}

impl Thread {
    fn run(&mut self, py: Python<'_>) {
        let answered = self.answer_all(py);
        let failure = answered
            .as_ref()
            .err()
            .map(|error| format!("a thread ended: {error}"));
        self.pool.exit(failure);
    }

    fn answer_all(&mut self, py: Python<'_>) -> PyResult<()> {
        let ident = py.import("threading")?.call_method0("get_ident")?;
        self.pool.start(self.index, ident.extract()?);
        loop {
            let Some((job, infos)) = self.pool.take(self.index, self.listeners) else {
                // The GIL is released only here: application code that waits for something
                // does that itself.
                let pool = &self.pool;
                if py.detach(|| pool.wait()) {
                    continue;
                }
                return Ok(());
            };
            for info in infos {
                self.wsgi.add_listener(py, &info)?;
                self.listeners += 1;
            }
            self.answer(py, job);
        }
    }

    fn answer(&mut self, py: Python<'_>, job: Job) {
        let Job {
            request,
            responder,
            clock,
        } = job;
        // No signal ends the application in this thread: its `SystemExit` is its own.
        let is_quitting = || false;
        let reporter = &self.reporter;
        let answered = self
            .wsgi
            .answer(py, &request, responder, &clock, reporter, is_quitting);
        let (responder, outcome) = match answered {
            Answered::Complete(responder, outcome) => (Some(responder), outcome),
            Answered::Kept => (None, Outcome::Error),
        };
        let Ended { responders, late } = self.pool.end(self.index, request, responder, outcome);
        if let Some(Late { target, time }) = late {
            let text = format!("The request {target} ended after {} s", time.as_secs());
            reporter.log(Level::Warning, text);
        }
        for responder in responders {
            responder.finish();
        }
    }
}
