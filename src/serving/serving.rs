//! What workers of all classes do besides calling the application: the master's orders,
//! signals, heartbeats, and connections that go to other workers. No Python in here, so
//! that a thread can do it that never waits for the interpreter.

use crate::access_outputs::AccessOutputs;
use crate::named_request::NamedRequest;
use crate::notices::{self, UnservedLog};
use crate::reporter::Reporter;
use crate::settings::{request_timeout, settings};
use crate::signal_watch::SignalWatch;
use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use rgunicorn_engine::{
    Balance, Engine, HandoverSockets, Neighbours, Request, RequestId, TimeOut, Token,
};
use rgunicorn_link::protocol::{FromWorker, Idle, Level, ListenerInfo, Site, ToWorker};
use rgunicorn_link::scoreboard::{Counts, Outcome, now_ms};
use rgunicorn_link::{Link, Received, Scoreboard};
use std::io;
use std::os::fd::OwnedFd;
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

/// A response that is complete waits at most this long for others that leave with it.
pub const MAX_HOLD: Duration = Duration::from_millis(1);

/// How often a busy worker looks for new connections if there is a `health_path`, in
/// milliseconds: a balancer allows its check a second or more.
const HEALTH_INTERVAL_MS: u64 = 100;

/// How soon a worker tries again to give connections away that the others had no room for.
const RETRY: Duration = Duration::from_millis(10);

pub struct Serving {
    pub engine: Engine,
    pub scoreboard: Arc<Scoreboard>,
    /// The number of its row.
    pub row: usize,
    site: Arc<Site>,
    link: Arc<Link>,
    reporter: Reporter,
    signals: SignalWatch,
    /// Listeners that the class has to prepare for.
    new_listeners: Vec<ListenerInfo>,
    leave: Option<Leave>,
    /// The master wants garbage to be collected.
    has_to_collect: bool,
    /// A signal came, and Python has not called its handler yet.
    is_signalled: bool,
    request_timeout: Option<Duration>,
    /// Known if there is a `request_timeout`, and only to a class that answers one request
    /// at a time.
    current: Current,
    unserved: UnservedLog,
    access: Option<AccessOutputs>,
    /// The listeners that are closed when the service stops and what waited there is
    /// accepted, by their numbers.
    closing: Vec<u32>,
    /// All the application's threads are in requests: what came now would only wait here.
    pub is_application_busy: bool,
    /// When connections are looked for again while the application is busy.
    health_due_ms: u64,
}

/// The request that the application is in.
#[derive(Default)]
struct Current {
    id: Option<RequestId>,
    since_ms: u64,
    request: NamedRequest,
    timed_out: Option<TimeOut>,
}

/// The order to leave.
#[derive(Debug, Clone, Copy)]
struct Leave {
    /// When it leaves, finished or not.
    at_ms: u64,
    idle: Idle,
}

impl Serving {
    pub fn new(
        site: &Arc<Site>,
        link: &Arc<Link>,
        scoreboard: &Arc<Scoreboard>,
        row: usize,
        reporter: &Reporter,
        signals: SignalWatch,
    ) -> io::Result<Self> {
        if scoreboard.row(row).is_none() {
            return Err(io::Error::other(format!("the scoreboard has no row {row}")));
        }
        let mut engine = Engine::new(settings(site))?;
        engine.watch(&**link, LINK)?;
        engine.watch(&signals, WAKE)?;
        engine.set_neighbours(OtherWorkers {
            scoreboard: Arc::clone(scoreboard),
            row,
            limit: site.worker_connections as u64,
        });
        Ok(Self {
            engine,
            scoreboard: Arc::clone(scoreboard),
            row,
            site: Arc::clone(site),
            link: Arc::clone(link),
            reporter: reporter.clone(),
            signals,
            new_listeners: Vec::new(),
            leave: None,
            has_to_collect: false,
            is_signalled: false,
            request_timeout: request_timeout(site),
            current: Current::default(),
            unserved: UnservedLog::default(),
            access: None,
            closing: Vec::new(),
            is_application_busy: false,
            health_due_ms: 0,
        })
    }

    /// Has the engine write of each request. `worker` is this worker's number; `local_offset`
    /// gives the difference of local time to UTC at a time, both in seconds.
    pub fn set_access_outputs(
        &mut self,
        outputs: AccessOutputs,
        worker: u32,
        local_offset: fn(i64) -> i32,
    ) {
        let settings = outputs.settings(&self.site, worker, local_offset);
        self.engine.set_access_log(settings);
        self.access = Some(outputs);
    }

    /// A sign of life.
    pub fn beat(&self, now_ms: u64) {
        if let Some(row) = self.scoreboard.row(self.row) {
            row.beat(now_ms, self.engine.connections() as u64);
        }
    }

    /// The request that the application is about to be in, and that `request_timeout` ends in
    /// [`Self::work_without_application`].
    pub fn note_current(&mut self, request: &Request) {
        if self.request_timeout.is_some() {
            let current = &mut self.current;
            current.id = Some(request.id());
            current.since_ms = self.engine.clock().now_ms();
            current.request.set(request);
            current.timed_out = None;
        }
    }

    /// A request goes to the application.
    pub fn begin_request(&self, request: &Request) {
        if let Some(row) = self.scoreboard.row(self.row) {
            let now_ms = self.engine.clock().now_ms();
            row.begin(now_ms, request.method(), request.path());
        }
    }

    pub fn end_request(&mut self, bytes: u64, outcome: Outcome) {
        self.current.id = None;
        let outcome = match self.current.timed_out.take() {
            Some(TimeOut::Answered | TimeOut::BrokenOff) => Outcome::Error,
            Some(TimeOut::Over) | None => outcome,
        };
        if let Some(row) = self.scoreboard.row(self.row) {
            row.end(self.engine.clock().now_ms(), bytes, outcome);
        }
    }

    /// Ends the request that the application is in, if it takes longer than
    /// `request_timeout`.
    fn time_out_current(&mut self) -> io::Result<()> {
        let (Some(limit), Some(id)) = (self.request_timeout, self.current.id) else {
            return Ok(());
        };
        let age_ms = self.engine.clock().now_ms() - self.current.since_ms;
        let age = Duration::from_millis(age_ms);
        if age < limit || self.current.timed_out.is_some() {
            return Ok(());
        }
        // Nobody else may be able to take what waits at the listeners: here it is answered
        // 503 in time.
        self.engine.resume_intake()?;
        let timed_out = self.engine.time_out(id);
        self.current.timed_out = Some(timed_out);
        if self.engine.is_taken(id) {
            return Ok(());
        }
        let text = format!(
            "The request {} has run for {} s{}; the stack follows",
            self.current.request.line(),
            age.as_secs(),
            consequence(timed_out),
        );
        let info = self.current.request.info();
        self.reporter.log_request(Level::Warning, text, info);
        self.signals.dump_stacks();
        Ok(())
    }

    /// Until the request that the application is in has to be ended.
    fn time_left(&self) -> Duration {
        let (Some(limit), None, Some(_)) = (
            self.request_timeout,
            self.current.timed_out,
            self.current.id,
        ) else {
            return Duration::MAX;
        };
        let age_ms = self.engine.clock().now_ms() - self.current.since_ms;
        // As in `Engine::next_timeout`.
        limit.saturating_sub(Duration::from_millis(age_ms)) + Duration::from_millis(1)
    }

    /// Logs how many requests the application never saw, before the worker leaves.
    pub fn log_unserved(&mut self) {
        self.unserved.log(&self.reporter);
    }

    fn count_unserved(&mut self) {
        let unserved = self.engine.take_unserved();
        if unserved.timed_out > 0 {
            if let Some(row) = self.scoreboard.row(self.row) {
                row.count(Counts {
                    requests: unserved.timed_out,
                    errors: unserved.timed_out,
                    bytes: 0,
                });
            }
        }
        self.unserved.add(unserved);
        let now_ms = self.engine.clock().now_ms();
        self.unserved.log_if_due(now_ms, &self.reporter);
    }

    /// The listeners that came since the last call, in the order of their numbers.
    pub fn take_new_listeners(&mut self) -> Vec<ListenerInfo> {
        std::mem::take(&mut self.new_listeners)
    }

    /// Handles what is not a request: orders, signals, notices.
    pub fn handle_events(&mut self) -> io::Result<()> {
        for token in self.engine.take_watched() {
            if token == LINK {
                self.handle_orders()?;
            } else {
                self.signals.drain();
                self.is_signalled = true;
            }
        }
        if self.signals.take_reopen() {
            self.reopen_logs();
        }
        if self.signals.retire() && self.leave.is_none() {
            self.retire(ORPHAN_MS, Idle::HandOver)?;
        }
        let (notices, dropped) = self.engine.take_notices();
        if !notices.is_empty() {
            notices::log(&self.reporter, &self.site, notices, dropped);
        }
        self.count_unserved();
        if let Some(access) = &self.access {
            access.report_if_due(self.scoreboard.row(self.row));
        }
        self.go_on_leaving()
    }

    fn handle_orders(&mut self) -> io::Result<()> {
        loop {
            match self.link.receive()? {
                Received::Message(ToWorker::Listen(infos), fds) => self.listen(infos, fds)?,
                Received::Message(ToWorker::Retire { within_ms, idle }, _) => {
                    self.retire(within_ms, idle)?;
                }
                Received::Message(ToWorker::Collect, _) => self.has_to_collect = true,
                Received::Message(ToWorker::ReopenLogs, _) => self.reopen_logs(),
                Received::Nothing => return Ok(()),
                // Without a master there is nobody to reload, restart or stop it.
                Received::Closed => {
                    self.engine.unwatch(&*self.link)?;
                    // If it fails, only a call that lasts for ever does so.
                    let _ = kill_after(Duration::from_millis(ORPHAN_MS));
                    return self.retire(ORPHAN_MS, Idle::HandOver);
                }
            }
        }
    }

    fn reopen_logs(&self) {
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    fn listen(&mut self, infos: Vec<ListenerInfo>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let mut fds = fds.into_iter();
        for (number, fd) in (0..).zip(fds.by_ref().take(infos.len())) {
            self.engine.listen(fd, number)?;
        }
        self.closing = (0..)
            .zip(&infos)
            .filter(|(_, info)| info.closes_at_stop)
            .map(|(number, _)| number)
            .collect();
        if let Some(wake_fd) = fds.next() {
            self.engine.set_wake_fd(wake_fd)?;
        }
        if let (Some(give), Some(take)) = (fds.next(), fds.next()) {
            self.engine.set_handover(HandoverSockets { give, take })?;
        }
        self.new_listeners = infos;
        Ok(())
    }

    fn retire(&mut self, within_ms: u64, idle: Idle) -> io::Result<()> {
        let at_ms = now_ms() + within_ms.saturating_sub(MARGIN_MS);
        let before = self.leave;
        self.leave = Some(Leave {
            at_ms: before.map_or(at_ms, |before| before.at_ms.min(at_ms)),
            idle,
        });
        self.scoreboard.retire(self.row, idle);
        match idle {
            Idle::HandOver => self.engine.leave_listeners(),
            Idle::CloseSoon => self.engine.retire(IDLE_TIMEOUT_WHEN_STOPPING),
        }
    }

    /// Gives away what it holds, or sees to it that nothing is left behind.
    fn go_on_leaving(&mut self) -> io::Result<()> {
        match self.leave.map(|leave| leave.idle) {
            None => Ok(()),
            Some(Idle::HandOver) if self.scoreboard.others_serve(self.row) => {
                self.engine.give_connections_away(true);
                Ok(())
            }
            // Nobody will take them: each gets one more response, and so do those that others
            // gave away before.
            Some(Idle::HandOver) => {
                self.engine.retire(Duration::MAX)?;
                self.engine.take_all()
            }
            Some(Idle::CloseSoon) => {
                self.close_listeners()?;
                self.engine.take_all()
            }
        }
    }

    /// Accepts what still waits where nobody will accept it after us, and closes that. A
    /// worker that is busy leaves it to others, and comes back to it when it is not.
    fn close_listeners(&mut self) -> io::Result<()> {
        if !self.is_application_busy {
            while let Some(number) = self.closing.last() {
                if !self.engine.close_listener(*number)? {
                    break;
                }
                self.closing.pop();
            }
        }
        Ok(())
    }

    /// Whether a listener has to be closed before it leaves.
    fn has_to_close_listeners(&self) -> bool {
        let idle = self.leave.map(|leave| leave.idle);
        idle == Some(Idle::CloseSoon) && !self.closing.is_empty()
    }

    /// Whether there is something that only the main thread can do.
    pub fn needs_main_thread(&self) -> bool {
        self.is_signalled
            || self.has_to_collect
            || self.leave.is_some()
            || !self.new_listeners.is_empty()
    }

    /// Whether garbage has to be collected. To be followed by [`Self::collected`].
    pub fn take_collect(&mut self) -> bool {
        std::mem::take(&mut self.has_to_collect)
    }

    /// Garbage was collected, and the resident memory is so many bytes smaller.
    pub fn collected(&self, freed: u64) {
        // Without a master nobody wants to know.
        let _ = self.link.send(&FromWorker::Collected { freed }, &[]);
    }

    /// Whether a signal came since the last call: its handler is called when the main thread
    /// runs Python code.
    pub fn take_signalled(&mut self) -> bool {
        std::mem::take(&mut self.is_signalled)
    }

    /// Whether there is nothing left to do, or no time.
    pub fn is_done(&self) -> bool {
        let is_empty = self.engine.connections() == 0 && !self.has_to_close_listeners();
        self.leave
            .is_some_and(|leave| is_empty || self.is_late(leave))
    }

    fn is_late(&self, leave: Leave) -> bool {
        self.engine.clock().now_ms() >= leave.at_ms
    }

    /// Wakes another worker if connections wait that it could accept.
    pub fn wake_another_if_needed(&mut self) -> io::Result<()> {
        if self.engine.take_more_waiting() && self.scoreboard.others_asleep(self.row) > 0 {
            self.engine.wake_another()?;
        }
        Ok(())
    }

    /// Does all that can be done without the application, which is in a call that takes
    /// long: above all gives complete requests to others. Returns when to come again at the
    /// latest.
    pub fn work_without_application(&mut self) -> io::Result<Duration> {
        self.engine.turn(Duration::ZERO)?;
        self.time_out_current()?;
        self.is_application_busy = true;
        let handled = self.handle_events();
        self.is_application_busy = false;
        handled?;
        // Only once the intake goes on again, see `time_out_current`.
        self.engine.accept_between_requests()?;
        self.accept_while_busy()?;
        let mut max = Duration::from_secs(1).min(self.time_left());
        if self.site.health_path.is_some() {
            max = max.min(Duration::from_millis(HEALTH_INTERVAL_MS));
        }
        if self.engine.ready() > 0 && self.scoreboard.others_serve(self.row) {
            self.engine.give_requests_away(usize::MAX);
            if self.engine.ready() > 0 {
                return Ok(RETRY);
            }
        }
        Ok(self.sleep_time_while_busy(max))
    }

    /// Accepts the connections that nobody else does, as all workers are busy, if there is a
    /// `health_path`: a balancer asks for it on a new connection, and takes a pool that only
    /// has much to do for one that is down if it gets no answer. What else comes by these
    /// connections waits for the application here as it would in the listener's queue.
    pub fn accept_while_busy(&mut self) -> io::Result<()> {
        let now_ms = self.engine.clock().now_ms();
        if self.site.health_path.is_none() || now_ms < self.health_due_ms {
            return Ok(());
        }
        self.health_due_ms = now_ms + HEALTH_INTERVAL_MS;
        let is_leaving = self.leave.is_some();
        if is_leaving || self.scoreboard.fewest_connections_idle(self.row).is_some() {
            return Ok(());
        }
        self.engine.accept_all()
    }

    /// How long it may sleep, at most until `heartbeat` is due.
    pub fn sleep_time(&self, heartbeat: Duration) -> Duration {
        self.engine.next_timeout(self.longest_sleep(heartbeat))
    }

    /// The same, while requests that are ready have to wait.
    pub fn sleep_time_while_busy(&self, heartbeat: Duration) -> Duration {
        self.engine
            .next_timeout_while_busy(self.longest_sleep(heartbeat))
    }

    fn longest_sleep(&self, heartbeat: Duration) -> Duration {
        let has_work = self.engine.connections() > 0 || self.has_to_close_listeners();
        if self.leave.is_some() && has_work {
            heartbeat.min(RETRY)
        } else {
            heartbeat
        }
    }

    /// Gives requests to workers that sleep, if it is worth that. `ready` includes those
    /// that wait elsewhere in this worker; `now` is on the clock of `balance`.
    pub fn give_surplus_away(&mut self, balance: &mut Balance, ready: usize, now: Duration) {
        if ready > 1 {
            let asleep = self.scoreboard.others_asleep(self.row);
            let surplus = balance.surplus(ready, asleep, now);
            self.engine.give_requests_away(surplus);
        }
    }
}

/// Lets the kernel kill this process after `delay`, as the master would that is gone: a call
/// of the application may last for ever, and keep the interpreter's lock.
fn kill_after(delay: Duration) -> io::Result<()> {
    let kill = SigevNotify::SigevSignal {
        signal: Signal::SIGKILL,
        si_value: 0,
    };
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(kill))?;
    let expiration = Expiration::OneShot(TimeSpec::from_duration(delay));
    timer.set(expiration, TimerSetTimeFlags::empty())?;
    // Dropped, it would be gone.
    std::mem::forget(timer);
    Ok(())
}

/// The other workers, by the scoreboard.
struct OtherWorkers {
    scoreboard: Arc<Scoreboard>,
    /// The number of this worker's row.
    row: usize,
    /// The most connections of a worker.
    limit: u64,
}

impl Neighbours for OtherWorkers {
    fn may_accept(&self) -> bool {
        let row = self.scoreboard.row(self.row);
        row.is_some_and(|row| row.retired().is_none())
    }

    fn fewest_connections_idle(&self) -> Option<usize> {
        let fewest = self.scoreboard.fewest_connections_idle(self.row)?;
        usize::try_from(fewest).ok()
    }

    fn have_room(&self) -> bool {
        self.scoreboard.others_have_room(self.row, self.limit)
    }

    fn are_stopping(&self) -> bool {
        self.scoreboard.is_stopping()
    }
}

/// What the log says of a request that took too long.
pub fn consequence(timed_out: TimeOut) -> &'static str {
    match timed_out {
        TimeOut::Answered => {
            ", longer than request_timeout: the client was answered 503 in its place"
        }
        TimeOut::BrokenOff => ", longer than request_timeout: its response was broken off",
        TimeOut::Over => "",
    }
}
