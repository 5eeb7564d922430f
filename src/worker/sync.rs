//! The `sync` class: the application is called in line, one request after the other, in
//! the thread that turns the engine.

use crate::companion::{Companion, lock};
use crate::forking;
use crate::reporter::Reporter;
use crate::serving::{MAX_HOLD, Serving};
use crate::signals::Signals;
use crate::wsgi::{Answered, Wsgi};
use pyo3::prelude::*;
use rgunicorn_engine::{Balance, Request};
use rgunicorn_link::protocol::{Level, Site};
use rgunicorn_link::scoreboard::Outcome;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct Sync {
    /// The companion has it while the application is in a long call.
    serving: Arc<Mutex<Serving>>,
    companion: Companion,
    wsgi: Wsgi,
    signals: Signals,
    reporter: Reporter,
    balance: Balance,
    /// Where the balance's time begins.
    start: Instant,
    /// It sends a heartbeat at least this often.
    heartbeat_interval: Duration,
}

impl Sync {
    pub fn new(
        serving: Serving,
        wsgi: Wsgi,
        signals: Signals,
        site: &Site,
        reporter: Reporter,
    ) -> io::Result<Self> {
        let serving = Arc::new(Mutex::new(serving));
        Ok(Self {
            companion: Companion::new(&serving, reporter.clone())?,
            serving,
            wsgi,
            signals,
            reporter,
            balance: Balance::default(),
            start: Instant::now(),
            heartbeat_interval: Duration::from_millis(site.beat_ms.max(10)),
        })
    }

    /// Serves until the worker has left.
    pub fn serve(mut self, py: Python<'_>) -> PyResult<()> {
        let served = self.run(py);
        self.wsgi.log_all_suppressed(&self.reporter);
        lock(&self.serving).log_unserved();
        match served {
            // A signal's exception found no application to interrupt.
            Err(_) if self.signals.quit() => Ok(()),
            served => served,
        }
    }

    fn run(&mut self, py: Python<'_>) -> PyResult<()> {
        loop {
            // Application code outside a request (signal handler, finalizer) may have
            // forked as well.
            forking::exit_if_child(py, &Ok(()));
            let slept = self.turn(py)?;
            py.check_signals()?;
            if self.signals.quit() {
                return Ok(());
            }
            let ready = self.prepare_requests(py)?;
            self.answer_all(py, ready)?;
            if self.signals.quit() {
                return Ok(());
            }
            if ready == 0 && !slept {
                // Clients keep the engine busy and no application code runs: its
                // threads would never get the GIL.
                py.detach(|| ());
            }
            if lock(&self.serving).is_done() {
                return Ok(());
            }
        }
    }

    /// Waits for events, and lets the engine handle them. `true`: the GIL was released
    /// meanwhile.
    ///
    /// The GIL is released only when there is nothing to do: under load each system call
    /// and each hand-over of the GIL counts.
    fn turn(&mut self, py: Python<'_>) -> PyResult<bool> {
        let mut serving = lock(&self.serving);
        let is_idle = serving.engine.turn(Duration::ZERO)? == 0;
        let now_ms = serving.engine.clock().now_ms();
        serving.beat(now_ms);
        self.wsgi.log_suppressed(now_ms, &self.reporter);
        let wait = serving.sleep_time(self.heartbeat_interval);
        if !is_idle || wait.is_zero() {
            return Ok(false);
        }
        self.companion.disarm();
        serving.scoreboard.sleeps(serving.row);
        let slept = serving.engine.try_accept().and_then(|found| {
            if found {
                return Ok(false);
            }
            let engine = &mut serving.engine;
            py.detach(|| engine.turn(wait)).map(|_| true)
        });
        serving.scoreboard.wakes(serving.row);
        self.balance.woke(self.start.elapsed());
        Ok(slept?)
    }

    /// Handles what is not a request, and gives requests to workers that have none. Returns
    /// how many to answer now: not those that become ready meanwhile, as the others' turn
    /// comes first.
    fn prepare_requests(&mut self, py: Python<'_>) -> PyResult<usize> {
        let mut serving = lock(&self.serving);
        serving.handle_events()?;
        let infos = serving.take_new_listeners();
        serving.wake_another_if_needed()?;
        let ready = serving.engine.ready();
        if ready > 1 {
            let now = self.start.elapsed();
            serving.give_surplus_away(&mut self.balance, ready, now);
        }
        let ready = serving.engine.ready();
        if ready > 0 {
            self.companion.arm(serving.engine.clock().now_ms());
        }
        drop(serving);
        for info in infos {
            self.wsgi.add_listener(py, &info)?;
        }
        Ok(ready)
    }

    fn answer_all(&mut self, py: Python<'_>, ready: usize) -> io::Result<()> {
        if ready == 1 {
            // A request that is alone is answered at once.
            self.answer_next(py, false);
            return lock(&self.serving).engine.accept_between_requests();
        }
        let start = Instant::now();
        let mut held_since = start;
        let mut count = 0;
        while usize::try_from(count).is_ok_and(|count| count < ready) {
            if !self.answer_next(py, true) || self.signals.quit() {
                break;
            }
            count += 1;
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
        Ok(())
    }

    /// `false`: no request was left.
    fn answer_next(&mut self, py: Python<'_>, hold: bool) -> bool {
        let (request, responder, clock) = {
            let mut serving = lock(&self.serving);
            let Some((request, responder)) = serving.engine.next_request() else {
                return false;
            };
            serving.begin_request(&request);
            (request, responder, serving.engine.clock().clone())
        };
        self.companion.call_begins();
        let (reporter, signals) = (&self.reporter, &self.signals);
        let answered = self
            .wsgi
            .answer(py, &request, responder, &clock, reporter, || signals.quit());
        self.companion.call_ends();
        self.end(request, answered, hold);
        true
    }

    /// `hold`: the response leaves with others.
    fn end(&self, request: Request, answered: Answered, hold: bool) {
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
                serving.end_request(bytes, outcome);
            }
            Answered::Kept => {
                engine.abort(id);
                serving.end_request(0, Outcome::Error);
            }
        }
        if let Err(error) = serving.engine.resume_intake() {
            let text = format!("Cannot watch the listeners: {error}");
            self.reporter.log(Level::Error, text);
        }
    }
}
