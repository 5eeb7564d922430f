//! The processes, and what they share with the master: links, listeners, the
//! scoreboard.

use super::idle::Activity;
use super::outputs::Outliving;
use super::reload::Deployment;
use crate::config::{Config, Start};
use crate::listeners::Listener;
use crate::pool::{ExitStatus, GenerationId, Heartbeat, MemoryUse, WorkerId};
use crate::process::{
    self, ControlGroups, ForkServerProcess, Launch, Occasion, OomKills, OutputTo, WorkerProcess,
};
use crate::status::Totals;
use crate::sys::handed_over::HandedOver;
use crate::upgrade::state::{ListenerState, ProcessesState};
use crate::wakeups::{Source, Wakeups};
use rgunicorn_link::protocol::{Idle, ListenerInfo, Moment, ToForkServer, ToWorker, millis};
use rgunicorn_link::scoreboard::{ROWS, Reading, Row, now_ms};
use rgunicorn_link::{HandoverSockets, Scoreboard};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use tracing::{debug, error, warn};

/// The most calls of hooks that wait for a fork server.
const MOST_MISSED_CALLS: usize = 1024;

pub(super) struct Processes {
    pub(super) fork_servers: BTreeMap<GenerationId, ForkServerProcess>,
    pub(super) workers: BTreeMap<WorkerId, WorkerProcess>,
    scoreboard: Scoreboard,
    listeners: Vec<Listener>,
    /// By this eventfd workers wake each other when connections wait.
    nudge: OwnedFd,
    /// By these they give connections to each other. Here as well, so that those on their
    /// way outlive the workers.
    handover: HandoverSockets,
    /// Where the application's output goes.
    output: OutputTo,
    /// What the hooks are to be told when there is a fork server again.
    missed_calls: VecDeque<ToForkServer>,
    pub(super) outliving: Outliving,
    /// What workers that are gone have counted.
    past: Totals,
    /// `None`: the workers have none of their own.
    groups: Option<ControlGroups>,
    oom_kills: OomKills,
    /// A worker's memory could not be measured, which was logged.
    is_memory_hidden: bool,
}

/// Why a worker was not ordered.
pub(super) enum SpawnError {
    /// The link to the fork server is full or closed: nobody has failed yet.
    Deferred,
    Failed(io::Error),
}

impl Processes {
    pub(super) fn new(
        listeners: Vec<Listener>,
        output: OutputTo,
        now: Instant,
    ) -> io::Result<Self> {
        let groups = ControlGroups::take_over();
        let oom_kills = OomKills::new(groups.as_ref().map(ControlGroups::service), now);
        Ok(Self {
            fork_servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            scoreboard: Scoreboard::create()?,
            listeners,
            nudge: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            handover: HandoverSockets::pair()?,
            output,
            missed_calls: VecDeque::new(),
            outliving: Outliving::default(),
            past: Totals::default(),
            groups,
            oom_kills,
            is_memory_hidden: false,
        })
    }

    // An upgrade.

    /// For the program that takes over.
    pub(super) fn hand_over<'a>(
        &'a self,
        fds: &mut HandedOver<'a>,
        now: Instant,
    ) -> (ProcessesState, Vec<ListenerState>) {
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|listener| listener.hand_over(fds)).collect();
        let state = ProcessesState {
            fork_servers: (self.fork_servers.values())
                .map(|server| server.hand_over(fds))
                .collect(),
            workers: (self.workers.values())
                .map(|worker| worker.hand_over(fds, now))
                .collect(),
            scoreboard: fds.add(self.scoreboard.as_fd()),
            nudge: fds.add(self.nudge.as_fd()),
            give: fds.add(self.handover.give.as_fd()),
            take: fds.add(self.handover.take.as_fd()),
            missed_calls: self.missed_calls.iter().cloned().collect(),
            outliving: self.outliving.hand_over(fds),
            past: (self.past.requests, self.past.errors, self.past.bytes),
        };
        (state, listeners)
    }

    pub(super) fn adopt_all(
        state: ProcessesState,
        listeners: Vec<Listener>,
        output: OutputTo,
        wakeups: &Wakeups,
        now: Instant,
    ) -> io::Result<Self> {
        let groups = ControlGroups::take_over();
        let oom_kills = OomKills::new(groups.as_ref().map(ControlGroups::service), now);
        let (requests, errors, bytes) = state.past;
        let mut processes = Self {
            fork_servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            scoreboard: Scoreboard::open(state.scoreboard.take()?)?,
            listeners,
            nudge: state.nudge.take()?,
            handover: HandoverSockets {
                give: state.give.take()?,
                take: state.take.take()?,
            },
            output,
            missed_calls: state.missed_calls.into(),
            outliving: Outliving::adopt(&state.outliving, wakeups)?,
            past: Totals {
                requests,
                errors,
                bytes,
                ..Totals::default()
            },
            groups,
            oom_kills,
            is_memory_hidden: false,
        };
        for server in &state.fork_servers {
            processes.watch(ForkServerProcess::adopt(server, output)?, wakeups)?;
        }
        for worker in &state.workers {
            processes.watch_worker(WorkerProcess::adopt(worker, now)?, wakeups)?;
        }
        Ok(processes)
    }

    // Fork servers.

    pub(super) fn start_fork_server(
        &mut self,
        generation: GenerationId,
        deployment: &Deployment,
        start: &Start,
        wakeups: &Wakeups,
    ) -> io::Result<()> {
        let launch = Launch {
            config: &deployment.config,
            start,
            folder: &deployment.folder,
            output: match self.output {
                OutputTo::Inherited if deployment.config.captures_output() => OutputTo::Lines,
                output => output,
            },
            account: None,
        };
        let server = ForkServerProcess::start(generation, launch, &self.scoreboard)?;
        self.watch(server, wakeups)
    }

    /// Takes over a fork server that has run its program before there was a master.
    pub(super) fn adopt(
        &mut self,
        mut server: ForkServerProcess,
        config: &Config,
        wakeups: &Wakeups,
    ) -> io::Result<()> {
        let occasion = self.occasion(Moment::Start, config.workers.count());
        server.configure(config, &self.scoreboard, Some(occasion))?;
        self.watch(server, wakeups)
    }

    fn watch(&mut self, server: ForkServerProcess, wakeups: &Wakeups) -> io::Result<()> {
        let generation = server.generation;
        if let Some(link) = &server.link {
            wakeups.add(link, Source::ForkServer(generation))?;
        }
        for (stream, output) in server.pipes.iter().flatten() {
            wakeups.add(output, Source::ForkServerOutput(generation, *stream))?;
        }
        self.fork_servers.insert(generation, server);
        Ok(())
    }

    /// Tells a fork server that has run its program what to serve.
    pub(super) fn configure(
        &mut self,
        generation: GenerationId,
        config: &Config,
        moment: Moment,
        count: usize,
    ) {
        let occasion = self.occasion(moment, count);
        let Some(server) = self.fork_servers.get_mut(&generation) else {
            return;
        };
        if let Err(error) = server.configure(config, &self.scoreboard, Some(occasion)) {
            // It waits for this, and would do so for ever: killed, it is replaced.
            error!("Cannot configure the fork server of generation {generation}: {error}");
            self.signal_fork_server(generation, Signal::KILL);
        }
    }

    fn occasion(&self, moment: Moment, count: usize) -> Occasion {
        let addresses = self.listeners.iter();
        let addresses = addresses.map(|listener| listener.address.clone());
        Occasion {
            moment,
            addresses: addresses.collect(),
            count,
        }
    }

    /// Tells the hooks of a generation what has happened. Returns whether there are any, and
    /// they are told.
    pub(super) fn tell_hooks(&self, generation: GenerationId, what: &ToForkServer) -> bool {
        let server = self.fork_servers.get(&generation);
        server.is_some_and(|server| server.tell(what))
    }

    /// The same, after what could not be told before: in between there was no fork server.
    pub(super) fn tell_hooks_in_order(&mut self, generation: GenerationId, what: ToForkServer) {
        if self.missed_calls.len() >= MOST_MISSED_CALLS {
            warn!("A hook misses a call: there has been no fork server for too long");
            self.missed_calls.pop_front();
        }
        self.missed_calls.push_back(what);
        self.tell_missed_calls(generation);
    }

    pub(super) fn tell_missed_calls(&mut self, generation: GenerationId) {
        while let Some(what) = self.missed_calls.front() {
            if !self.tell_hooks(generation, what) {
                return;
            }
            self.missed_calls.pop_front();
        }
    }

    /// Makes a fork server exit.
    pub(super) fn close_link(&mut self, generation: GenerationId) {
        if let Some(server) = self.fork_servers.get_mut(&generation) {
            server.link = None;
        }
    }

    pub(super) fn signal_fork_server(&self, generation: GenerationId, signal: Signal) {
        if let Some(server) = self.fork_servers.get(&generation) {
            if let Err(error) = server.handle.signal(signal) {
                error!("Cannot signal the fork server of generation {generation}: {error}");
            }
        }
    }

    // Workers.

    pub(super) fn spawn(
        &mut self,
        generation: GenerationId,
        id: WorkerId,
        worker_memory_max: Option<u64>,
        wakeups: &Wakeups,
        now: Instant,
    ) -> Result<(), SpawnError> {
        let spawned = self.try_to_spawn(generation, id, worker_memory_max, wakeups, now);
        if let (Err(_), Some(groups)) = (&spawned, &mut self.groups) {
            groups.remove(id);
        }
        spawned
    }

    fn try_to_spawn(
        &mut self,
        generation: GenerationId,
        id: WorkerId,
        worker_memory_max: Option<u64>,
        wakeups: &Wakeups,
        now: Instant,
    ) -> Result<(), SpawnError> {
        let server = self.fork_servers.get(&generation);
        let server = server.ok_or(SpawnError::Deferred)?;
        let link = server.link.as_ref().ok_or(SpawnError::Deferred)?;
        let row = (0..ROWS)
            .find(|row| self.workers.values().all(|worker| worker.row != *row))
            .ok_or_else(|| SpawnError::Failed(io::Error::other("the scoreboard is full")))?;
        let groups = self.groups.as_mut();
        let group = groups.and_then(|groups| groups.create(id, worker_memory_max));
        let group = group.as_ref().map(AsFd::as_fd);
        let reads_output = server.worker_output != OutputTo::Inherited;
        let worker = WorkerProcess::order(id, generation, row, link, reads_output, group, now)?;
        self.watch_worker(worker, wakeups)?;
        Ok(())
    }

    fn watch_worker(&mut self, worker: WorkerProcess, wakeups: &Wakeups) -> io::Result<()> {
        let id = worker.id;
        if let Some(link) = &worker.link {
            wakeups.add(link, Source::Worker(id))?;
        }
        for (stream, output) in worker.pipes.iter().flatten() {
            wakeups.add(output, Source::WorkerOutput(id, *stream))?;
        }
        self.workers.insert(id, worker);
        Ok(())
    }

    /// Closes what the workers close as well, once they have accepted what waits there:
    /// from then on clients are refused, and turn to another server at once. What systemd
    /// has stored it keeps open for the next start, and at a stop until the unit has ended.
    pub(super) fn close_own_listeners(&mut self) {
        self.listeners.retain(|listener| !listener.closes_at_stop());
    }

    /// Lends a worker the listeners: it accepts connections from here on.
    pub(super) fn lend(&self, id: WorkerId) {
        let infos = self
            .listeners
            .iter()
            .map(|listener| ListenerInfo {
                address: listener.address.clone(),
                closes_at_stop: listener.closes_at_stop(),
            })
            .collect();
        let listeners = self.listeners.iter().map(|listener| listener.fd.as_fd());
        let HandoverSockets { give, take } = &self.handover;
        let shared = [self.nudge.as_fd(), give.as_fd(), take.as_fd()];
        let fds: Vec<_> = listeners.chain(shared).collect();
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let link = worker.link.as_ref();
        match link.map(|link| link.send(&ToWorker::Listen(infos), &fds)) {
            Some(Ok(())) => self.scoreboard.serves(worker.row),
            Some(Err(error)) => {
                // Its heartbeat goes on, but it would never serve: kill it, so that it is
                // replaced.
                error!("Cannot lend worker {id} the listeners: {error}");
                self.signal_worker(id, Signal::KILL);
            }
            None => {}
        }
    }

    /// All workers know from here on that the service stops.
    pub(super) fn note_stop(&self) {
        self.scoreboard.stop();
    }

    pub(super) fn retire(&self, id: WorkerId, within: Duration, idle: Idle) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        self.scoreboard.retire(worker.row, idle);
        let order = retire_order(within, idle);
        match worker.link.as_ref().map(|link| link.send(&order, &[])) {
            // It does not read its link: the signal has the same meaning.
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.signal_worker(id, Signal::TERM);
            }
            // A worker that has closed its link is about to exit.
            Some(Ok(()) | Err(_)) | None => {}
        }
    }

    /// Asks a worker to collect its garbage. One that does not read its link is asked again
    /// when memory is short the next time.
    pub(super) fn collect(&self, id: WorkerId) {
        let link = self
            .workers
            .get(&id)
            .and_then(|worker| worker.link.as_ref());
        if let Some(Err(error)) = link.map(|link| link.send(&ToWorker::Collect, &[])) {
            debug!(
                worker_id = id.0,
                "Cannot ask worker {id} to collect garbage: {error}"
            );
        }
    }

    /// Lets the workers open their log files anew.
    pub(super) fn reopen_logs(&self) {
        for (id, worker) in &self.workers {
            let link = worker.link.as_ref();
            if let Some(Err(_)) = link.map(|link| link.send(&ToWorker::ReopenLogs, &[])) {
                // It does not read its link: the signal has the same meaning.
                self.signal_worker(*id, Signal::USR1);
            }
        }
    }

    /// Lets a worker that is retiring close idle connections soon.
    pub(super) fn hurry(&self, id: WorkerId, within: Duration) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        self.scoreboard.retire(worker.row, Idle::CloseSoon);
        if let Some(link) = &worker.link {
            // If its link is full, it still has its first order, and is killed when
            // it has not left in time.
            let _ = link.send(&retire_order(within, Idle::CloseSoon), &[]);
        }
    }

    /// Whether there is a process with a known pid.
    pub(super) fn has_started(&self, id: WorkerId) -> bool {
        let worker = self.workers.get(&id);
        worker.is_some_and(|worker| worker.handle.is_some())
    }

    pub(super) fn signal_worker(&self, id: WorkerId, signal: Signal) {
        let handle = self
            .workers
            .get(&id)
            .and_then(|worker| worker.handle.as_ref());
        if let Some(Err(error)) = handle.map(|handle| handle.signal(signal)) {
            error!("Cannot signal worker {id}: {error}");
        }
    }

    /// The worker is gone: its requests stay counted, its row is free again.
    pub(super) fn remove_worker(&mut self, id: WorkerId) -> Option<WorkerProcess> {
        let worker = self.workers.remove(&id)?;
        if let Some(row) = self.scoreboard.row(worker.row) {
            add(&mut self.past, row.read());
        }
        self.scoreboard.clear(worker.row);
        if let Some(groups) = &mut self.groups {
            groups.remove(id);
        }
        Some(worker)
    }

    // Who ended, and how.

    pub(super) fn worker_with_pid(&self, pid: u32) -> Option<WorkerId> {
        let has_pid = |worker: &&WorkerProcess| {
            let handle = worker.handle.as_ref();
            handle.is_some_and(|handle| handle.pid == pid)
        };
        self.workers.values().find(has_pid).map(|worker| worker.id)
    }

    pub(super) fn fork_server_with_pid(&self, pid: u32) -> Option<GenerationId> {
        (self.fork_servers.values())
            .find(|server| server.handle.pid == pid)
            .map(|server| server.generation)
    }

    /// Replaces a SIGKILL that the kernel sent because memory ran out by `OutOfMemory`.
    pub(super) fn explain(&mut self, exit: ExitStatus) -> ExitStatus {
        if exit.is_signal(nix::sys::signal::Signal::SIGKILL) && self.oom_kills.explains_a_death() {
            ExitStatus::OutOfMemory
        } else {
            exit
        }
    }

    /// The same for a worker: another one's group may be the one that has had the kill.
    pub(super) fn explain_worker(&mut self, id: WorkerId, exit: ExitStatus) -> ExitStatus {
        let is_in_group = (self.workers.get(&id)).is_some_and(|worker| worker.is_in_group);
        let own_group = self.groups.as_ref().filter(|_| is_in_group);
        match own_group.and_then(|groups| groups.had_oom_kill(id)) {
            Some(false) => exit,
            Some(true) | None => self.explain(exit),
        }
    }

    /// Keeps the counter recent with which [`Self::explain`] compares.
    pub(super) fn refresh_counters(&mut self, now: Instant) {
        self.oom_kills.refresh(now);
    }

    pub(super) fn next_refresh(&self) -> Instant {
        self.oom_kills.due()
    }

    /// The memory of these workers; exact where it is more than `above`.
    pub(super) fn measure_memory(&mut self, workers: &[WorkerId], above: u64) -> Vec<MemoryUse> {
        let mut uses = Vec::new();
        for &worker in workers {
            let process = self.workers.get(&worker);
            let Some(handle) = process.and_then(|process| process.handle.as_ref()) else {
                continue;
            };
            match process::own_memory(handle.pid, above) {
                Ok(own) => {
                    let reading = self.reading(worker);
                    let is_idle = reading.is_some_and(|reading| reading.busy_since_ms == 0);
                    uses.push(MemoryUse {
                        worker,
                        own,
                        is_idle,
                    });
                }
                // It has just ended.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {}
                Err(error) if !self.is_memory_hidden => {
                    self.is_memory_hidden = true;
                    let pid = handle.pid;
                    error!(
                        "The memory of workers cannot be measured, and none is replaced for \
                         having too much: worker {worker}, /proc/{pid}/smaps_rollup: {error}"
                    );
                }
                Err(_) => {}
            }
        }
        uses
    }

    // What the scoreboard holds.

    pub(super) fn reading(&self, worker: WorkerId) -> Option<Reading> {
        let row = self.workers.get(&worker)?.row;
        self.scoreboard.row(row).map(Row::read)
    }

    /// Whether a worker has seen that it is to leave.
    pub(super) fn has_begun_to_leave(&self, worker: WorkerId) -> bool {
        let row = self.workers.get(&worker).map(|worker| worker.row);
        let row = row.and_then(|row| self.scoreboard.row(row));
        row.is_some_and(|row| row.retired().is_some())
    }

    /// The method and the path of the request that a worker is in, or else was in last.
    pub(super) fn request_of(&self, worker: WorkerId) -> Option<Vec<u8>> {
        let row = self.workers.get(&worker)?.row;
        self.scoreboard.row(row).and_then(Row::request)
    }

    /// Whether a worker has answered a request, or is in one.
    pub(super) fn has_served(&self, worker: WorkerId) -> bool {
        self.reading(worker)
            .is_some_and(|reading| reading.requests > 0 || reading.busy_since_ms > 0)
    }

    /// How long each of these workers has been silent.
    pub(super) fn heartbeats(&self, workers: impl Iterator<Item = WorkerId>) -> Vec<Heartbeat> {
        let now_ms = now_ms();
        workers
            .filter_map(|worker| {
                let beat_ms = self.reading(worker)?.beat_ms;
                let silent = Duration::from_millis(now_ms.saturating_sub(beat_ms));
                Some(Heartbeat { worker, silent })
            })
            .collect()
    }

    /// What the workers have done and hold.
    pub(super) fn activity(&self) -> Activity {
        let rows = || self.workers.keys().filter_map(|id| self.reading(*id));
        Activity {
            requests: self.totals().requests,
            is_serving: rows().any(|row| row.connections > 0 || row.busy_since_ms > 0),
        }
    }

    /// Whether a connection waits to be accepted. If that cannot be found out, one may.
    pub(super) fn has_waiting_connections(&self) -> bool {
        let mut listeners: Vec<_> = (self.listeners.iter())
            .map(|listener| PollFd::new(&listener.fd, PollFlags::IN))
            .collect();
        !matches!(
            rustix::event::poll(&mut listeners, Some(&Timespec::default())),
            Ok(0)
        )
    }

    pub(super) fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.past;
        for reading in self.workers.keys().filter_map(|id| self.reading(*id)) {
            add(&mut totals, reading);
            totals.busy += usize::from(reading.busy_since_ms > 0);
        }
        totals
    }
}

fn add(totals: &mut Totals, counted: Reading) {
    // A worker can write anything there.
    totals.requests = totals.requests.saturating_add(counted.requests);
    totals.errors = totals.errors.saturating_add(counted.errors);
    totals.bytes = totals.bytes.saturating_add(counted.bytes);
    totals.access_lost = totals.access_lost.saturating_add(counted.access_lost);
}

fn retire_order(within: Duration, idle: Idle) -> ToWorker {
    ToWorker::Retire {
        within_ms: millis(within),
        idle,
    }
}

impl From<io::Error> for SpawnError {
    /// A link that is full takes the order later. One that is closed belongs to a
    /// fork server that is about to end, which will be reported by itself.
    /// `ETOOMANYREFS`: too many descriptors are on their way at once (unix(7)).
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::AGAIN | Errno::PIPE | Errno::CONNRESET | Errno::TOOMANYREFS) => {
                Self::Deferred
            }
            Some(_) | None => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rgunicorn_link::Link;
    use std::fs;

    /// How ordering workers on this link ends.
    fn first_error(link: &Link) -> Option<SpawnError> {
        (0..10_000)
            .map(|number| {
                let (id, generation) = (WorkerId(number), GenerationId(1));
                WorkerProcess::order(id, generation, 0, link, false, None, Instant::now())
            })
            .find_map(Result::err)
            .map(SpawnError::from)
    }

    #[test]
    fn an_order_that_a_full_link_does_not_take_is_deferred() {
        let (link, _fork_server) = Link::pair().unwrap();

        assert!(matches!(first_error(&link), Some(SpawnError::Deferred)));
    }

    #[test]
    fn an_order_for_a_fork_server_that_is_gone_is_deferred() {
        let (link, fork_server) = Link::pair().unwrap();
        drop(fork_server);

        assert!(matches!(first_error(&link), Some(SpawnError::Deferred)));
    }

    #[test]
    fn a_kill_is_told_by_the_group_that_the_worker_is_in() {
        const SIGKILL: ExitStatus = ExitStatus::Signal {
            number: nix::libc::SIGKILL,
            core_dumped: false,
        };
        let service = tempfile::tempdir().unwrap();
        let count = |group: &str, kills| {
            let folder = service.path().join(group);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("memory.events"), format!("oom_kill {kills}\n")).unwrap();
        };
        count("", 0);
        let (link, _fork_server) = Link::pair().unwrap();
        let now = Instant::now();
        let mut processes = Processes::new(Vec::new(), OutputTo::Inherited, now).unwrap();
        processes.groups = Some(ControlGroups::below(service.path()));
        processes.oom_kills = OomKills::new(Some(service.path()), now);
        for (number, is_in_group) in [(1, true), (2, true), (3, false)] {
            count(&format!("worker-{number}"), 0);
            let (id, generation) = (WorkerId(number), GenerationId(1));
            let mut worker =
                WorkerProcess::order(id, generation, 0, &link, false, None, now).unwrap();
            worker.is_in_group = is_in_group;
            processes.workers.insert(id, worker);
        }

        // The kernel has killed worker 2 in its group, and worker 3 in that of the master.
        count("worker-2", 1);
        count("", 2);

        let mut explained = |number| processes.explain_worker(WorkerId(number), SIGKILL);
        assert_eq!(explained(1), SIGKILL);
        assert_eq!(explained(2), ExitStatus::OutOfMemory);
        assert_eq!(explained(3), ExitStatus::OutOfMemory);
        // No kill is left to explain another death.
        assert_eq!(explained(3), SIGKILL);
    }
}
