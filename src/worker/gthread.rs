//! The `gthread` class: the application is called in several Python threads. The main
//! thread turns the engine, unless requests are so quick that one thread can do all of it
//! (`lending`). It takes the GIL only where Python is needed (signals, the stacks of stuck
//! threads), so the connections never wait for the application.

use crate::application;
use crate::forking;
use crate::garbage;
use crate::pool_thread::PoolThread;
use crate::signals::Signals;
use crate::wsgi::Wsgi;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};
use rgunicorn_engine::Balance;
use rgunicorn_link::protocol::{Level, Site};
use rgunicorn_serving::{
    Activity, Back, CallWatch, Companion, Job, Lending, MAX_HOLD, Overdue, Pause, Reporter,
    Serving, ThreadPool, consequence, lock, request_timeout, send_held,
};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often the worker looks whether requests that wait need another thread or worker.
const TICK: Duration = Duration::from_millis(1);

/// How long no thread may finish a request before those that wait go to other workers.
const MAX_STALL: Duration = Duration::from_millis(2);

/// How long no thread may come for a request before it goes to another worker. A thread that
/// computes gives the GIL to others that want it every 5 ms.
const MAX_GIL_WAIT: Duration = Duration::from_millis(10);

/// How often the worker looks whether threads get the GIL again.
const RETRY: Duration = Duration::from_millis(10);

/// How long threads may take to end that are in no request.
const MAX_STOP: Duration = Duration::from_secs(1);

pub struct Gthread {
    serving: Arc<Mutex<Serving>>,
    /// While one of the threads has `serving`.
    lending: Arc<Lending>,
    /// Until then the engine is not lent.
    lend_from: Instant,
    pause: Pause,
    /// Serves while the main thread waits for the GIL.
    companion: Companion,
    /// By which it notices that.
    watch: Arc<CallWatch>,
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
    /// Since when requests wait and no thread has finished or taken one.
    stalled_since: Option<Instant>,
    /// Requests have waited since a thread was free, or made progress.
    has_waited: bool,
    /// Threads were woken for requests and have not come for them.
    is_gil_kept: bool,
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

/// What the threads have done since the last look.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// They have answered a request.
    has_finished: bool,
    /// They have looked for one, so they get the GIL.
    has_looked: bool,
}

/// What the main thread needs Python for.
#[derive(Debug, Clone, Copy)]
enum Need {
    Python,
    ReportOverdue,
    CollectGarbage,
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
    ) -> io::Result<Self> {
        let request_timeout = request_timeout(site);
        let timeout = (site.timeout_ms > 0).then(|| Duration::from_millis(site.timeout_ms));
        let serving = Arc::new(Mutex::new(serving));
        let watch = Arc::new(CallWatch::new()?);
        Ok(Self {
            companion: Companion::new(&serving, &watch, reporter.clone()),
            watch,
            serving,
            lending: Arc::new(Lending::new()?),
            lend_from: Instant::now(),
            pause: Pause::default(),
            wsgi,
            signals,
            site: Arc::clone(site),
            reporter,
            pool: Arc::new(ThreadPool::new(threads, MAX_HOLD)),
            thread_count: threads,
            threads: Vec::new(),
            balance: Balance::default(),
            start: Instant::now(),
            report_limit: [timeout, request_timeout].into_iter().flatten().min(),
            request_timeout,
            stalled_since: None,
            has_waited: false,
            is_gil_kept: false,
            heartbeat_interval: Duration::from_millis(site.beat_ms.max(10)),
        })
    }

    /// Serves until the worker has left.
    pub fn serve(mut self, py: Python<'_>) -> PyResult<Left> {
        let served = self.start_threads(py).and_then(|()| self.run(py));
        let left = self.stop_threads(py);
        self.wsgi.log_all_suppressed(&self.reporter);
        lock(&self.serving).log_unserved();
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
            let wsgi = self.wsgi.for_thread(py, &self.site)?;
            self.pool.set_taken(index, wsgi.taken());
            let thread = PoolThread::new(
                index,
                wsgi,
                &self.pool,
                &self.serving,
                &self.lending,
                self.heartbeat_interval,
                &self.reporter,
            );
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
            let need = py.detach(|| {
                let need = self.work()?;
                self.leave_connections_to_companion();
                io::Result::Ok(need)
            })?;
            let handled = self.handle(py, need);
            self.watch.call_ends();
            self.watch.disarm();
            self.companion.call_ended();
            if !handled? {
                return Ok(());
            }
        }
    }

    /// The main thread is about to take the GIL, for which it may have to wait.
    fn leave_connections_to_companion(&mut self) {
        self.recall(&mut lock(&self.serving));
        self.companion.ensure_running();
        // If it fails, the connections wait as well.
        let _ = self.watch.arm();
        self.watch.call_begins();
    }

    /// Does what Python is needed for. `false`: the worker leaves.
    fn handle(&mut self, py: Python<'_>, need: Need) -> PyResult<bool> {
        if let Some(failure) = self.pool.failure() {
            return Err(PyRuntimeError::new_err(failure));
        }
        match need {
            Need::Python => py.check_signals()?,
            Need::ReportOverdue => self.report_overdue(py),
            Need::CollectGarbage => {
                let freed = garbage::collect(py)?;
                lock(&self.serving).collected(freed);
            }
            Need::Leave => return Ok(false),
        }
        // A handler of the application's may have forked.
        forking::exit_if_child(py, &Ok(()));
        Ok(!self.signals.quit())
    }

    /// Serves until Python is needed.
    fn work(&mut self) -> io::Result<Need> {
        let shared = Arc::clone(&self.serving);
        let mut serving = lock(&shared);
        loop {
            serving.handle_events()?;
            if serving.take_signalled() {
                return Ok(Need::Python);
            }
            if serving.take_collect() {
                return Ok(Need::CollectGarbage);
            }
            let infos = serving.take_new_listeners();
            if !infos.is_empty() {
                self.pool.add_listeners(infos);
            }
            serving.wake_another_if_needed()?;
            let (activity, progress) = self.collect(&mut serving);
            if self.may_lend(&serving, activity) {
                serving.engine.resume_intake()?;
                drop(serving);
                let lent_since = Instant::now();
                let back = self.lending.lend(&self.pool, || send_held(&shared))?;
                if self.pool.has_failed() {
                    return Ok(Need::Python);
                }
                serving = lock(&shared);
                if back == Back::Taken {
                    self.lend_from = Instant::now() + self.pause.next(lent_since.elapsed());
                    serving.engine.update_clock();
                    serving.engine.send_held();
                }
                continue;
            }
            let activity = self.hand_out(&mut serving, activity, progress)?;
            serving.is_application_busy = activity.free == 0;
            if serving.is_done() {
                return Ok(Need::Leave);
            }
            let now_ms = serving.engine.clock().now_ms();
            let limits = self.limits(activity);
            if let (Some(due_ms), Some(limit)) = (limits.time_out_ms, self.request_timeout) {
                if due_ms <= now_ms {
                    let engine = &mut serving.engine;
                    self.pool.time_out(now_ms, limit, |id| engine.time_out(id));
                    return Ok(Need::ReportOverdue);
                }
            }
            if limits.report_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                return Ok(Need::ReportOverdue);
            }
            self.turn(&mut serving, activity)?;
        }
    }

    /// Whether one of the threads can have the engine.
    fn may_lend(&self, serving: &Serving, activity: Activity) -> bool {
        activity.busy + activity.queued + activity.held == 0
            && self.lending.pace.is_quick()
            && !self.lending.is_borrowed()
            && !serving.needs_main_thread()
            && Instant::now() >= self.lend_from
    }

    /// Takes what the threads have finished.
    fn collect(&mut self, serving: &mut Serving) -> (Activity, Progress) {
        let (finished, activity) = self.pool.collect();
        let engine = &mut serving.engine;
        if forking::has_forked() {
            engine.share_sockets();
        }
        let progress = Progress {
            has_finished: finished.counts.requests > 0,
            has_looked: finished.looks > 0,
        };
        self.is_gil_kept &= !progress.has_looked;
        if progress.has_finished {
            let count = u32::try_from(finished.counts.requests).unwrap_or(u32::MAX);
            let threads = u32::try_from(self.thread_count).unwrap_or(u32::MAX);
            self.balance.add(count, finished.time / threads.max(1));
            self.lending.pace.add(finished.time / count);
        }
        for responder in finished.responders {
            engine.finish(responder);
        }
        for request in finished.requests {
            engine.recycle(request);
        }
        if let Some(row) = serving.scoreboard.row(serving.row) {
            row.count(finished.counts);
        }
        (activity, progress)
    }

    /// Gives requests to the threads that are in none.
    fn hand_out(
        &mut self,
        serving: &mut Serving,
        mut activity: Activity,
        progress: Progress,
    ) -> io::Result<Activity> {
        let engine = &mut serving.engine;
        let now_ms = engine.clock().now_ms();
        let is_gil_kept = self.is_gil_kept && serving.scoreboard.others_serve(serving.row);
        while activity.free > 0 && !is_gil_kept {
            let Some((request, responder)) = engine.next_request() else {
                break;
            };
            let clock = engine.clock().clone();
            self.pool.submit(Job {
                request,
                responder,
                clock,
            });
            activity.free -= 1;
            activity.queued += 1;
            activity.oldest_ms = activity.oldest_ms.or(Some(now_ms));
            activity.oldest_unreported_ms = activity.oldest_unreported_ms.or(Some(now_ms));
            activity.oldest_untimed_ms = activity.oldest_untimed_ms.or(Some(now_ms));
        }
        self.note_stall(activity, serving.engine.ready(), progress);
        if activity.queued > 0 {
            self.pool.wake(activity.busy + activity.queued);
        }
        let activity = self.recall_if_gil_is_kept(serving, activity);
        self.share(serving, activity, progress.has_finished)?;
        self.wsgi.log_suppressed(now_ms, &self.reporter);
        let connections = serving.engine.connections() as u64;
        if let Some(row) = serving.scoreboard.row(serving.row) {
            if activity.oldest_ms.is_some() {
                self.pool
                    .with_oldest(|method, path| row.set_request(method, path));
            }
            row.set_load(activity.oldest_ms.unwrap_or(0), connections);
        }
        // While all threads stay in the same requests, or none takes those that wait for one
        // (another keeps the GIL), nothing says that the worker is of any use: if that lasts
        // for `timeout`, the master replaces it.
        let is_of_use = activity.is_of_use(self.has_waited) && !self.is_gil_kept;
        if is_of_use || progress.has_finished || progress.has_looked {
            serving.beat(now_ms);
        }
        Ok(activity)
    }

    /// Notes since when requests wait and no thread has finished or taken one.
    fn note_stall(&mut self, activity: Activity, ready: usize, progress: Progress) {
        let waits = activity.queued + ready > 0;
        let progresses = progress.has_finished || progress.has_looked;
        if progresses || !waits {
            self.stalled_since = None;
        }
        // Also if those that wait give up.
        self.has_waited = (self.has_waited || waits) && !progresses && activity.free == 0;
        if waits {
            self.stalled_since.get_or_insert_with(Instant::now);
        }
    }

    fn stalled(&self) -> Duration {
        self.stalled_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Takes the requests back that no thread has taken.
    fn recall(&self, serving: &mut Serving) {
        for job in self.pool.recall() {
            serving.engine.put_back(job.request, job.responder);
        }
    }

    /// Takes requests back that were given to threads which do not come: code of the
    /// application's keeps the GIL. Other workers can have them.
    fn recall_if_gil_is_kept(&mut self, serving: &mut Serving, activity: Activity) -> Activity {
        if activity.queued == 0
            || self.stalled() < MAX_GIL_WAIT
            || !serving.scoreboard.others_serve(serving.row)
        {
            return activity;
        }
        self.recall(serving);
        self.is_gil_kept = true;
        Activity {
            free: 0,
            queued: 0,
            ..activity
        }
    }

    /// Gives requests that find no free thread to other workers, if that is worth it.
    fn share(
        &mut self,
        serving: &mut Serving,
        activity: Activity,
        has_finished: bool,
    ) -> io::Result<()> {
        let stalled = self.stalled();
        let now = self.start.elapsed();
        if activity.free > 0 && !self.is_gil_kept {
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
        serving.accept_while_busy()
    }

    /// Waits for events, and lets the engine handle them.
    fn turn(&self, serving: &mut Serving, activity: Activity) -> io::Result<()> {
        let limits = self.limits(activity);
        let is_idle = activity.busy + activity.queued == 0;
        if is_idle && serving.engine.turn(Duration::ZERO)? > 0 {
            return Ok(());
        }
        let max = if serving.engine.ready() + activity.queued + activity.held > 0 {
            TICK
        } else if self.is_gil_kept {
            RETRY
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
        let now_ms = lock(&self.serving).engine.clock().now_ms();
        for overdue in self.pool.take_overdue(now_ms, limit) {
            let Overdue {
                ident,
                thread,
                request,
                age,
                timed_out,
            } = overdue;
            let consequence = timed_out.map_or("", consequence);
            let stack = stack(py, ident).unwrap_or_else(|error| format!("unknown: {error}"));
            let text = format!(
                "The request {} has run for {} s in the thread rgunicorn-{thread}\
                 {consequence}; its stack:\n{stack}",
                request.line(),
                age.as_secs()
            );
            self.reporter
                .log_request(Level::Warning, text, request.info());
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
