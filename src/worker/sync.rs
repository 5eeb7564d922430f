//! The `sync` worker: it loads the application, borrows the listeners, and serves
//! until it is asked to leave. The application is called in line, one request
//! after the other, in the thread that runs the engine.

use crate::application;
use crate::forking;
use crate::process;
use crate::reporter::{Reporter, Sender};
use crate::retire_flag::RetireFlag;
use crate::signals::{BlockedSignals, Signals};
use crate::wsgi::{Answered, Wsgi};
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use rgunicorn_engine::http::Limits;
use rgunicorn_engine::{Engine, Notice, Peer, Request, Responder, Settings, Token, close_on_fork};
use rgunicorn_link::protocol::{
    FromWorker, Idle, Level, ListenerInfo, LoadFailure, Site, ToWorker,
};
use rgunicorn_link::scoreboard::{Outcome, Row, now_ms};
use rgunicorn_link::{Link, Received, Scoreboard};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The engine's number for the link to the master.
const LINK: Token = Token(0);
/// The engine's number for the descriptor that signals make readable.
const WAKE: Token = Token(1);

/// How long a worker without a master finishes what it has, in milliseconds.
const ORPHAN_MS: u64 = 30_000;

/// How long an idle connection may still ask for something when everything stops.
const IDLE_TIMEOUT_WHEN_STOPPING: Duration = Duration::from_secs(1);

/// A retiring worker leaves this much before the master would kill it, in milliseconds.
const MARGIN_MS: u64 = 500;

pub struct Worker {
    pub number: u32,
    /// Its row on the scoreboard.
    pub row: usize,
    pub site: Rc<Site>,
    pub scoreboard: Arc<Scoreboard>,
    /// To the master.
    pub link: Rc<Link>,
    /// The application, if it was preloaded.
    pub app: Option<Py<PyAny>>,
    /// The signals by which it leaves, until it handles them.
    pub blocked: BlockedSignals,
}

impl Worker {
    /// Works until it is asked to leave. Returns the process's exit status.
    pub fn run(self, py: Python<'_>) -> PyResult<u8> {
        let Self {
            number,
            row,
            site,
            scoreboard,
            link,
            app,
            blocked,
        } = self;
        // For as long as this process lives: the application's children close these.
        let _listed = (
            close_on_fork::list(&*link),
            close_on_fork::list(&*scoreboard),
        );
        process::set_title(&format!("rgunicorn: worker {number} [{}]", site.proc_name));
        let signals = Signals::install(py)?;
        drop(blocked);
        let pid = i32::try_from(std::process::id())?;
        // From here on the master sends signals. If it is gone, and with it the
        // reason to be here, that is no failure.
        if link.send(&FromWorker::Started { pid }, &[]).is_err() {
            return Ok(0);
        }
        let reporter = Reporter::new(Rc::clone(&link), site.loglevel, Sender::Worker);
        let app = match app {
            Some(app) => app,
            None => match application::load(py, &site) {
                Ok(app) => app,
                Err(_) if signals.quit() => return Ok(0),
                Err(failure) => return Ok(report_failure(&link, failure)),
            },
        };
        if signals.quit() {
            // The application caught the exception that should have ended it.
            return Ok(0);
        }
        process::allow_descriptors(&site, &reporter);
        let mut engine = Engine::new(settings(&site))?;
        engine.watch(&*link, LINK)?;
        engine.watch(signals.wake(), WAKE)?;
        let retire_flag = RetireFlag::new(&scoreboard, row);
        let retired = retire_flag.clone();
        engine.accept_while(move || !retired.is_set());
        let Some(row) = scoreboard.row(row) else {
            let summary = format!("the scoreboard has no row {row}");
            return Ok(report_failure(
                &link,
                LoadFailure {
                    status: application::FAILED_TO_BOOT,
                    summary,
                    traceback: String::new(),
                },
            ));
        };
        if link.send(&FromWorker::Ready, &[]).is_err() {
            return Ok(0);
        }
        row.beat(now_ms(), 0);
        let mut serving = Serving {
            site: &site,
            scoreboard: &scoreboard,
            link: &link,
            row,
            wsgi: Wsgi::new(py, app, &site, retire_flag)?,
            heartbeat_interval: Duration::from_millis(site.beat_ms.max(10)),
            engine,
            reporter,
            signals,
            leave_ms: None,
        };
        let served = serving.run(py);
        serving.wsgi.log_all_suppressed(&serving.reporter);
        match served {
            // A signal's exception found no application to interrupt.
            Err(error) if error.is_instance_of::<PySystemExit>(py) && serving.signals.quit() => {
                Ok(0)
            }
            Err(error) => {
                let text = format!("Worker stops: {}", application::traceback(py, &error));
                serving.reporter.log(Level::Error, text);
                Ok(1)
            }
            Ok(()) => Ok(0),
        }
    }
}

fn report_failure(link: &Link, failure: LoadFailure) -> u8 {
    let status = failure.status;
    // If the master is gone, there is nowhere to report to.
    let _ = link.send(&FromWorker::LoadFailed(failure), &[]);
    status
}

/// A worker that serves.
struct Serving<'a> {
    site: &'a Site,
    scoreboard: &'a Scoreboard,
    link: &'a Link,
    row: &'a Row,
    wsgi: Wsgi,
    /// It sends a heartbeat at least this often.
    heartbeat_interval: Duration,
    engine: Engine,
    reporter: Reporter,
    signals: Signals,
    /// When it leaves, finished or not; `None` while it is not retiring.
    leave_ms: Option<u64>,
}

impl Serving<'_> {
    fn run(&mut self, py: Python<'_>) -> PyResult<()> {
        loop {
            // Application code outside a request (signal handler, finalizer) may have
            // forked as well.
            forking::exit_if_child(py, &Ok(()));
            // The GIL is released only when there is nothing to do: under load each
            // system call and each hand-over of the GIL counts.
            let is_idle = self.engine.turn(Duration::ZERO)? == 0;
            let now_ms = self.engine.clock().now_ms();
            self.row.beat(now_ms, self.engine.connections() as u64);
            self.wsgi.log_suppressed(now_ms, &self.reporter);
            let mut python_ran = is_idle && self.sleep(py)?;
            py.check_signals()?;
            if self.signals.quit() {
                return Ok(());
            }
            self.handle_events(py)?;
            if self.engine.take_more_waiting() && self.scoreboard.has_sleepers() {
                self.engine.wake_another()?;
            }
            // Not those that become ready meanwhile: the others' turn comes first.
            for _ in 0..self.engine.ready() {
                let Some((request, responder)) = self.engine.next_request() else {
                    break;
                };
                python_ran = true;
                self.answer(py, request, responder);
                if self.signals.quit() {
                    return Ok(());
                }
            }
            if !python_ran {
                // Clients keep the engine busy and no application code runs: its
                // threads would never get the GIL.
                py.detach(|| ());
            }
            if self.is_done() {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, py: Python<'_>, request: Request, responder: Responder) {
        let now_ms = self.engine.clock().now_ms();
        self.row.begin(now_ms);
        let clock = self.engine.clock();
        let (reporter, signals) = (&self.reporter, &self.signals);
        let answered = self
            .wsgi
            .answer(py, &request, responder, clock, reporter, signals);
        self.engine.update_clock();
        let now_ms = self.engine.clock().now_ms();
        if forking::has_forked() {
            self.engine.share_sockets();
        }
        match answered {
            Answered::Complete(responder, outcome) => {
                self.row.end(now_ms, responder.bytes(), outcome);
                self.engine.finish(responder);
            }
            Answered::Kept => self.row.end(now_ms, 0, Outcome::Error),
        }
        self.engine.recycle(request);
    }

    /// Waits for events, at most until the next heartbeat is due. `true`: the GIL was
    /// released meanwhile.
    fn sleep(&mut self, py: Python<'_>) -> PyResult<bool> {
        let wait = self.engine.next_timeout(self.heartbeat_interval);
        if wait.is_zero() {
            return Ok(false);
        }
        let (engine, scoreboard) = (&mut self.engine, self.scoreboard);
        scoreboard.sleeps();
        let slept = engine.try_accept().and_then(|found| {
            if found {
                return Ok(false);
            }
            py.detach(|| engine.turn(wait)).map(|_| true)
        });
        scoreboard.wakes();
        Ok(slept?)
    }

    /// Handles what is not a request: the master's orders, signals, the engine's notices.
    fn handle_events(&mut self, py: Python<'_>) -> PyResult<()> {
        for token in self.engine.take_watched() {
            if token == LINK {
                self.handle_orders(py)?;
            } else {
                self.signals.drain();
                py.check_signals()?;
            }
        }
        if self.signals.retire() && self.leave_ms.is_none() {
            self.retire(ORPHAN_MS, Idle::Serve)?;
        }
        let (notices, dropped) = self.engine.take_notices();
        if !notices.is_empty() {
            self.log_notices(notices, dropped);
        }
        Ok(())
    }

    fn handle_orders(&mut self, py: Python<'_>) -> PyResult<()> {
        loop {
            match self.link.receive()? {
                Received::Message(ToWorker::Listen(infos), fds) => self.listen(py, &infos, fds)?,
                Received::Message(ToWorker::Retire { within_ms, idle }, _) => {
                    self.retire(within_ms, idle)?;
                }
                Received::Nothing => return Ok(()),
                // Without a master there is nobody to reload, restart or stop it.
                Received::Closed => {
                    self.engine.unwatch(self.link)?;
                    return self.retire(ORPHAN_MS, Idle::Serve);
                }
            }
        }
    }

    fn listen(
        &mut self,
        py: Python<'_>,
        infos: &[ListenerInfo],
        fds: Vec<OwnedFd>,
    ) -> PyResult<()> {
        let mut fds = fds.into_iter();
        for (number, (info, fd)) in (0..).zip(infos.iter().zip(&mut fds)) {
            self.wsgi.add_listener(py, info)?;
            self.engine.listen(fd, number)?;
        }
        if let Some(nudge) = fds.next() {
            self.engine.set_wake_fd(nudge)?;
        }
        Ok(())
    }

    fn retire(&mut self, within_ms: u64, idle: Idle) -> PyResult<()> {
        let leave_ms = now_ms() + within_ms.saturating_sub(MARGIN_MS);
        self.leave_ms = Some(
            self.leave_ms
                .map_or(leave_ms, |earlier| earlier.min(leave_ms)),
        );
        let idle_timeout = match idle {
            Idle::Serve => Duration::MAX,
            Idle::CloseSoon => IDLE_TIMEOUT_WHEN_STOPPING,
        };
        Ok(self.engine.retire(idle_timeout)?)
    }

    fn is_done(&self) -> bool {
        self.leave_ms
            .is_some_and(|at| self.engine.connections() == 0 || self.engine.clock().now_ms() >= at)
    }

    fn log_notices(&self, notices: Vec<Notice>, dropped: u64) {
        for notice in notices {
            let (level, text) = match notice {
                Notice::Refused(peer, refusal) => {
                    let status = refusal.status();
                    (
                        Level::Warning,
                        format!(
                            "Refused a request from {} with {status}: {refusal}",
                            peer_name(peer)
                        ),
                    )
                }
                Notice::NotAnswered(peer) => (
                    Level::Error,
                    format!(
                        "The application gave up a request from {} without an answer",
                        peer_name(peer)
                    ),
                ),
                Notice::CannotAccept(error) => (
                    Level::Error,
                    format!("Cannot accept connections, trying again in 0.2 s: {error}"),
                ),
                Notice::CannotWatch(error) => (
                    Level::Error,
                    format!("Closed a connection, as it cannot be watched for events: {error}"),
                ),
                Notice::ConnectionLimit => (
                    Level::Warning,
                    format!(
                        "All {} connections of this worker (worker_connections) are in use; \
                         new ones wait",
                        self.site.worker_connections
                    ),
                ),
            };
            self.reporter.log(level, text);
        }
        if dropped > 0 {
            self.reporter.log(
                Level::Warning,
                format!("{dropped} more events were not logged"),
            );
        }
    }
}

fn peer_name(peer: Peer) -> String {
    match peer {
        Peer::Tcp(address) => address.to_string(),
        Peer::Unix => "a unix socket".to_owned(),
    }
}

fn settings(site: &Site) -> Settings {
    Settings {
        keepalive: Duration::from_millis(site.keepalive_ms),
        client_timeout: Duration::from_millis(site.client_timeout_ms),
        connections: site.worker_connections.max(1),
        limits: Limits {
            line: site.limit_request_line,
            fields: site.limit_request_fields,
            field_size: site.limit_request_field_size,
            body: site.limit_request_body,
        },
        response_on_disk: site.limit_response_buffer,
        ..Settings::default()
    }
}
