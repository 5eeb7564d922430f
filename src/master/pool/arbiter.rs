//! The arbiter: what it knows, what it is told, and what follows from that.
//!
//! Here news is taken in. What a failure means is in `failure.rs`, what is
//! done about it all in `reconcile.rs`.

use super::generation::{self, ForkServer, GenerationId};
use super::pause::Pause;
use super::wanted::{MOST_WORKERS, Wanted};
use super::worker_state::{self, Input, Role, State, Worker, WorkerId};
use super::{Action, Announcement, Event, Fact, Heartbeat, Order, Reason, ReloadId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Decides what the master does.
#[derive(Debug)]
pub struct Arbiter {
    pub(super) wanted: Wanted,
    /// How many workers are wanted now: the configuration's count, and what
    /// orders have made of it since.
    pub(super) count: usize,
    pub(super) lifecycle: Lifecycle,
    /// The generation that serves, or at first shall serve. Workers of lower
    /// ones are to be replaced.
    pub(super) current: GenerationId,
    pub(super) next: Next,
    /// The reload whose generation serves already, while not all workers are of it.
    pub(super) roll: Option<Roll>,
    /// The reload that begins when the one under way is over.
    pub(super) waiting: Option<ReloadId>,
    /// Every fork server that is not reaped.
    pub(super) fork_servers: BTreeMap<GenerationId, ForkServer>,
    /// Every worker that is not reaped.
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Between one worker that fails and the next.
    pub(super) respawn: Pause,
    /// Between one lost fork server and the next.
    pub(super) replace: Pause,
    /// When the heartbeats are looked at again.
    pub(super) next_heartbeat_check: Instant,
    /// What the service manager was told last.
    pub(super) announced: Option<Announcement>,
    /// The last number of each kind that was given away.
    last_generation: u32,
    last_worker: u32,
    last_reload: u32,
    /// What follows from the event that is being taken in.
    pub(super) actions: Vec<Action>,
}

/// Where the whole is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// Nothing has served yet: the first failure ends it.
    Starting,
    /// Some workers serve, and the first others are still coming.
    Filling,
    /// The pool is kept as it is wanted.
    Serving,
    /// Everything is asked to leave; the exit status, and how it is asked.
    Stopping(u8, StopMode),
    /// Nothing is left.
    Over(u8, StopMode),
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopMode {
    /// Running requests are finished.
    Graceful,
    /// They are not.
    Quick,
}

/// The generation that may follow the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// None.
    Nothing,
    /// Its configuration is being read.
    Reading(ReloadId),
    /// It has to prove that it can serve.
    Trying(Candidate),
}

/// A generation that has to prove that it can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) generation: GenerationId,
    /// Its first worker. The generation is promoted when that one is ready.
    pub(super) probe: Option<WorkerId>,
    pub(super) purpose: Purpose,
}

/// What a next generation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// New code and this configuration.
    Reload(ReloadId, Wanted),
    /// A fork server in place of one that was lost.
    Replacement,
}

/// A reload on its way from the first new worker to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Roll {
    pub(super) reload: ReloadId,
    /// How many new workers have failed on the way.
    pub(super) failures: u32,
}

impl Arbiter {
    /// The pool at its beginning, and what has to be done first.
    pub fn new(wanted: Wanted, now: Instant) -> (Self, Vec<Action>) {
        let mut arbiter = Self {
            wanted,
            count: wanted.count(),
            lifecycle: Lifecycle::Starting,
            current: GenerationId(1),
            next: Next::Nothing,
            roll: None,
            waiting: None,
            fork_servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            respawn: Pause::new(Duration::from_millis(100), Duration::from_secs(10)),
            replace: Pause::new(Duration::from_secs(1), Duration::from_secs(30)),
            next_heartbeat_check: now,
            announced: None,
            last_generation: 0,
            last_worker: 0,
            last_reload: 0,
            actions: Vec::new(),
        };
        arbiter.current = arbiter.start_fork_server(wanted.boot_timeout, now);
        let actions = std::mem::take(&mut arbiter.actions);
        (arbiter, actions)
    }

    /// Takes one event in and says what has to be done. `now` never goes back.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        if matches!(self.lifecycle, Lifecycle::Over(..)) {
            return Vec::new();
        }
        self.forget_old_failures(now);
        self.take(event, now);
        self.reconcile(now);
        std::mem::take(&mut self.actions)
    }

    fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Ordered(order) => self.ordered(order),
            Event::ConfigRead(wanted) => self.config_read(wanted, now),
            Event::ConfigRefused(why) => self.config_refused(why),

            Event::ForkServerReady(generation) => {
                self.step_fork_server(generation, generation::Input::Ready, now);
            }
            Event::ForkServerRefused(generation, failure) => {
                if let Some(before @ ForkServer::Starting { .. }) =
                    self.step_fork_server(generation, generation::Input::Stop, now)
                {
                    self.fork_server_lost(generation, before, Reason::Load(failure), now);
                }
            }
            Event::ForkServerGone(generation, how) => {
                if let Some(before) = self.fork_servers.remove(&generation) {
                    if before.is_of_use() {
                        self.fork_server_lost(generation, before, Reason::ForkServerDied(how), now);
                    }
                }
            }

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
            Event::WorkerGone(id, how) => {
                if let Some(worker) = self.workers.remove(&id) {
                    self.worker_gone(id, &worker, how, now);
                }
            }

            Event::Tick(heartbeats) => {
                let interval = self.heartbeat_check_interval();
                // If the master was frozen, so were the workers, perhaps. They
                // get the time to beat again.
                let on_time = now <= self.next_heartbeat_check + interval;
                self.next_heartbeat_check = now + interval;
                for heartbeat in heartbeats.into_iter().filter(|_| on_time) {
                    self.heartbeat(heartbeat, now);
                }
            }
        }
    }

    fn ordered(&mut self, order: Order) {
        let stopping = matches!(
            self.lifecycle,
            Lifecycle::Stopping(..) | Lifecycle::Over(..)
        );
        match order {
            Order::Reload => {
                let reload = self.waiting.unwrap_or_else(|| {
                    self.last_reload += 1;
                    ReloadId(self.last_reload)
                });
                self.actions.push(Action::ReloadAccepted(reload));
                if stopping {
                    let outcome = Err(Reason::Stopping);
                    self.actions.push(Action::ReloadFinished(reload, outcome));
                } else {
                    self.waiting = Some(reload);
                }
            }
            Order::Stop if !stopping => self.stop(0, StopMode::Graceful),
            Order::StopNow => match self.lifecycle {
                Lifecycle::Stopping(status, _) => self.stop(status, StopMode::Quick),
                Lifecycle::Starting | Lifecycle::Filling | Lifecycle::Serving => {
                    self.stop(0, StopMode::Quick);
                }
                Lifecycle::Over(..) => {}
            },
            Order::OneWorkerMore if !stopping => {
                self.change_count((self.count + 1).min(usize::from(MOST_WORKERS)));
            }
            Order::OneWorkerFewer if !stopping => self.change_count((self.count - 1).max(1)),
            Order::Stop | Order::OneWorkerMore | Order::OneWorkerFewer => {}
        }
    }

    fn change_count(&mut self, to: usize) {
        let from = std::mem::replace(&mut self.count, to);
        if from != to {
            self.report(Fact::CountChanged { from, to });
        }
    }

    fn config_read(&mut self, wanted: Wanted, now: Instant) {
        match self.next {
            Next::Reading(reload) => {
                let generation = self.start_fork_server(wanted.boot_timeout, now);
                self.next = Next::Trying(Candidate {
                    generation,
                    probe: None,
                    purpose: Purpose::Reload(reload, wanted),
                });
            }
            // The end began meanwhile.
            Next::Nothing | Next::Trying(_) => self.actions.push(Action::DropConfig),
        }
    }

    fn config_refused(&mut self, why: String) {
        match self.next {
            Next::Reading(reload) => {
                self.next = Next::Nothing;
                self.finish_reload(reload, Err(Reason::Config(why)));
            }
            Next::Nothing | Next::Trying(_) => {}
        }
    }

    fn worker_started(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let generation = worker.generation;
        let boot = self.boot_timeout(generation);
        self.step_worker(id, Input::Started(boot), now);
        // The fork server makes one after the other.
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
        if let Next::Trying(candidate) = self.next {
            if candidate.probe == Some(id) {
                self.promote(candidate, now);
            }
        }
        self.step_worker(id, Input::Ready, now);
        self.report(Fact::WorkerServes(id, generation));
        if self.lifecycle == Lifecycle::Starting {
            self.lifecycle = Lifecycle::Filling;
        }
    }

    /// The candidate has proved that it can serve.
    fn promote(&mut self, candidate: Candidate, now: Instant) {
        self.next = Next::Nothing;
        self.current = candidate.generation;
        match candidate.purpose {
            Purpose::Reload(reload, wanted) => {
                self.actions.push(Action::AdoptConfig);
                self.wanted = wanted;
                self.count = wanted.count();
                self.roll = Some(Roll {
                    reload,
                    failures: 0,
                });
                self.replace.reset();
            }
            Purpose::Replacement => {}
        }
        self.respawn.reset();
        let fork_servers: Vec<GenerationId> = self.fork_servers.keys().copied().collect();
        for generation in fork_servers {
            if generation != self.current {
                self.step_fork_server(generation, generation::Input::Stop, now);
            }
        }
    }

    fn worker_gone(&mut self, id: WorkerId, worker: &Worker, how: String, now: Instant) {
        match worker.state {
            State::Ordered { .. } | State::Starting { .. } => {
                self.worker_failed(id, worker.generation, Reason::WorkerDied(how), now);
            }
            State::Serving { since } => {
                self.report(Fact::WorkerDied(id, how.clone()));
                self.worker_lost(worker.generation, since, Reason::WorkerDied(how), now);
            }
            State::Retiring { .. }
            | State::Leaving { .. }
            | State::Aborted { .. }
            | State::Killed { .. } => self.report(Fact::WorkerLeft(id, how)),
        }
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
        // What was on the scoreboard before it served is not its own.
        let silent = heartbeat.silent.min(now.saturating_duration_since(since));
        if silent <= timeout {
            return;
        }
        self.report(Fact::WorkerTimedOut(heartbeat.worker, silent));
        if let Some((worker, _)) = self.step_worker(heartbeat.worker, Input::Stuck, now) {
            if worker.state.role() == Role::Serving {
                self.worker_lost(worker.generation, since, Reason::TimedOut(silent), now);
            }
        }
    }

    /// Sets the lifecycle to the end. Who waits for a reload waits in vain.
    pub(super) fn stop(&mut self, status: u8, haste: StopMode) {
        self.lifecycle = Lifecycle::Stopping(status, haste);
        self.announce();
        let under_way = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Reading(reload) => Some(reload),
            Next::Trying(Candidate {
                purpose: Purpose::Reload(reload, _),
                ..
            }) => {
                self.actions.push(Action::DropConfig);
                Some(reload)
            }
            Next::Nothing
            | Next::Trying(Candidate {
                purpose: Purpose::Replacement,
                ..
            }) => None,
        };
        let rolling = self.roll.take().map(|roll| roll.reload);
        let waiting = self.waiting.take();
        for reload in [under_way, rolling, waiting].into_iter().flatten() {
            self.finish_reload(reload, Err(Reason::Stopping));
        }
    }

    pub(super) fn finish_reload(
        &mut self,
        reload: ReloadId,
        outcome: Result<GenerationId, Reason>,
    ) {
        self.report(match &outcome {
            Ok(generation) => Fact::ReloadDone(*generation),
            Err(reason) => Fact::ReloadFailed(reason.clone()),
        });
        self.actions.push(Action::ReloadFinished(reload, outcome));
    }

    /// How long a generation may load the application.
    pub(super) fn boot_timeout(&self, generation: GenerationId) -> Option<Duration> {
        match self.next {
            Next::Trying(Candidate {
                generation: candidate,
                purpose: Purpose::Reload(_, wanted),
                ..
            }) if candidate == generation => wanted.boot_timeout,
            Next::Nothing | Next::Reading(_) | Next::Trying(_) => self.wanted.boot_timeout,
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

    pub(super) fn spawn(&mut self, generation: GenerationId, now: Instant) -> WorkerId {
        self.last_worker += 1;
        let worker = WorkerId(self.last_worker);
        let state = State::ordered(now);
        self.workers.insert(worker, Worker { generation, state });
        self.actions.push(Action::Spawn { generation, worker });
        worker
    }

    /// Moves a worker on and has done what that takes. Gives the worker as it
    /// was and its state now.
    pub(super) fn step_worker(
        &mut self,
        id: WorkerId,
        turn: Input,
        now: Instant,
    ) -> Option<(Worker, State)> {
        let worker = self.workers.get_mut(&id)?;
        let before = worker.clone();
        let (state, deed) = before.state.on(turn, now);
        worker.state = state;
        let action = match deed {
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

    /// Moves a fork server on and has done what that takes. Gives its state before.
    pub(super) fn step_fork_server(
        &mut self,
        generation: GenerationId,
        turn: generation::Input,
        now: Instant,
    ) -> Option<ForkServer> {
        let fork_server = self.fork_servers.get_mut(&generation)?;
        let before = *fork_server;
        let (after, deed) = before.on(turn, now);
        *fork_server = after;
        let action = match deed {
            generation::Effect::Nothing => None,
            generation::Effect::Stop => Some(Action::StopForkServer(generation)),
            generation::Effect::Abort => Some(Action::AbortForkServer(generation)),
            generation::Effect::Kill => Some(Action::KillForkServer(generation)),
        };
        self.actions.extend(action);
        Some(before)
    }

    pub(super) fn report(&mut self, fact: Fact) {
        self.actions.push(Action::Report(fact));
    }
}
