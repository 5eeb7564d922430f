//! The master: waits for an event, lets the arbiter decide, acts. Nothing is
//! decided here, and nothing here waits for anything but the next event.
//!
//! | file         | subject                                            |
//! | ------------ | -------------------------------------------------- |
//! | `events.rs` | what happened: sources become events               |
//! | `actions.rs` | what to do: each action of the arbiter             |
//! | `notify.rs` | what systemd is told, and when                     |
//! | `outputs.rs` | what the application wrote                         |
//! | `report.rs`  | what the arbiter wants reported, for the log       |

use crate::config::{self, Config, Sources};
use crate::control::Server;
use crate::listeners::Listener;
use crate::log;
use crate::log::events::Speaker;
use crate::pool::{
    Action, Arbiter, Event, GenerationId, Heartbeat, MOST_WORKERS, Wanted, WorkerId,
};
use crate::process::{self, ForkServerProcess, Output, WorkerFolder, WorkerProcess};
use crate::signals::Signals;
use crate::status::Rate;
use crate::systemd::Notifier;
use crate::wakeups::{Source, Wakeups};
use rgunicorn_link::Scoreboard;
use rgunicorn_link::scoreboard::{Reading, Row, now_ms};
use rustix::event::EventfdFlags;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

mod actions;
mod events;
mod notify;
mod outputs;
mod report;

/// The master and all it holds.
pub struct Master {
    sources: Sources,
    /// The configuration that serves.
    pub(crate) config: Config,
    /// The configuration of a reload that has to prove itself, and where its
    /// worker folder is.
    candidate: Option<(Config, WorkerFolder)>,
    folder: WorkerFolder,
    log: log::Handle,
    notifier: Notifier,
    /// After so long without a sign of life systemd takes the master for stuck.
    watchdog: Option<Duration>,
    wakeups: Wakeups,
    signals: Signals,
    listeners: Vec<Listener>,
    /// By this workers wake each other when connections wait.
    nudge: OwnedFd,
    control: Option<Server>,
    scoreboard: Scoreboard,
    pub(crate) fork_servers: BTreeMap<GenerationId, ForkServerProcess>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerProcess>,
    pub(crate) arbiter: Arbiter,
    /// What happened and is not told to the arbiter yet.
    pending: VecDeque<Event>,
    /// The control client whose order is being carried out.
    asking: Option<u32>,
    /// Who gave the last order, in words.
    pub(crate) ordered_by: String,
    /// Who said that the application cannot be loaded, while the arbiter hears of it.
    pub(crate) refused_by: Option<Speaker>,
    pub(crate) started: Instant,
    pub(crate) reload_began: Instant,
    /// Why the last reload came to nothing, if it did.
    reload_failure: Option<String>,
    /// Why the start failed: what the status says to the end.
    start_failure: Option<String>,
    /// Requests answered by workers that are gone.
    requests_of_the_gone: u64,
    rate: Rate,
    last_status: String,
    status_due: Instant,
    extend_due: Instant,
    watchdog_due: Option<Instant>,
    /// Set by the last action of all.
    exit: Option<u8>,
}

/// What a master begins with.
pub struct Parts {
    /// Where configurations come from.
    pub sources: Sources,
    /// The first one.
    pub config: Config,
    /// Where the worker's files are.
    pub folder: WorkerFolder,
    /// The log.
    pub log: log::Handle,
    /// What hears of the service's state.
    pub notifier: Notifier,
    /// The watchdog's period, if systemd has one for us.
    pub watchdog: Option<Duration>,
    /// The signals, already taken over.
    pub signals: Signals,
    /// The sockets.
    pub listeners: Vec<Listener>,
    /// The control socket.
    pub control: Option<Server>,
}

impl Master {
    /// A master that has begun: its first fork server is on its way.
    pub fn begin(beginning: Parts) -> io::Result<Self> {
        let Parts {
            sources,
            config,
            folder,
            log,
            notifier,
            watchdog,
            signals,
            listeners,
            control,
        } = beginning;
        let now = Instant::now();
        let wakeups = Wakeups::new()?;
        wakeups.add(&signals, Source::Signals)?;
        wakeups.add(log.resume(), Source::LogHasRoom)?;
        if let Some(control) = &control {
            control.register(&wakeups)?;
        }
        let (arbiter, actions) = Arbiter::new(wanted(&config), now);
        let mut master = Self {
            sources,
            config,
            candidate: None,
            folder,
            log,
            notifier,
            watchdog,
            wakeups,
            signals,
            listeners,
            nudge: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            control,
            scoreboard: Scoreboard::create()?,
            fork_servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            arbiter,
            pending: VecDeque::new(),
            asking: None,
            ordered_by: String::new(),
            refused_by: None,
            started: now,
            reload_began: now,
            reload_failure: None,
            start_failure: None,
            requests_of_the_gone: 0,
            rate: Rate::new(now),
            last_status: String::new(),
            status_due: now,
            extend_due: now,
            watchdog_due: watchdog.map(|_| now),
            exit: None,
        };
        master.act(actions, now);
        Ok(master)
    }

    /// Serves until the end. Returns the exit status.
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

    /// Does what is due.
    fn run_due(&mut self) {
        let now = Instant::now();
        self.flush_outputs(now);
        while let Some(event) = self.pending.pop_front() {
            self.dispatch(event);
        }
        if self.arbiter.deadline().is_some_and(|due| due <= now) {
            let heartbeats = self.heartbeats();
            self.dispatch(Event::Tick(heartbeats));
            while let Some(event) = self.pending.pop_front() {
                self.dispatch(event);
            }
        }
        self.notify_due(now);
        if let Some(control) = &mut self.control {
            control.run_due(now, &self.wakeups);
        }
    }

    /// How long nothing is due.
    fn next_timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut due: Vec<Instant> = self.arbiter.deadline().into_iter().collect();
        due.extend(self.outputs().filter_map(Output::deadline));
        due.extend(self.next_notification(now));
        due.extend(self.log.next_change());
        due.extend(self.control.as_ref().and_then(Server::deadline));
        if !self.pending.is_empty() {
            return Some(Duration::ZERO);
        }
        // One millisecond more: epoll waits whole ones, and must not wake too early.
        due.into_iter()
            .min()
            .map(|due| due.saturating_duration_since(now) + Duration::from_millis(1))
    }

    /// How long each worker has been silent, by the scoreboard.
    fn heartbeats(&self) -> Vec<Heartbeat> {
        let now_ms = now_ms();
        self.arbiter
            .with_heartbeat()
            .filter_map(|worker| {
                let beat_ms = self.reading(worker)?.beat_ms;
                let silent = Duration::from_millis(now_ms.saturating_sub(beat_ms));
                Some(Heartbeat { worker, silent })
            })
            .collect()
    }

    /// What a worker's row says.
    pub(crate) fn reading(&self, worker: WorkerId) -> Option<Reading> {
        let row = self.workers.get(&worker)?.row;
        self.scoreboard.row(row).map(Row::read)
    }

    /// Tells the arbiter what happened, and does what it says.
    fn dispatch(&mut self, event: Event) {
        let now = Instant::now();
        let actions = self.arbiter.on(event, now);
        self.act(actions, now);
    }

    fn act(&mut self, actions: Vec<Action>, now: Instant) {
        for action in actions {
            self.carry_out(action, now);
        }
        if self.status_due > now && self.is_in_transition() {
            // Things move: the line should keep up, but not with every step.
            self.status_due = self.status_due.min(now + Duration::from_millis(250));
        }
    }
}

/// What a configuration wants of the pool.
fn wanted(config: &Config) -> Wanted {
    let most = usize::from(MOST_WORKERS);
    Wanted {
        workers: u16::try_from(config.workers.count().min(most)).unwrap_or(MOST_WORKERS),
        timeout: config.timeout.get(),
        graceful_timeout: config.graceful_timeout.get(),
        boot_timeout: config.boot_timeout.get(),
        surge: u16::try_from(config.surge.get()).unwrap_or(MOST_WORKERS),
    }
}

/// The worker folder of a configuration.
pub fn find_folder(config: &Config) -> Result<WorkerFolder, process::NoWorkerFolder> {
    let configured = config.worker_dir.as_ref().map(config::Directory::as_path);
    // Where there is no /proc, the installed folder remains.
    let program = std::env::current_exe().unwrap_or_default();
    process::find(configured, &program)
}
