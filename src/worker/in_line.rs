//! Requests answered in line: one after the other, in the thread that turns the engine.
//! Under load that costs no hand-over of anything: neither of requests, nor of the
//! interpreter's lock.

use crate::current_request;
use crate::forking;
use crate::garbage;
use crate::wsgi::{Answered, Wsgi};
use pyo3::prelude::*;
use rgunicorn_engine::{Balance, Request};
use rgunicorn_link::protocol::Level;
use rgunicorn_link::scoreboard::Outcome;
use rgunicorn_serving::{CallWatch, MAX_HOLD, Reporter, Serving, lock};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a class adds to the way of a request.
pub trait Class: Send {
    /// Requests are about to go to the application.
    fn expect(&mut self) {}
    fn begin(&mut self, serving: &mut Serving, request: &Request);
    /// The application's call is over.
    fn call_ended(&mut self) {}
    fn end(&mut self, serving: &mut Serving, bytes: u64, outcome: Outcome) {
        serving.end_request(bytes, outcome);
    }
    /// The engine was taken away while the application answered this request.
    fn end_without_engine(&mut self, _: Request, _: Answered) {}
    /// Whether a signal has ended the worker.
    fn is_quitting(&self) -> bool {
        false
    }
    /// Whether the next request is to be answered in line as well.
    fn goes_on(&self) -> bool {
        !self.is_quitting()
    }
}

pub struct InLine<C> {
    pub class: C,
    /// Another thread has it while the application is in a long call.
    serving: Arc<Mutex<Serving>>,
    watch: Arc<CallWatch>,
    /// When the timer of `watch` was set, by the engine's clock; `None`: it does not run.
    armed_ms: Option<u64>,
    reporter: Reporter,
    balance: Balance,
    /// Where the balance's time begins.
    start: Instant,
    /// It sends a heartbeat at least this often.
    heartbeat_interval: Duration,
}

/// What a turn of the engine has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// The GIL was not released.
    Busy,
    Slept,
    /// Another thread has taken the engine.
    Taken,
}

impl<C: Class> InLine<C> {
    pub fn new(
        class: C,
        serving: &Arc<Mutex<Serving>>,
        watch: &Arc<CallWatch>,
        heartbeat_interval: Duration,
        reporter: Reporter,
    ) -> Self {
        Self {
            class,
            serving: Arc::clone(serving),
            watch: Arc::clone(watch),
            armed_ms: None,
            reporter,
            balance: Balance::default(),
            start: Instant::now(),
            heartbeat_interval,
        }
    }

    /// To be called when another thread had the engine before.
    pub fn begin(&mut self) {
        // The timer runs, and was not set for this thread's requests.
        self.armed_ms = Some(0);
        self.balance.woke(self.start.elapsed());
    }

    /// Waits for events, and lets the engine handle them.
    ///
    /// The GIL is released only when there is nothing to do: under load each system call
    /// and each hand-over of the GIL counts.
    pub fn turn(&mut self, py: Python<'_>, wsgi: &Wsgi) -> PyResult<Turned> {
        let mut serving = lock(&self.serving);
        let is_idle = serving.engine.turn(Duration::ZERO)? == 0;
        let now_ms = serving.engine.clock().now_ms();
        serving.beat(now_ms);
        wsgi.log_suppressed(now_ms, &self.reporter);
        let wait = serving.sleep_time(self.heartbeat_interval);
        if !is_idle || wait.is_zero() {
            return Ok(Turned::Busy);
        }
        if self.armed_ms.take().is_some() {
            self.watch.disarm();
        }
        let row = serving.row;
        serving.scoreboard.sleeps(row);
        let found = serving.engine.try_accept();
        if !matches!(found, Ok(false)) {
            serving.scoreboard.wakes(row);
            self.balance.woke(self.start.elapsed());
            return Ok(found.map(|_| Turned::Busy)?);
        }
        drop(serving);
        self.sleep(py, wait)
    }

    /// Waits for events without the GIL.
    fn sleep(&mut self, py: Python<'_>, wait: Duration) -> PyResult<Turned> {
        let serving = Arc::clone(&self.serving);
        let slept = self.without_gil(py, |class| {
            let mut serving = lock(&serving);
            let slept = serving.engine.turn(wait);
            serving.scoreboard.wakes(serving.row);
            if matches!(slept, Ok(count) if count > 0) {
                class.expect();
            }
            (slept, serving.engine.clock().now_ms())
        })?;
        self.balance.woke(self.start.elapsed());
        match slept {
            Some(slept) => {
                slept?;
                Ok(Turned::Slept)
            }
            None => Ok(Turned::Taken),
        }
    }

    /// Lets the application's threads have the GIL, when clients keep the engine busy and no
    /// application code runs. `false`: another thread has taken the engine.
    pub fn let_others_run(&mut self, py: Python<'_>) -> io::Result<bool> {
        let now_ms = lock(&self.serving).engine.clock().now_ms();
        let ran = self.without_gil(py, |class| {
            class.expect();
            ((), now_ms)
        })?;
        Ok(ran.is_some())
    }

    /// Does something without the GIL; `run` returns the engine's time as well. To get the
    /// GIL back counts as a call: code that keeps it delays the connections no more than a
    /// request that takes long. `None`: another thread has taken the engine.
    fn without_gil<T: Send>(
        &mut self,
        py: Python<'_>,
        run: impl FnOnce(&mut C) -> (T, u64) + Send,
    ) -> io::Result<Option<T>> {
        let (watch, class) = (&*self.watch, &mut self.class);
        let armed_ms = &mut self.armed_ms;
        let result = py.detach(|| {
            let (result, now_ms) = run(class);
            if *armed_ms != Some(now_ms) {
                *armed_ms = watch.arm().is_ok().then_some(now_ms);
            }
            watch.call_begins();
            result
        });
        if !self.watch.call_ends() {
            return Ok(None);
        }
        self.class.call_ended();
        lock(&self.serving).engine.resume_intake()?;
        Ok(Some(result))
    }

    /// Makes ready for the requests that came, and gives some to workers that have none.
    /// Returns how many to answer now: not those that become ready meanwhile, as the
    /// others' turn comes first.
    pub fn prepare(&mut self, serving: &mut Serving) -> io::Result<usize> {
        serving.wake_another_if_needed()?;
        let ready = serving.engine.ready();
        if ready > 1 {
            let now = self.start.elapsed();
            serving.give_surplus_away(&mut self.balance, ready, now);
        }
        let ready = serving.engine.ready();
        if ready > 0 {
            self.class.expect();
            self.arm(serving.engine.clock().now_ms());
        }
        Ok(ready)
    }

    /// Collects garbage between two requests. As in a request that takes long, another
    /// thread goes on with the connections.
    pub fn collect_garbage(&mut self, py: Python<'_>) -> PyResult<()> {
        self.class.expect();
        let now_ms = lock(&self.serving).engine.clock().now_ms();
        self.arm(now_ms);
        self.watch.call_begins();
        let collected = garbage::collect(py);
        if self.watch.call_ends() {
            self.class.call_ended();
            let mut serving = lock(&self.serving);
            serving.engine.resume_intake()?;
            serving.collected(collected?);
        }
        Ok(())
    }

    fn arm(&mut self, now_ms: u64) {
        if self.armed_ms != Some(now_ms) {
            self.armed_ms = self.watch.arm().is_ok().then_some(now_ms);
        }
    }

    /// Answers `ready` requests. `false`: another thread has taken the engine.
    pub fn answer_all(
        &mut self,
        py: Python<'_>,
        wsgi: &mut Wsgi,
        ready: usize,
    ) -> io::Result<bool> {
        if ready == 1 {
            // A request that is alone is answered at once.
            if self.answer_next(py, wsgi, false) == Next::Taken {
                return Ok(false);
            }
            lock(&self.serving).engine.accept_between_requests()?;
            return Ok(true);
        }
        let start = Instant::now();
        let mut held_since = start;
        let mut count = 0;
        while usize::try_from(count).is_ok_and(|count| count < ready) {
            match self.answer_next(py, wsgi, true) {
                Next::Answered => count += 1,
                Next::Nothing => break,
                Next::Taken => return Ok(false),
            }
            if !self.class.goes_on() {
                break;
            }
            let now = Instant::now();
            let mut serving = lock(&self.serving);
            if now - held_since > MAX_HOLD {
                serving.engine.send_held();
                held_since = now;
            }
            // Another may have nothing to do by now.
            let waiting = serving.engine.ready();
            serving.give_surplus_away(&mut self.balance, waiting, now - self.start);
            serving.engine.accept_between_requests()?;
        }
        if count > 0 {
            lock(&self.serving).engine.send_held();
            self.balance.add(count, start.elapsed());
        }
        Ok(true)
    }

    fn answer_next(&mut self, py: Python<'_>, wsgi: &mut Wsgi, hold: bool) -> Next {
        let (request, responder, clock) = {
            let mut serving = lock(&self.serving);
            let Some((request, responder)) = serving.engine.next_request() else {
                return Next::Nothing;
            };
            self.class.begin(&mut serving, &request);
            (request, responder, serving.engine.clock().clone())
        };
        self.watch.call_begins();
        let (reporter, class) = (&self.reporter, &self.class);
        let is_quitting = || class.is_quitting();
        let answered = current_request::during(&request, || {
            wsgi.answer(py, &request, responder, &clock, reporter, is_quitting)
        });
        if !self.watch.call_ends() {
            self.class.end_without_engine(request, answered);
            return Next::Taken;
        }
        self.class.call_ended();
        self.end(request, answered, hold);
        Next::Answered
    }

    /// `hold`: the response leaves with others.
    fn end(&mut self, request: Request, answered: Answered, hold: bool) {
        let mut serving = lock(&self.serving);
        let engine = &mut serving.engine;
        engine.update_clock();
        if forking::has_forked() {
            engine.share_sockets();
        }
        let id = request.id();
        engine.recycle(request);
        match answered {
            Answered::Complete(responder, outcome) => {
                let bytes = responder.bytes();
                if hold {
                    engine.finish_later(responder);
                } else {
                    engine.finish(responder);
                }
                self.class.end(&mut serving, bytes, outcome);
            }
            Answered::Kept => {
                engine.abort(id);
                self.class.end(&mut serving, 0, Outcome::Error);
            }
        }
        if let Err(error) = serving.engine.resume_intake() {
            let text = format!("Cannot watch the listeners: {error}");
            self.reporter.log(Level::Error, text);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Answered,
    Nothing,
    Taken,
}
