//! The master: waits for an event, lets the arbiter decide, acts. Nothing is
//! decided here, and nothing here waits for anything but the next event.

use crate::config::{self, Config, Sources};
use crate::control::message::{Answer, Request};
use crate::control::{Asked, Server};
use crate::listeners::Listener;
use crate::log;
use crate::message::{self, Speaker, Stream};
use crate::pool::{
    Action, Announcement, Arbiter, Event, GenerationId, MOST_WORKERS, Order, Phase, Pulse, Reason,
    ReloadId, State as WorkerState, Wanted, WorkerId,
};
use crate::process::{
    self, ForkServerProcess, Handle, Outfit, Output, Pipes, WorkerFolder, WorkerProcess,
};
use crate::signals::{Meaning, Signals};
use crate::status::{self, Rate, Totals};
use crate::systemd::watchdog::Watchdog;
use crate::systemd::{Notifier, State};
use crate::wakeups::{Source, Wakeups};
use rgunicorn_link::message::{
    FromForkServer, FromWorker, Idle, ListenerInfo, LoadFailure, ToWorker,
};
use rgunicorn_link::scoreboard::{ROWS, Reading, Row, now_ms};
use rgunicorn_link::{Received, Scoreboard};
use rustix::event::EventfdFlags;
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How often the status line is made anew while nothing changes.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// While systemd waits for the end of a start, a reload or a stop, it is asked
/// for more time this often …
const EXTEND_INTERVAL: Duration = Duration::from_secs(1);

/// … and for so much. Each of the three has an end of its own (`boot_timeout`,
/// `graceful_timeout`), which comes if this process works at all.
const EXTEND_BY: Duration = Duration::from_secs(10);

/// How long to wait with words that systemd did not take.
const NOTIFY_RETRY: Duration = Duration::from_millis(100);

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
    watchdog: Option<Watchdog>,
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
    news: VecDeque<Event>,
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
pub struct Beginning {
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
    /// What has to hear from us.
    pub watchdog: Option<Watchdog>,
    /// The signals, already taken over.
    pub signals: Signals,
    /// The sockets.
    pub listeners: Vec<Listener>,
    /// The control socket.
    pub control: Option<Server>,
}

impl Master {
    /// A master that has begun: its first fork server is on its way.
    pub fn begin(beginning: Beginning) -> io::Result<Self> {
        let Beginning {
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
            news: VecDeque::new(),
            asking: None,
            ordered_by: String::new(),
            refused_by: None,
            started: now,
            reload_began: now,
            reload_failure: None,
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
            self.keep_time();
            if let Some(status) = self.exit {
                return Ok(status);
            }
            for source in self.wakeups.wait(self.patience())? {
                self.hear(source);
            }
        }
    }

    // Time.

    /// Does what is due.
    fn keep_time(&mut self) {
        let now = Instant::now();
        self.flush_outputs(now);
        while let Some(event) = self.news.pop_front() {
            self.tell(event);
        }
        if self.arbiter.deadline().is_some_and(|due| due <= now) {
            let pulses = self.pulses();
            self.tell(Event::Tick(pulses));
            while let Some(event) = self.news.pop_front() {
                self.tell(event);
            }
        }
        if !self.notifier.is_heard() {
            return;
        }
        if self.notifier.is_waiting() {
            let retried = self.notifier.retry();
            complain(retried);
        }
        if let (Some(due), Some(watchdog)) = (self.watchdog_due, self.watchdog) {
            if due <= now {
                self.watchdog_due = Some(now + watchdog.interval());
                self.notify(&[State::Watchdog]);
            }
        }
        if self.extend_due <= now && self.is_in_transition() {
            self.extend_due = now + EXTEND_INTERVAL;
            self.notify(&[State::ExtendTimeout(EXTEND_BY)]);
        }
        if self.status_due <= now {
            self.say_status(now);
        }
    }

    /// How long nothing is due.
    fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut due: Vec<Instant> = self.arbiter.deadline().into_iter().collect();
        due.extend(self.outputs().filter_map(Output::deadline));
        if self.notifier.is_heard() {
            due.push(self.status_due);
            due.extend(self.watchdog_due);
            if self.is_in_transition() {
                due.push(self.extend_due);
            }
            if self.notifier.is_waiting() {
                due.push(now + NOTIFY_RETRY);
            }
        }
        if !self.news.is_empty() {
            return Some(Duration::ZERO);
        }
        // One millisecond more: epoll waits whole ones, and must not wake too early.
        due.into_iter()
            .min()
            .map(|due| due.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn is_in_transition(&self) -> bool {
        match self.arbiter.summary().phase {
            Phase::Starting | Phase::Reloading | Phase::Stopping => true,
            Phase::Serving => false,
        }
    }

    /// How long each worker has been silent, by the scoreboard.
    fn pulses(&self) -> Vec<Pulse> {
        let now_ms = now_ms();
        self.arbiter
            .with_heartbeat()
            .filter_map(|worker| {
                let beat_ms = self.reading(worker)?.beat_ms;
                let silent = Duration::from_millis(now_ms.saturating_sub(beat_ms));
                Some(Pulse { worker, silent })
            })
            .collect()
    }

    /// What a worker's row says.
    pub(crate) fn reading(&self, worker: WorkerId) -> Option<Reading> {
        let row = self.workers.get(&worker)?.row;
        self.scoreboard.row(row).map(Row::read)
    }

    // What is said to systemd.

    fn notify(&mut self, states: &[State]) {
        let notified = self.notifier.notify(states);
        complain(notified);
    }

    fn say_status(&mut self, now: Instant) {
        self.status_due = now + STATUS_INTERVAL;
        let text = self.status(now);
        if text != self.last_status {
            self.notify(&[State::Status(text.clone())]);
            self.last_status = text;
        }
    }

    fn status(&mut self, now: Instant) -> String {
        let mut totals = Totals {
            busy: 0,
            requests: self.requests_of_the_gone,
        };
        for worker in self.workers.keys() {
            if let Some(reading) = self.reading(*worker) {
                totals.requests += reading.requests;
                totals.busy += usize::from(reading.busy_since_ms > 0);
            }
        }
        let rate = self.rate.look(totals.requests, now);
        let failed = self.reload_failure.as_deref();
        status::line(self.arbiter.summary(), totals, rate, failed)
    }

    fn announce(&mut self, announcement: Announcement, now: Instant) {
        let state = match announcement {
            Announcement::Ready => State::Ready,
            Announcement::Reloading => State::reloading_now(),
            Announcement::Stopping => {
                // Of a start that failed the reason was told already.
                if !self.arbiter.has_failed() {
                    let within = self.arbiter.time_to_leave();
                    message::stopping(&self.ordered_by, within);
                }
                self.ask_the_retiring_to_hurry(self.config.graceful_timeout.get());
                State::Stopping
            }
        };
        let text = self.status(now);
        self.notify(&[state, State::Status(text.clone())]);
        self.last_status = text;
        self.extend_due = now;
    }

    // Events.

    fn hear(&mut self, source: Source) {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Control => {
                if let Some(control) = &mut self.control {
                    if let Err(error) = control.accept(&self.wakeups) {
                        warn!("The control socket cannot take clients: {error}");
                    }
                }
            }
            Source::ControlClient(number) => {
                let asked = self
                    .control
                    .as_mut()
                    .and_then(|control| control.read(number));
                if let Some(asked) = asked {
                    self.hear_client(number, &asked);
                }
            }
            Source::ForkServer(generation) => self.hear_fork_server(generation),
            Source::Worker(worker) => self.hear_worker(worker),
            Source::ForkServerOutput(generation, stream) => {
                let Some(server) = self.fork_servers.get_mut(&generation) else {
                    return;
                };
                let speaker = server.speaker();
                read_output(&self.wakeups, &mut server.pipes, speaker, stream);
            }
            Source::WorkerOutput(worker, stream) => {
                let Some(worker) = self.workers.get_mut(&worker) else {
                    return;
                };
                let speaker = worker.speaker();
                read_output(&self.wakeups, &mut worker.pipes, speaker, stream);
            }
        }
    }

    fn hear_signals(&mut self) {
        loop {
            match self.signals.next() {
                Ok(Some((name, Meaning::Order(order)))) => {
                    info!(signal = name, "Got {name}");
                    name.clone_into(&mut self.ordered_by);
                    self.tell(Event::Ordered(order));
                }
                Ok(Some((_, Meaning::ChildEnded))) => self.reap(),
                Ok(Some((name, Meaning::Nothing))) => {
                    info!(
                        signal = name,
                        "Got {name}, which means nothing to this version"
                    );
                }
                Ok(None) => return,
                Err(error) => {
                    error!("Signals cannot be read: {error}");
                    return;
                }
            }
        }
    }

    fn hear_client(&mut self, number: u32, asked: &Asked) {
        match asked.request {
            Request::Reload => {
                message::control_request("reload", asked.pid, asked.uid);
                self.ordered_by = format!("rgunicornctl, pid {}", asked.pid);
                self.asking = Some(number);
                self.tell(Event::Ordered(Order::Reload));
                if self.asking.take().is_some() {
                    // The arbiter did not accept it: it is on its way out.
                    let reason = Reason::Stopping.to_string();
                    self.answer(number, &Answer::Failed(reason));
                }
            }
            Request::Status => {
                let text = self.status(Instant::now());
                self.answer(number, &Answer::Done(text));
            }
        }
    }

    fn answer(&mut self, number: u32, answer: &Answer) {
        if let Some(control) = &mut self.control {
            control.answer(number, answer);
        }
    }

    fn hear_fork_server(&mut self, generation: GenerationId) {
        while let Some(server) = self.fork_servers.get_mut(&generation) {
            let Some(link) = &server.link else { return };
            let speaker = server.speaker();
            match link.receive() {
                Ok(Received::Message(FromForkServer::Ready, _)) => {
                    server.ready = true;
                    self.tell(Event::ForkServerReady(generation));
                }
                Ok(Received::Message(FromForkServer::LoadFailed(failure), _)) => {
                    self.refused(speaker, failure, |failure| {
                        Event::ForkServerRefused(generation, failure)
                    });
                }
                Ok(Received::Message(FromForkServer::ForkFailed { worker, reason }, _)) => {
                    let worker = WorkerId(worker);
                    self.tell(Event::ForkFailed(worker, reason));
                    self.forget_worker(worker);
                }
                Ok(Received::Message(FromForkServer::Log(record), _)) => {
                    message::relayed(speaker, &record);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => {
                    server.link = None;
                    return;
                }
                Err(error) => {
                    error!("The link to the fork server of generation {generation} broke: {error}");
                    server.link = None;
                    return;
                }
            }
        }
    }

    fn hear_worker(&mut self, id: WorkerId) {
        while let Some(worker) = self.workers.get_mut(&id) {
            let Some(link) = &worker.link else { return };
            let speaker = worker.speaker();
            match link.receive() {
                Ok(Received::Message(FromWorker::Started { pid }, _)) => {
                    match u32::try_from(pid)
                        .map_err(io::Error::other)
                        .and_then(Handle::of)
                    {
                        Ok(handle) => {
                            worker.handle = Some(handle);
                            message::worker_started(worker.named());
                            self.tell(Event::WorkerStarted(id));
                        }
                        Err(error) => error!("Worker {id} cannot be watched: {error}"),
                    }
                }
                Ok(Received::Message(FromWorker::Ready, _)) => self.tell(Event::WorkerReady(id)),
                Ok(Received::Message(FromWorker::LoadFailed(failure), _)) => {
                    self.refused(speaker, failure, |failure| {
                        Event::WorkerRefused(id, failure)
                    });
                }
                Ok(Received::Message(FromWorker::Log(record), _)) => {
                    message::relayed(speaker, &record);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => return self.link_closed(id),
                Err(error) => {
                    error!("The link to worker {id} broke: {error}");
                    return self.link_closed(id);
                }
            }
        }
    }

    /// A worker closed its link. With a pid, it is about to end, which is heard of
    /// by itself; without one, there never was a process.
    fn link_closed(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.link = None;
            if worker.handle.is_none() {
                let exit = "there was no process".to_owned();
                self.tell(Event::WorkerGone(id, exit));
                self.forget_worker(id);
            }
        }
    }

    fn refused(
        &mut self,
        speaker: Speaker,
        failure: LoadFailure,
        event: impl FnOnce(LoadFailure) -> Event,
    ) {
        self.refused_by = Some(speaker);
        self.tell(event(failure));
    }

    /// Reaps every child that has ended.
    fn reap(&mut self) {
        // A worker that said who it is and ended right after that must be known
        // by its pid before it is reaped.
        let unnamed: Vec<_> = self
            .workers
            .values()
            .filter(|worker| worker.handle.is_none())
            .map(|worker| worker.id)
            .collect();
        for worker in unnamed {
            self.hear_worker(worker);
        }
        loop {
            match process::reap() {
                Ok(Some(reaped)) => self.reaped(reaped.pid, reaped.exit),
                Ok(None) => return,
                Err(error) => {
                    error!("Children cannot be reaped: {error}");
                    return;
                }
            }
        }
    }

    fn reaped(&mut self, pid: u32, exit: String) {
        let worker = self.workers.values().find(|worker| {
            let handle = worker.handle.as_ref();
            handle.is_some_and(|handle| handle.pid == pid)
        });
        if let Some(id) = worker.map(|worker| worker.id) {
            self.hear_worker(id);
            self.tell(Event::WorkerGone(id, exit));
            self.forget_worker(id);
            return;
        }
        let server = self
            .fork_servers
            .values()
            .find(|server| server.handle.pid == pid);
        if let Some(generation) = server.map(|server| server.generation) {
            self.hear_fork_server(generation);
            if let Some(server) = self.fork_servers.get_mut(&generation) {
                finish_outputs(&mut server.pipes, server.handle.pid, generation);
            }
            let exit = match self.fork_servers.get(&generation) {
                Some(server) => server.exit_in_words(&exit),
                None => exit,
            };
            self.tell(Event::ForkServerGone(generation, exit));
            self.fork_servers.remove(&generation);
        }
    }

    /// A worker is no more: what it counted is kept, its row is free.
    fn forget_worker(&mut self, id: WorkerId) {
        let Some(mut worker) = self.workers.remove(&id) else {
            return;
        };
        let speaker = worker.speaker();
        for (stream, output) in worker.pipes.iter_mut().flatten() {
            for record in output.finish(Instant::now()) {
                message::app_output(speaker, *stream, &record);
            }
        }
        if let Some(row) = self.scoreboard.row(worker.row) {
            self.requests_of_the_gone += row.read().requests;
            row.clear();
        }
    }

    // The application's output.

    fn outputs(&self) -> impl Iterator<Item = &Output> {
        let workers = self.workers.values().map(|worker| &worker.pipes);
        let servers = self.fork_servers.values().map(|server| &server.pipes);
        workers
            .chain(servers)
            .flat_map(|pipes| pipes.iter().flatten())
            .map(|(_, output)| output)
    }

    fn flush_outputs(&mut self, now: Instant) {
        let workers = self
            .workers
            .values_mut()
            .map(|worker| (worker.speaker(), &mut worker.pipes));
        let servers = self
            .fork_servers
            .values_mut()
            .map(|server| (server.speaker(), &mut server.pipes));
        for (speaker, pipes) in workers.chain(servers) {
            for (stream, output) in pipes.iter_mut().flatten() {
                if output.deadline().is_some_and(|due| due <= now) {
                    for record in output.flush(now) {
                        message::app_output(speaker, *stream, &record);
                    }
                }
            }
        }
    }

    // Actions.

    /// Tells the arbiter what happened, and does what it says.
    fn tell(&mut self, event: Event) {
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

    fn carry_out(&mut self, action: Action, now: Instant) {
        match action {
            Action::ReloadAccepted(reload) => {
                if let (Some(control), Some(client)) = (&mut self.control, self.asking.take()) {
                    control.wait_for(client, reload);
                }
            }
            Action::ReadConfig => self.read_config(now),
            Action::AdoptConfig => self.adopt_config(),
            Action::DropConfig => self.candidate = None,
            Action::ReloadFinished(reload, outcome) => self.reload_finished(reload, outcome),

            Action::StartForkServer(generation) => self.start_fork_server(generation),
            Action::StopForkServer(generation) => {
                if let Some(server) = self.fork_servers.get_mut(&generation) {
                    server.link = None;
                }
            }
            Action::AbortForkServer(generation) => {
                self.signal_fork_server(generation, Signal::ABORT);
            }
            Action::KillForkServer(generation) => {
                self.signal_fork_server(generation, Signal::KILL);
            }

            Action::Spawn { generation, worker } => self.spawn(generation, worker, now),
            Action::Lend(worker) => self.lend(worker),
            Action::Retire { worker, within } => self.retire(worker, within),
            Action::Quit(worker) => self.signal_worker(worker, Signal::QUIT),
            Action::Abort(worker) => self.signal_worker(worker, Signal::ABORT),
            Action::Kill(worker) => self.signal_worker(worker, Signal::KILL),

            Action::Announce(announcement) => self.announce(announcement, now),
            Action::Report(fact) => self.report(fact, now),
            Action::Exit(status) => self.exit = Some(status),
        }
    }

    fn read_config(&mut self, now: Instant) {
        self.reload_began = now;
        let read = config::load(&self.sources)
            .map_err(|error| error.to_string())
            .and_then(|config| {
                let folder = find_folder(&config).map_err(|error| error.to_string())?;
                Ok((config, folder))
            });
        self.news.push_back(match read {
            Ok((config, folder)) => {
                let wanted = wanted(&config);
                self.candidate = Some((config, folder));
                Event::ConfigRead(wanted)
            }
            Err(reason) => Event::ConfigRefused(reason),
        });
    }

    fn adopt_config(&mut self) {
        if let Some((config, folder)) = self.candidate.take() {
            for setting in self.config.needing_restart(&config) {
                warn!(
                    setting = setting.key,
                    "The new {} takes effect at the next restart", setting.key
                );
            }
            self.log.set_level(config.loglevel.level());
            self.config = config;
            self.folder = folder;
        }
    }

    fn reload_finished(&mut self, reload: ReloadId, outcome: Result<GenerationId, Reason>) {
        self.reload_failure = match &outcome {
            Ok(_) | Err(Reason::Stopping) => None,
            Err(reason) => Some(reason.to_string()),
        };
        let answer = match outcome {
            Ok(generation) => Answer::Done(format!("generation {generation} serves")),
            Err(reason) => Answer::Failed(reason.to_string()),
        };
        if let Some(control) = &mut self.control {
            control.reload_finished(reload, &answer);
        }
    }

    fn start_fork_server(&mut self, generation: GenerationId) {
        let (config, folder) = match &self.candidate {
            Some((config, folder)) => {
                message::reload_began(generation.0, &self.ordered_by);
                (config, folder)
            }
            None => (&self.config, &self.folder),
        };
        let outfit = Outfit {
            config,
            start: &self.sources.start,
            folder,
            read_output: self.log.has_fields(),
        };
        let started =
            ForkServerProcess::start(generation, outfit, &self.scoreboard, config.preload)
                .and_then(|server| {
                    if let Some(link) = &server.link {
                        self.wakeups.add(link, Source::ForkServer(generation))?;
                    }
                    for (stream, output) in server.pipes.iter().flatten() {
                        let source = Source::ForkServerOutput(generation, *stream);
                        self.wakeups.add(output, source)?;
                    }
                    Ok(server)
                });
        match started {
            Ok(server) => {
                self.fork_servers.insert(generation, server);
            }
            Err(error) => {
                let event = Event::ForkServerGone(generation, error.to_string());
                self.news.push_back(event);
            }
        }
    }

    fn signal_fork_server(&self, generation: GenerationId, signal: Signal) {
        if let Some(server) = self.fork_servers.get(&generation) {
            if let Err(error) = server.handle.signal(signal) {
                error!("The fork server of generation {generation} cannot be signalled: {error}");
            }
        }
    }

    fn spawn(&mut self, generation: GenerationId, id: WorkerId, now: Instant) {
        let ordered = self.order_worker(generation, id, now);
        match ordered {
            Ok(worker) => {
                self.workers.insert(id, worker);
            }
            Err(error) => {
                self.news
                    .push_back(Event::ForkFailed(id, error.to_string()));
            }
        }
    }

    fn order_worker(
        &self,
        generation: GenerationId,
        id: WorkerId,
        now: Instant,
    ) -> io::Result<WorkerProcess> {
        let link = self
            .fork_servers
            .get(&generation)
            .and_then(|server| server.link.as_ref())
            .ok_or_else(|| io::Error::other("the fork server is gone"))?;
        let row = (0..ROWS)
            .find(|row| self.workers.values().all(|worker| worker.row != *row))
            .ok_or_else(|| io::Error::other("the scoreboard is full"))?;
        let read_output = self.log.has_fields();
        let worker = WorkerProcess::order(id, generation, row, link, read_output, now)?;
        if let Some(link) = &worker.link {
            self.wakeups.add(link, Source::Worker(id))?;
        }
        for (stream, output) in worker.pipes.iter().flatten() {
            self.wakeups
                .add(output, Source::WorkerOutput(id, *stream))?;
        }
        Ok(worker)
    }

    fn lend(&self, id: WorkerId) {
        let infos = self
            .listeners
            .iter()
            .map(|listener| ListenerInfo {
                name: listener.name.clone(),
                address: listener.address.clone(),
            })
            .collect();
        let listeners = self.listeners.iter().map(|listener| listener.fd.as_fd());
        let fds: Vec<_> = listeners.chain([self.nudge.as_fd()]).collect();
        let sent = self
            .workers
            .get(&id)
            .and_then(|worker| worker.link.as_ref())
            .map(|link| link.send(&ToWorker::Listen(infos), &fds));
        if let Some(Err(error)) = sent {
            // It will not serve and is found out by nobody: it has to go.
            error!("Worker {id} cannot be lent the listeners: {error}");
            self.send_signal(id, Signal::KILL);
        }
    }

    fn retire(&mut self, id: WorkerId, within: Duration) {
        let idle = match self.arbiter.summary().phase {
            Phase::Starting | Phase::Serving | Phase::Reloading => Idle::Serve,
            // Nobody is left to serve a connection that is kept.
            Phase::Stopping => Idle::Hurry,
        };
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if let Some(row) = self.scoreboard.row(worker.row) {
            row.retire();
        }
        let order = ToWorker::Retire { within_ms, idle };
        match worker.link.as_ref().map(|link| link.send(&order, &[])) {
            Some(Ok(())) => {}
            // It does not read its link, or has closed it: a signal says the same.
            Some(Err(_)) | None => self.signal_worker(id, Signal::TERM),
        }
    }

    /// Workers that retire for a reload keep idle connections; when everything
    /// stops, they need not.
    fn ask_the_retiring_to_hurry(&self, within: Duration) {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let idle = Idle::Hurry;
        for worker in self.workers.values() {
            let is_retiring = self
                .arbiter
                .worker(worker.id)
                .is_some_and(|worker| matches!(worker.state, WorkerState::Retiring { .. }));
            if let (true, Some(link)) = (is_retiring, &worker.link) {
                // If it does not take it, it has its old order and its time.
                let _ = link.send(&ToWorker::Retire { within_ms, idle }, &[]);
            }
        }
    }

    fn signal_worker(&mut self, id: WorkerId, signal: Signal) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if worker.handle.is_some() {
            self.send_signal(id, signal);
        } else {
            // There is no process yet. Should it come, it finds its link closed.
            let exit = "it was given up before it came".to_owned();
            self.news.push_back(Event::WorkerGone(id, exit));
            self.forget_worker(id);
        }
    }

    fn send_signal(&self, id: WorkerId, signal: Signal) {
        let handle = self
            .workers
            .get(&id)
            .and_then(|worker| worker.handle.as_ref());
        if let Some(Err(error)) = handle.map(|handle| handle.signal(signal)) {
            error!("Worker {id} cannot be signalled: {error}");
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

/// Reads one of a process's streams once.
fn read_output(wakeups: &Wakeups, pipes: &mut Pipes, speaker: Speaker, stream: Stream) {
    for (_, output) in pipes
        .iter_mut()
        .flatten()
        .filter(|(which, _)| *which == stream)
    {
        match output.read(Instant::now()) {
            Ok(Some(records)) => {
                for record in records {
                    message::app_output(speaker, stream, &record);
                }
            }
            Ok(None) => wakeups.remove(&*output),
            Err(error) => {
                warn!("The output of the application cannot be read: {error}");
                wakeups.remove(&*output);
            }
        }
    }
}

fn finish_outputs(pipes: &mut Pipes, pid: u32, generation: GenerationId) {
    let speaker = Speaker::ForkServer {
        pid,
        generation: generation.0,
    };
    for (stream, output) in pipes.iter_mut().flatten() {
        for record in output.finish(Instant::now()) {
            message::app_output(speaker, *stream, &record);
        }
    }
}

fn complain(notified: io::Result<()>) {
    if let Err(error) = notified {
        message::notify_failed(&error);
    }
}
