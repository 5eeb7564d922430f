//! One of the threads of a `gthread` worker: it answers the requests of the queue, or
//! borrows the engine and answers them in line.

use crate::current_request;
use crate::forking;
use crate::in_line::{Class, InLine, Turned};
use crate::wsgi::{Answered, Wsgi};
use pyo3::prelude::*;
use rgunicorn_engine::Request;
use rgunicorn_link::protocol::Level;
use rgunicorn_link::scoreboard::Outcome;
use rgunicorn_serving::{Ended, Job, Late, Lending, Reporter, Serving, Task, ThreadPool, lock};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct PoolThread {
    shared: Shared,
    /// To be used only while it has the engine.
    serving: Arc<Mutex<Serving>>,
    wsgi: Wsgi,
    /// How many listeners its `wsgi` knows.
    listeners: usize,
    line: InLine<Shared>,
}

/// What it shares with the main thread.
#[derive(Clone)]
struct Shared {
    /// Its number in the pool.
    index: usize,
    pool: Arc<ThreadPool>,
    lending: Arc<Lending>,
    reporter: Reporter,
}

impl PoolThread {
    pub fn new(
        index: usize,
        wsgi: Wsgi,
        pool: &Arc<ThreadPool>,
        serving: &Arc<Mutex<Serving>>,
        lending: &Arc<Lending>,
        heartbeat_interval: Duration,
        reporter: &Reporter,
    ) -> Self {
        let shared = Shared {
            index,
            pool: Arc::clone(pool),
            lending: Arc::clone(lending),
            reporter: reporter.clone(),
        };
        let (class, watch, reporter) = (shared.clone(), &lending.watch, reporter.clone());
        Self {
            line: InLine::new(class, serving, watch, heartbeat_interval, reporter),
            serving: Arc::clone(serving),
            shared,
            wsgi,
            listeners: 0,
        }
    }

    /// Works until the pool is stopped.
    pub fn run(&mut self, py: Python<'_>) {
        let mut exit = Exit {
            pool: Arc::clone(&self.shared.pool),
            failure: Some("a thread panicked".to_owned()),
        };
        exit.failure = match self.work(py) {
            Ok(()) => None,
            Err(error) => Some(format!("a thread ended: {error}")),
        };
    }

    fn work(&mut self, py: Python<'_>) -> PyResult<()> {
        let ident = py.import("threading")?.call_method0("get_ident")?;
        let pool = Arc::clone(&self.shared.pool);
        pool.start(self.shared.index, ident.extract()?);
        loop {
            while let Some(job) = pool.take(self.shared.index) {
                self.learn_listeners(py)?;
                self.answer(py, job);
            }
            // The GIL is released only here: application code that waits for something
            // does that itself.
            match py.detach(|| pool.wait()) {
                Task::Requests => {}
                Task::Engine => self.borrow_engine(py)?,
                Task::End => return Ok(()),
            }
        }
    }

    fn learn_listeners(&mut self, py: Python<'_>) -> PyResult<()> {
        for info in self.shared.pool.new_listeners(self.listeners) {
            self.wsgi.add_listener(py, &info)?;
            self.listeners += 1;
        }
        Ok(())
    }

    fn answer(&mut self, py: Python<'_>, job: Job) {
        let Job {
            request,
            responder,
            clock,
        } = job;
        // No signal ends the application in this thread: its `SystemExit` is its own.
        let is_quitting = || false;
        let reporter = &self.shared.reporter;
        let wsgi = &mut self.wsgi;
        let answered = current_request::during(&request, || {
            wsgi.answer(py, &request, responder, &clock, reporter, is_quitting)
        });
        self.shared.end(request, answered);
    }

    fn borrow_engine(&mut self, py: Python<'_>) -> PyResult<()> {
        let lending = Arc::clone(&self.shared.lending);
        let Some(_borrowed) = lending.borrow() else {
            return Ok(());
        };
        self.line.begin();
        self.learn_listeners(py)?;
        loop {
            // Application code outside a request (a finalizer) may have forked as well.
            forking::exit_if_child(py, &Ok(()));
            let turned = self.line.turn(py, &self.wsgi)?;
            if turned == Turned::Taken {
                return Ok(());
            }
            let ready = {
                let mut serving = lock(&self.serving);
                serving.handle_events()?;
                if serving.needs_main_thread() || !lending.pace.is_quick() {
                    return Ok(());
                }
                self.line.prepare(&mut serving)?
            };
            if !self.line.answer_all(py, &mut self.wsgi, ready)? {
                return Ok(());
            }
            if ready == 0 && turned == Turned::Busy && !self.line.let_others_run(py)? {
                return Ok(());
            }
        }
    }
}

/// Tells the pool that its thread ends, also if it panics.
struct Exit {
    pool: Arc<ThreadPool>,
    failure: Option<String>,
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.pool.exit(self.failure.take());
    }
}

impl Shared {
    /// A request was answered while the main thread has the engine.
    fn end(&self, request: Request, answered: Answered) {
        let (responder, outcome) = match answered {
            Answered::Complete(responder, outcome) => (Some(responder), outcome),
            Answered::Kept => (None, Outcome::Error),
        };
        let Ended { responders, late } = self.pool.end(self.index, request, responder, outcome);
        if let Some(Late { request, time }) = late {
            let text = format!(
                "The request {} ended after {} s",
                request.line(),
                time.as_secs()
            );
            self.reporter
                .log_request(Level::Warning, text, request.info());
        }
        for responder in responders {
            responder.finish();
        }
    }
}

impl Class for Shared {
    fn begin(&mut self, serving: &mut Serving, request: &Request) {
        // Not as the current one: the pool knows it, and may keep it beside others.
        serving.begin_request(request);
        let now_ms = serving.engine.clock().now_ms();
        self.pool.begin_in_line(self.index, request, now_ms);
    }

    fn end(&mut self, serving: &mut Serving, bytes: u64, outcome: Outcome) {
        serving.end_request(bytes, outcome);
        self.lending.pace.add(self.pool.end_in_line(self.index));
    }

    fn goes_on(&self) -> bool {
        self.lending.pace.is_quick()
    }

    fn end_without_engine(&mut self, request: Request, answered: Answered) {
        Shared::end(self, request, answered);
    }
}
