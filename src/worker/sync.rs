//! The `sync` class: the application is called in line, one request after the other, in
//! the main thread.

use crate::forking;
use crate::in_line::{Class, InLine, Turned};
use crate::signals::Signals;
use crate::wsgi::Wsgi;
use pyo3::prelude::*;
use rgunicorn_engine::Request;
use rgunicorn_link::protocol::Site;
use rgunicorn_serving::{CallWatch, Companion, Reporter, Serving, lock};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Sync {
    /// The companion has it while the application is in a long call.
    serving: Arc<Mutex<Serving>>,
    line: InLine<SyncClass>,
    wsgi: Wsgi,
    reporter: Reporter,
}

struct SyncClass {
    companion: Companion,
    signals: Signals,
}

impl Class for SyncClass {
    fn expect(&mut self) {
        self.companion.ensure_running();
    }

    fn begin(&mut self, serving: &mut Serving, request: &Request) {
        serving.note_current(request);
        serving.begin_request(request);
    }

    fn call_ended(&mut self) {
        self.companion.call_ended();
    }

    fn is_quitting(&self) -> bool {
        self.signals.quit()
    }
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
        let watch = Arc::new(CallWatch::new()?);
        let class = SyncClass {
            companion: Companion::new(&serving, &watch, reporter.clone()),
            signals,
        };
        let heartbeat = Duration::from_millis(site.beat_ms.max(10));
        Ok(Self {
            line: InLine::new(class, &serving, &watch, heartbeat, reporter.clone()),
            serving,
            wsgi,
            reporter,
        })
    }

    /// Serves until the worker has left.
    pub fn serve(mut self, py: Python<'_>) -> PyResult<()> {
        let served = self.run(py);
        self.wsgi.log_all_suppressed(&self.reporter);
        lock(&self.serving).log_unserved();
        match served {
            // A signal's exception found no application to interrupt.
            Err(_) if self.line.class.is_quitting() => Ok(()),
            served => served,
        }
    }

    fn run(&mut self, py: Python<'_>) -> PyResult<()> {
        loop {
            // Application code outside a request (signal handler, finalizer) may have
            // forked as well.
            forking::exit_if_child(py, &Ok(()));
            let turned = self.line.turn(py, &self.wsgi)?;
            py.check_signals()?;
            if self.line.class.is_quitting() {
                return Ok(());
            }
            let (ready, infos, has_to_collect) = {
                let mut serving = lock(&self.serving);
                serving.handle_events()?;
                (
                    self.line.prepare(&mut serving)?,
                    serving.take_new_listeners(),
                    serving.take_collect(),
                )
            };
            for info in infos {
                self.wsgi.add_listener(py, &info)?;
            }
            self.line.answer_all(py, &mut self.wsgi, ready)?;
            if self.line.class.is_quitting() {
                return Ok(());
            }
            if has_to_collect {
                self.line.collect_garbage(py)?;
            }
            if ready == 0 && turned == Turned::Busy {
                self.line.let_others_run(py)?;
            }
            if lock(&self.serving).is_done() {
                return Ok(());
            }
        }
    }
}
