//! The master: waits for an event, lets the arbiter decide, acts. Nothing is
//! decided here, and nothing here waits for anything but the next event.
//!
//! | file               | subject                                                  |
//! | ------------------ | -------------------------------------------------------- |
//! | `events.rs`        | signals, messages and exits become events of the arbiter |
//! | `actions.rs`       | each action of the arbiter is carried out                |
//! | `clients.rs`       | what clients of the control socket ask is answered       |
//! | `counters.rs`      | what is counted for as long as the master lives          |
//! | `pool_watch.rs`    | whether the pool proves that it works                    |
//! | `running_config.rs` | the settings that the master runs with are listed        |
//! | `stacks.rs`        | what the threads of a worker do is asked of it           |
//! | `reload.rs`        | the configuration is read again, and replaced or not     |
//! | `processes.rs`     | the processes, and what they share with the master       |
//! | `idle.rs`          | after a time without connections the service ends        |
//! | `notifications.rs` | what is sent to systemd, and when                        |
//! | `outputs.rs`       | what the application wrote                               |
//! | `report.rs`        | what the arbiter reports is logged                       |

use crate::config::{self, Config, Sources};
use crate::control::Server;
use crate::listeners::Listener;
use crate::log;
use crate::log::events::AppProcess;
use crate::pool::{Action, Arbiter, Event, MOST_WORKERS, Phase, Wanted};
use crate::process::{Output, WorkerFolder};
use crate::signals::Signals;
use crate::status;
use crate::systemd::{Notifier, PressureWatch};
use crate::wakeups::{Source, Wakeups};
use counters::Counters;
use idle::IdleWatch;
use notifications::Notifications;
use pool_watch::PoolWatch;
use processes::Processes;
use reload::{Deployment, ReloadState};
pub use reload::{find_folder, idle_exit_allowed};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

mod actions;
mod clients;
mod counters;
mod events;
mod idle;
mod notifications;
mod outputs;
mod pool_watch;
mod processes;
mod reload;
mod report;
mod running_config;
mod stacks;

/// The master and all it holds.
pub struct Master {
    /// Where configurations are read from.
    sources: Sources,
    /// What the master was started with: settings that need a restart are still those.
    first_config: Config,
    /// What serves.
    current: Deployment,
    reload: ReloadState,
    processes: Processes,
    notifications: Notifications,
    /// `None` without a watchdog.
    pool_watch: Option<PoolWatch>,
    idle_watch: IdleWatch,
    log: log::Handle,
    wakeups: Wakeups,
    signals: Signals,
    control: Option<Server>,
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
    started: Instant,
    counters: Counters,
    /// Why the start failed: the status line shows it to the end.
    start_failure: Option<String>,
    /// Set by the last action of all.
    exit: Option<u8>,
}

/// The parts of a master, made before there is one.
pub struct Parts {
    pub sources: Sources,
    pub config: Config,
    pub folder: WorkerFolder,
    pub log: log::Handle,
    pub notifier: Notifier,
    /// The watchdog's period, if systemd has one for us.
    pub watchdog: Option<Duration>,
    pub signals: Signals,
    pub listeners: Vec<Listener>,
    pub control: Option<Server>,
    pub pressure: Option<PressureWatch>,
}

impl Master {
    /// Puts the parts together and starts the first fork server.
    pub fn begin(parts: Parts) -> io::Result<Self> {
        let now = Instant::now();
        let wakeups = Wakeups::new()?;
        wakeups.add(&parts.signals, Source::Signals)?;
        wakeups.add(parts.log.resume(), Source::LogHasRoom)?;
        if let Some(control) = &parts.control {
            control.register(&wakeups)?;
        }
        if let Some(pressure) = &parts.pressure {
            wakeups.add(pressure, Source::MemoryPressure(pressure.kind()))?;
        }
        let (arbiter, actions) = Arbiter::new(wanted(&parts.config), now);
        let read_output = parts.log.has_fields();
        let mut master = Self {
            sources: parts.sources,
            first_config: parts.config.clone(),
            current: Deployment {
                config: parts.config,
                folder: parts.folder,
            },
            reload: ReloadState::new(now),
            processes: Processes::new(parts.listeners, read_output, now)?,
            notifications: Notifications::new(parts.notifier, parts.watchdog, now),
            pool_watch: (parts.watchdog).map(|period| PoolWatch::new(period, now)),
            idle_watch: IdleWatch::new(now),
            log: parts.log,
            wakeups,
            signals: parts.signals,
            control: parts.control,
            pressure: parts.pressure,
            ordering_client: None,
            arbiter,
            pending: VecDeque::new(),
            just_reaped: None,
            refused_by: None,
            started: now,
            counters: Counters::new(),
            start_failure: None,
            exit: None,
        };
        master.admit_reader();
        master.act(actions, now);
        Ok(master)
    }

    /// Serves until an order or a failed start ends it. Returns the exit status.
    pub fn run(mut self) -> io::Result<u8> {
        loop {
            self.run_due();
            if let Some(status) = self.exit {
                return Ok(status);
            }
            self.wakeups.watch_outputs(self.log.takes_output())?;
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
        self.watch_pool(now);
        self.watch_idleness(now);
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
            .chain(self.log.next_change())
            .chain([self.processes.next_refresh()])
            .chain(self.control.as_ref().and_then(Server::deadline))
            .chain(self.stacks_deadline())
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
    }
}
