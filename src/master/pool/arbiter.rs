//! The arbiter: what it knows, and how events change that.
//!
//! Orders and reloads are in `reload.rs`, what a failure means is in `failure.rs`,
//! and what is done about it all in `reconcile.rs`.

use super::generation::{self, ForkServer, GenerationId};
use super::memory::MemoryChecks;
use super::pause::Pause;
use super::pressure::Pressure;
use super::recycling::Recycling;
use super::reload::{Next, PendingReload, Rollout};
use super::respawn::{Cause, Respawn};
use super::wanted::Wanted;
use super::worker_state::{self, Input, Role, State, Worker, WorkerId};
use super::{Action, Announcement, Event, ExitStatus, Heartbeat, Reason, Report, Requester};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long to wait after an order for a worker that did not get through.
const SPAWN_AGAIN: Duration = Duration::from_millis(50);

/// Decides what the master does.
#[derive(Debug)]
pub struct Arbiter {
    pub(super) wanted: Wanted,
    /// How many workers are wanted now: the configuration's count, changed by
    /// orders since. 0 only after [`RetireAll`](super::Order::RetireAll).
    pub(super) count: usize,
    pub(super) lifecycle: Lifecycle,
    /// The generation that serves, or at the first start is meant to. Workers of
    /// lower ones are to be replaced.
    pub(super) current: GenerationId,
    pub(super) next: Next,
    /// The reload whose generation serves already, while not all workers are of it.
    pub(super) rollout: Option<Rollout>,
    /// The reload that begins when the one under way is over.
    pub(super) waiting: Option<PendingReload>,
    /// The upgrade that begins before that.
    pub(super) waiting_upgrade: Option<PendingReload>,
    /// Every fork server that is not reaped.
    pub(super) fork_servers: BTreeMap<GenerationId, ForkServer>,
    /// Every worker that is not reaped.
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// When workers that are missing may be ordered.
    pub(super) respawn: Respawn,
    /// Until then no worker is ordered: the link to the fork server was full.
    pub(super) spawn_after: Option<Instant>,
    /// Between one lost fork server and the next.
    pub(super) replace: Pause,
    /// When the heartbeats are checked again.
    pub(super) next_heartbeat_check: Instant,
    pub(super) memory_checks: MemoryChecks,
    pub(super) pressure: Pressure,
    pub(super) recycling: Recycling,
    /// What was announced to the service manager last.
    pub(super) announced: Option<Announcement>,
    /// The last number of each kind that is in use. None is used twice.
    pub(super) last_generation: u32,
    pub(super) last_worker: u32,
    pub(super) last_reload: u32,
    /// What follows from the event that is being handled.
    pub(super) actions: Vec<Action>,
}

/// The state of the service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// Nothing has served yet: the first failure ends it.
    Starting,
    /// Some workers serve, and the others are started for the first time.
    Filling,
    /// The pool is kept as it is wanted.
    Serving,
    /// Told to stop by this requester. The pool is kept until then, so that a balancer
    /// can turn to others before connections are refused.
    Draining { by: Requester, until: Instant },
    /// Every process is asked to leave; the exit status, and how they are asked.
    Stopping(u8, StopMode),
    /// Every process is gone, or left behind because SIGKILL does not end it.
    Stopped(u8, StopMode),
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopMode {
    /// Running requests are finished.
    Graceful,
    /// They are not.
    Quick,
}

impl Arbiter {
    /// A pool without processes, and what has to be done first.
    pub fn new(wanted: Wanted, now: Instant) -> (Self, Vec<Action>) {
        let mut arbiter = Self::empty(wanted, now);
        arbiter.current = arbiter.start_fork_server(wanted.boot_timeout, now);
        let actions = std::mem::take(&mut arbiter.actions);
        (arbiter, actions)
    }

    /// A pool without processes.
    pub(super) fn empty(wanted: Wanted, now: Instant) -> Self {
        Self {
            wanted,
            count: wanted.count(),
            lifecycle: Lifecycle::Starting,
            current: GenerationId(1),
            next: Next::Nothing,
            rollout: None,
            waiting: None,
            waiting_upgrade: None,
            fork_servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            respawn: Respawn::new(),
            spawn_after: None,
            replace: Pause::new(Duration::from_secs(1), Duration::from_secs(30)),
            next_heartbeat_check: now,
            memory_checks: MemoryChecks::new(now),
            pressure: Pressure::default(),
            recycling: Recycling::new(now),
            announced: None,
            last_generation: 0,
            last_worker: 0,
            last_reload: 0,
            actions: Vec::new(),
        }
    }

    /// Handles one event and returns what has to be done. `now` never goes back.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        if matches!(self.lifecycle, Lifecycle::Stopped(..)) {
            return Vec::new();
        }
        self.apply(event, now);
        self.reconcile(now);
        std::mem::take(&mut self.actions)
    }

    fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Ordered(order, by) => self.apply_order(order, by, now),
            Event::ConfigRead(wanted) => self.config_read(wanted, now),
            Event::ConfigRefused(why) => self.config_refused(why),
            Event::UpgradeRefused(why) => self.upgrade_refused(why),
            Event::ConfigSettled(generation, wanted) => self.config_settled(generation, wanted),
            Event::ConfigRejected(generation, why) => {
                self.fork_server_refused(generation, Reason::Config(why), now);
            }

            Event::ForkServerReady(generation) => {
                self.step_fork_server(generation, generation::Input::Ready, now);
            }
            Event::ForkServerRefused(generation, failure) => {
                self.fork_server_refused(generation, Reason::Load(failure), now);
            }
            Event::ForkServerLinkClosed(generation) => {
                self.step_fork_server(generation, generation::Input::Disconnected, now);
            }
            Event::ForkServerGone(generation, how) => {
                if let Some(before) = self.fork_servers.remove(&generation) {
                    if before.is_current() {
                        self.fork_server_lost(generation, before, Reason::ForkServerDied(how), now);
                    }
                }
            }

            Event::SpawnDeferred(id) => self.spawn_deferred(id, now),
            Event::ForkFailed(id, why) => {
                if let Some(worker) = self.workers.get(&id) {
                    if matches!(worker.state, State::Ordered { .. }) {
                        let generation = worker.generation;
                        self.workers.remove(&id);
                        self.worker_failed(id, generation, Reason::Fork(why), now);
                    }
                }
            }
            Event::WorkerStarted(id) => self.worker_started(id, now),
            Event::WorkerReady(id) => self.worker_ready(id, now),
            Event::WorkerRefused(id, failure) => {
                if let Some((worker, State::Leaving { .. })) =
                    self.step_worker(id, Input::Refused, now)
                {
                    if matches!(worker.state, State::Starting { .. }) {
                        let reason = Reason::Load(failure);
                        self.worker_failed(id, worker.generation, reason, now);
                    }
                }
            }
            Event::WorkerGone {
                worker: id,
                exit,
                served,
            } => {
                if let Some(worker) = self.workers.remove(&id) {
                    self.worker_gone(id, &worker, exit, served, now);
                }
            }

            Event::MemoryMeasured(check, uses) => self.memory_measured(check, &uses, now),
            Event::RequestsCounted(counts) => self.requests_counted(&counts),
            Event::MemoryPressure => self.memory_pressure(now),
            Event::Collected(id) => self.pressure.collected(id),
            Event::PoolStuck => self.abort_serving(now),

            Event::Tick(heartbeats) => {
                let interval = self.heartbeat_check_interval();
                // If the master was stopped, its workers probably were, too: they
                // get time for a heartbeat.
                let on_time = now <= self.next_heartbeat_check + interval;
                self.next_heartbeat_check = now + interval;
                for heartbeat in heartbeats.into_iter().filter(|_| on_time) {
                    self.heartbeat(heartbeat, now);
                }
            }
        }
    }

    fn fork_server_refused(&mut self, generation: GenerationId, reason: Reason, now: Instant) {
        let before = self.step_fork_server(generation, generation::Input::Stop, now);
        if let Some(before) = before.filter(|server| server.is_current()) {
            self.fork_server_lost(generation, before, reason, now);
        }
    }

    /// The order did not get through. Nobody failed: it is given again in a moment,
    /// or to the next fork server if this one is about to end.
    fn spawn_deferred(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if !matches!(worker.state, State::Ordered { .. }) {
            return;
        }
        let (generation, cause) = (worker.generation, worker.cause);
        self.workers.remove(&id);
        if generation == self.current {
            self.respawn.order_again(cause, now);
        }
        self.spawn_after = Some(now + SPAWN_AGAIN);
        if let Next::Testing(candidate) = &mut self.next {
            if candidate.probe == Some(id) {
                candidate.probe = None;
            }
        }
    }

    fn worker_started(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let generation = worker.generation;
        let boot = self.boot_timeout(generation);
        self.step_worker(id, Input::Started(boot), now);
        // The fork server forks one after the other.
        for worker in self.workers.values_mut() {
            if worker.generation == generation {
                worker.state = worker.state.on(Input::Queued, now).0;
            }
        }
    }

    fn worker_ready(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if !matches!(worker.state, State::Starting { .. }) {
            return;
        }
        let generation = worker.generation;
        if let Next::Testing(candidate) = self.next {
            if candidate.probe == Some(id) {
                self.promote(candidate, now);
            }
        }
        if generation == self.current {
            self.respawn.loaded();
        }
        self.step_worker(id, Input::Ready, now);
        self.report(Report::WorkerServes(id, generation));
        if self.lifecycle == Lifecycle::Starting {
            self.lifecycle = Lifecycle::Filling;
        }
    }

    fn worker_gone(
        &mut self,
        id: WorkerId,
        worker: &Worker,
        exit: ExitStatus,
        served: bool,
        now: Instant,
    ) {
        match worker.state {
            // The fork server's end is the failure, not this.
            State::Ordered { .. } if !self.can_fork(worker.generation) => {}
            State::Ordered { .. } | State::Starting { .. } => {
                self.worker_failed(id, worker.generation, Reason::WorkerDied(exit), now);
            }
            State::Serving { since } => {
                self.report(Report::WorkerDied(id, exit));
                let reason = Reason::WorkerDied(exit);
                if served {
                    self.worker_lost_in_use(worker.generation, reason, now);
                } else {
                    self.worker_lost_unused(worker.generation, since, reason, now);
                }
            }
            State::Retiring { .. }
            | State::Leaving { .. }
            | State::Aborted { .. }
            | State::Killed { .. } => self.report(Report::WorkerLeft(id, exit)),
        }
    }

    fn can_fork(&self, generation: GenerationId) -> bool {
        matches!(
            self.fork_servers.get(&generation),
            Some(ForkServer::Ready { .. })
        )
    }

    fn heartbeat(&mut self, heartbeat: Heartbeat, now: Instant) {
        let (Some(timeout), Some(worker)) =
            (self.wanted.timeout, self.workers.get(&heartbeat.worker))
        else {
            return;
        };
        let Some(since) = worker.state.beats_since() else {
            return;
        };
        // The row may still hold the heartbeat of its last user.
        let silent = heartbeat.silent.min(now.saturating_duration_since(since));
        if silent <= timeout {
            return;
        }
        self.report(Report::WorkerTimedOut(heartbeat.worker, silent));
        if let Some((worker, _)) = self.step_worker(heartbeat.worker, Input::Stuck, now) {
            if worker.state.role() == Role::Serving {
                // Its successors need no limit: it takes the whole timeout each time.
                let reason = Reason::TimedOut(silent);
                self.worker_lost_in_use(worker.generation, reason, now);
            }
        }
    }

    fn abort_serving(&mut self, now: Instant) {
        let serving: Vec<WorkerId> = (self.workers.iter())
            .filter(|(_, worker)| worker.serves())
            .map(|(&id, _)| id)
            .collect();
        for id in serving {
            self.step_worker(id, Input::Stuck, now);
        }
    }

    pub(super) fn start_fork_server(
        &mut self,
        boot_timeout: Option<Duration>,
        now: Instant,
    ) -> GenerationId {
        self.last_generation += 1;
        let generation = GenerationId(self.last_generation);
        let fork_server = ForkServer::starting(boot_timeout, now);
        self.fork_servers.insert(generation, fork_server);
        self.actions.push(Action::StartForkServer(generation));
        generation
    }

    pub(super) fn spawn(
        &mut self,
        generation: GenerationId,
        cause: Cause,
        now: Instant,
    ) -> WorkerId {
        self.last_worker += 1;
        let id = WorkerId(self.last_worker);
        let worker = Worker {
            generation,
            state: State::ordered(now),
            cause,
            to_be_replaced: false,
        };
        self.workers.insert(id, worker);
        self.actions.push(Action::Spawn {
            generation,
            worker: id,
        });
        id
    }

    /// Applies an input to a worker, with the action that follows. Gives the worker
    /// as it was and its state now.
    pub(super) fn step_worker(
        &mut self,
        id: WorkerId,
        input: Input,
        now: Instant,
    ) -> Option<(Worker, State)> {
        let worker = self.workers.get_mut(&id)?;
        let before = worker.clone();
        let (state, effect) = before.state.on(input, now);
        worker.state = state;
        let action = match effect {
            worker_state::Effect::Nothing => None,
            worker_state::Effect::Lend => Some(Action::Lend(id)),
            worker_state::Effect::Retire(within) => Some(Action::Retire { worker: id, within }),
            worker_state::Effect::Quit => Some(Action::Quit(id)),
            worker_state::Effect::Abort => Some(Action::Abort(id)),
            worker_state::Effect::Kill => Some(Action::Kill(id)),
        };
        self.actions.extend(action);
        Some((before, state))
    }

    /// Applies an input to a fork server, with the action that follows. Gives its
    /// state before.
    pub(super) fn step_fork_server(
        &mut self,
        generation: GenerationId,
        input: generation::Input,
        now: Instant,
    ) -> Option<ForkServer> {
        let fork_server = self.fork_servers.get_mut(&generation)?;
        let before = *fork_server;
        let (after, effect) = before.on(input, now);
        *fork_server = after;
        let action = match effect {
            generation::Effect::Nothing => None,
            generation::Effect::Stop => Some(Action::StopForkServer(generation)),
            generation::Effect::Abort => Some(Action::AbortForkServer(generation)),
            generation::Effect::Kill => Some(Action::KillForkServer(generation)),
        };
        self.actions.extend(action);
        Some(before)
    }

    pub(super) fn report(&mut self, report: Report) {
        self.actions.push(Action::Report(report));
    }
}
