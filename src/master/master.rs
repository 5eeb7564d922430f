//! The master: waits for an event, lets the arbiter decide, acts. Nothing is
//! decided here, and nothing here waits for anything but the next event.
//!
//! | file               | subject                                                  |
//! | ------------------ | -------------------------------------------------------- |
//! | `events.rs`        | signals, messages and exits become events of the arbiter |
//! | `actions.rs`       | each action of the arbiter is carried out                |
//! | `clients.rs`       | what clients of the control socket ask is answered       |
//! | `code.rs`          | changed files of the application lead to a reload        |
//! | `counters.rs`      | what is counted for as long as the master lives          |
//! | `pool_metrics.rs`  | what StatsD is told of the pool                          |
//! | `pool_watch.rs`    | whether the pool proves that it works                    |
//! | `running_config.rs` | the settings that the master runs with are listed        |
//! | `stacks.rs`        | what the threads of a worker do is asked of it           |
//! | `reload.rs`        | the configuration is read again, and replaced or not     |
//! | `processes.rs`     | the processes, and what they share with the master       |
//! | `idle.rs`          | after a time without connections the service ends        |
//! | `notifications.rs` | what is sent to systemd, and when                        |
//! | `outputs.rs`       | what the application wrote                               |
//! | `report.rs`        | what the arbiter reports is logged                       |
//! | `upgrade.rs`       | another program takes over in this process               |

use crate::code_watch::CodeWatch;
use crate::config::{self, Config, Sources};
use crate::control::Server;
use crate::listeners::Listener;
use crate::log;
use crate::log::events::AppProcess;
use crate::pid_file::PidFile;
use crate::pool::{Action, Arbiter, Event, MOST_WORKERS, Phase, Wanted};
use crate::process::{ForkServerProcess, Output, OutputTo, WorkerFolder};
use crate::session;
use crate::signals::Signals;
use crate::start::Background;
use crate::status;
use crate::systemd::{Notifier, PressureWatch};
use crate::upgrade::{Program, State};
use crate::wakeups::{Source, Wakeups};
use counters::Counters;
use idle::IdleWatch;
use notifications::Notifications;
use pool_metrics::PoolMetrics;
use pool_watch::PoolWatch;
use processes::Processes;
use reload::{Deployment, ReloadState};
pub use reload::{find_folder, idle_exit_allowed};
use rgunicorn_link::protocol::Evaluation;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};
use upgrade::Upgrade;

mod actions;
mod clients;
mod code;
mod counters;
mod events;
mod idle;
mod notifications;
mod outputs;
mod pool_metrics;
mod pool_watch;
mod processes;
mod reload;
mod report;
mod running_config;
mod stacks;
mod upgrade;

/// The master and all it holds.
pub struct Master {
    /// Where configurations are read from.
    sources: Sources,
    /// What the master was started with: settings that need a restart are still those.
    first_config: Config,
    /// What serves.
    current: Deployment,
    reload: ReloadState,
    /// The first generation's fork server, until that is started, if it has run a program.
    evaluated: Option<ForkServerProcess>,
    processes: Processes,
    notifications: Notifications,
    /// `None` without a watchdog.
    pool_watch: Option<PoolWatch>,
    idle_watch: IdleWatch,
    pool_metrics: PoolMetrics,
    log: log::Handle,
    wakeups: Wakeups,
    signals: Signals,
    upgrade: Upgrade,
    control: Option<Server>,
    /// Removed when the master ends.
    pid_file: Option<PidFile>,
    /// `None` without `reload`, and until a worker tells what it has imported.
    code_watch: Option<CodeWatch>,
    /// Until it is ready.
    background: Option<Background>,
    /// `None`: nobody tells of it.
    pressure: Option<PressureWatch>,
    /// The control client whose order the arbiter is handling.
    ordering_client: Option<u32>,
    arbiter: Arbiter,
    /// Events that the arbiter has not handled yet.
    pending: VecDeque<Event>,
    /// The child that was just reaped, while links are read for a worker with its pid.
    just_reaped: Option<u32>,
    /// The process that could not load the application, while the arbiter handles
    /// that: its log record names it.
    refused_by: Option<AppProcess>,
    /// It has no terminal: systemd has started it, or it has left it.
    in_background: bool,
    started: Instant,
    counters: Counters,
    /// Why the start failed: the status line shows it to the end.
    start_failure: Option<String>,
    /// Set by the last action of all.
    exit: Option<u8>,
}

/// The parts of a master, made before there is one.
pub struct Parts {
    pub program: Program,
    pub sources: Sources,
    pub config: Config,
    /// What the program has set that had a say in the configuration.
    pub evaluation: Option<Evaluation>,
    pub folder: WorkerFolder,
    /// The fork server that has run the program which had a say in the configuration.
    pub evaluated: Option<ForkServerProcess>,
    pub log: log::Handle,
    pub notifier: Notifier,
    /// The watchdog's period, if systemd has one for us.
    pub watchdog: Option<Duration>,
    pub signals: Signals,
    pub listeners: Vec<Listener>,
    pub pid_file: Option<PidFile>,
    pub control: Option<Server>,
    /// `None`: it was not told to serve in the background, or is not any more.
    pub background: Option<Background>,
    pub pressure: Option<PressureWatch>,
}

impl Master {
    /// Puts the parts together and starts the first fork server.
    pub fn begin(mut parts: Parts) -> io::Result<Self> {
        let now = Instant::now();
        let (arbiter, actions) = Arbiter::new(wanted(&parts.config), now);
        let output = OutputTo::of(&parts.log);
        let listeners = std::mem::take(&mut parts.listeners);
        let processes = Processes::new(listeners, output, now)?;
        let mut master = Self::assemble(parts, arbiter, processes, Wakeups::new()?, now)?;
        master.admit_reader();
        master.act(actions, now);
        Ok(master)
    }

    /// Puts the parts together and goes on with what another program has handed over.
    pub fn adopt(mut parts: Parts, state: State) -> io::Result<Self> {
        let now = Instant::now();
        let upgrade = Upgrade::adopted(Program::of_this_process(&parts.sources.start), &state);
        let (arbiter, actions) = Arbiter::adopt(state.pool, wanted(&parts.config), now);
        let wakeups = Wakeups::new()?;
        let output = OutputTo::of(&parts.log);
        let listeners = std::mem::take(&mut parts.listeners);
        let processes = Processes::adopt_all(state.processes, listeners, output, &wakeups, now)?;
        let mut master = Self::assemble(parts, arbiter, processes, wakeups, now)?;
        if let Some(control) = &master.control {
            control.register_clients(&master.wakeups)?;
        }
        master.upgrade = upgrade;
        master.counters = Counters::adopt(&state.counters);
        let uptime = Duration::from_millis(state.uptime_ms);
        master.started = now.checked_sub(uptime).unwrap_or(now);
        master.reload.failure = state.reload_failure;
        let requests = master.processes.totals().requests;
        master.notifications.begin_rate(requests, now);
        master.admit_reader();
        // Those that have ended while nobody was there to be told.
        master.reap();
        master.act(actions, now);
        Ok(master)
    }

    fn assemble(
        parts: Parts,
        arbiter: Arbiter,
        processes: Processes,
        wakeups: Wakeups,
        now: Instant,
    ) -> io::Result<Self> {
        wakeups.add(&parts.signals, Source::Signals)?;
        wakeups.add(parts.log.resume(), Source::LogHasRoom)?;
        if let Some(control) = &parts.control {
            control.register(&wakeups)?;
        }
        if let Some(pressure) = &parts.pressure {
            wakeups.add(pressure, Source::MemoryPressure(pressure.kind()))?;
        }
        let in_background = session::is_service() || parts.config.daemon;
        Ok(Self {
            sources: parts.sources,
            first_config: parts.config.clone(),
            current: Deployment {
                config: parts.config,
                folder: parts.folder,
                evaluation: parts.evaluation,
            },
            reload: ReloadState::new(now),
            evaluated: parts.evaluated,
            processes,
            notifications: Notifications::new(parts.notifier, parts.watchdog, now),
            pool_watch: (parts.watchdog).map(|period| PoolWatch::new(period, now)),
            idle_watch: IdleWatch::new(now),
            pool_metrics: PoolMetrics::default(),
            log: parts.log,
            wakeups,
            signals: parts.signals,
            upgrade: Upgrade::new(parts.program),
            control: parts.control,
            pid_file: parts.pid_file,
            code_watch: None,
            background: parts.background,
            pressure: parts.pressure,
            ordering_client: None,
            arbiter,
            pending: VecDeque::new(),
            just_reaped: None,
            refused_by: None,
            in_background,
            started: now,
            counters: Counters::new(),
            start_failure: None,
            exit: None,
        })
    }

    /// Serves until an order or a failed start ends it. Returns the exit status.
    pub fn run(mut self) -> io::Result<u8> {
        loop {
            self.run_due();
            if let Some(status) = self.exit {
                return Ok(status);
            }
            let takes_output = self.log.takes_output() && !self.upgrade.leaves_output();
            self.wakeups.watch_outputs(takes_output)?;
            for source in self.wakeups.wait(self.next_timeout())? {
                self.handle(source);
            }
        }
    }

    fn run_due(&mut self) {
        let now = Instant::now();
        self.processes.refresh_counters(now);
        self.flush_outputs(now);
        self.dispatch_pending();
        if self.arbiter.deadline().is_some_and(|due| due <= now) {
            let workers = self.arbiter.with_heartbeat();
            let heartbeats = self.processes.heartbeats(workers);
            self.dispatch(Event::Tick(heartbeats));
            self.dispatch_pending();
        }
        self.reload_changed_code(now);
        self.watch_pool(now);
        self.watch_idleness(now);
        self.send_pool_metrics(now);
        let in_transition = self.is_in_transition();
        self.notifications.send_due(in_transition, now);
        if self.notifications.is_status_due(now) {
            let text = self.status(now);
            self.notifications.send_status(text, now);
        }
        if let Some(control) = &mut self.control {
            control.run_due(now, &self.wakeups);
        }
        self.give_up_late_stacks(now);
        self.continue_upgrade(now);
    }

    fn next_timeout(&self) -> Option<Duration> {
        if !self.pending.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let outputs = self.outputs().filter_map(Output::deadline);
        // One millisecond more: epoll waits whole ones, and must not wake too early.
        (self.arbiter.deadline().into_iter())
            .chain(outputs)
            .chain(self.notifications.next_due(self.is_in_transition(), now))
            .chain(self.pool_watch.as_ref().and_then(PoolWatch::next_due))
            .chain(self.idle_check_due())
            .chain(self.pool_metrics.next_due())
            .chain(self.code_watch.as_ref().and_then(CodeWatch::due))
            .chain(self.log.next_change())
            .chain([self.processes.next_refresh()])
            .chain(self.control.as_ref().and_then(Server::deadline))
            .chain(self.stacks_deadline())
            .chain(self.upgrade.next_due(now))
            .min()
            .map(|due| due.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn dispatch_pending(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            self.dispatch(event);
        }
    }

    /// Gives an event to the arbiter and carries out the actions that follow.
    fn dispatch(&mut self, event: Event) {
        let now = Instant::now();
        let actions = self.arbiter.on(event, now);
        self.act(actions, now);
    }

    fn act(&mut self, actions: Vec<Action>, now: Instant) {
        for action in actions {
            self.carry_out(action, now);
        }
        if self.is_in_transition() {
            self.notifications.expect_change(now);
        }
    }

    fn is_in_transition(&self) -> bool {
        match self.arbiter.summary().phase {
            Phase::Starting | Phase::Reloading | Phase::Draining | Phase::Stopping => true,
            Phase::Serving => false,
        }
    }

    /// Whether the service was told to stop.
    fn is_stopping(&self) -> bool {
        match self.arbiter.summary().phase {
            Phase::Draining | Phase::Stopping => true,
            Phase::Starting | Phase::Serving | Phase::Reloading => false,
        }
    }

    /// The line that `systemctl status` and `rgunicornctl status` show.
    fn status(&mut self, now: Instant) -> String {
        if let Some(reason) = &self.start_failure {
            return status::failed_start(reason);
        }
        let totals = self.processes.totals();
        let rate = self.notifications.request_rate(totals.requests, now);
        let failed = self.reload.failure.as_deref();
        status::line(self.arbiter.summary(), totals, rate, failed)
    }
}

/// The part of a configuration that the arbiter uses.
fn wanted(config: &Config) -> Wanted {
    let most = usize::from(MOST_WORKERS);
    Wanted {
        workers: u16::try_from(config.workers.count().min(most)).unwrap_or(MOST_WORKERS),
        timeout: config.timeout.get(),
        graceful_timeout: config.graceful_timeout.get(),
        drain_time: config.drain_time.get(),
        boot_timeout: config.boot_timeout.get(),
        surge: u16::try_from(config.surge.get()).unwrap_or(MOST_WORKERS),
        processors: config::processors(),
        preload: config.preload,
        worker_memory_max: config.worker_memory_max.limit(),
        max_requests: Some(u64::from(config.max_requests.get())).filter(|max| *max > 0),
        max_requests_jitter: config.max_requests_jitter.get().into(),
        max_worker_age: config.max_worker_age.get(),
    }
}
