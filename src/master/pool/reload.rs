//! Orders, and the stages of a reload: ordered, read, tested, promoted, rolled out.

use super::arbiter::{Lifecycle, StopMode};
use super::generation::{self, GenerationId};
use super::memory::MemoryChecks;
use super::respawn::Respawn;
use super::wanted::{MOST_WORKERS, Wanted};
use super::worker_state::{WorkerId, later};
use super::{Action, Arbiter, Order, Reason, ReloadId, Report, Requester};
use std::time::{Duration, Instant};

/// The generation that may replace the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Its configuration is being read.
    Reading(PendingReload),
    /// It will be started by another program, if that can take over.
    Upgrading(PendingReload),
    /// It has to prove that it can serve.
    Testing(Candidate),
}

/// A reload that was ordered, and by whom first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PendingReload {
    pub(super) reload: ReloadId,
    pub(super) by: Requester,
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

/// A reload whose first new worker serves, and whose last does not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rollout {
    pub(super) reload: ReloadId,
    /// How many new workers failed before they served a request.
    pub(super) failures: u32,
    /// How many new workers were lost after that: they count as replaced old ones.
    pub(super) lost_in_use: u32,
    /// The lowest number of old workers so far, and since when.
    pub(super) fewest_old: usize,
    pub(super) advanced: Instant,
}

impl Rollout {
    fn new(reload: ReloadId, now: Instant) -> Self {
        Self {
            reload,
            failures: 0,
            lost_in_use: 0,
            fewest_old: usize::MAX,
            advanced: now,
        }
    }
}

impl Arbiter {
    pub(super) fn apply_order(&mut self, order: Order, by: Requester, now: Instant) {
        let stopping = match self.lifecycle {
            Lifecycle::Draining { .. } | Lifecycle::Stopping(..) | Lifecycle::Stopped(..) => true,
            Lifecycle::Starting | Lifecycle::Filling | Lifecycle::Serving => false,
        };
        match order {
            Order::Reload => {
                let waiting = self.order_reload(self.waiting, by, stopping);
                self.waiting = waiting;
            }
            Order::Upgrade => {
                let waiting = self.order_reload(self.waiting_upgrade, by, stopping);
                self.waiting_upgrade = waiting;
            }
            Order::Stop => self.order_stop(by, now),
            Order::StopNow => match self.lifecycle {
                Lifecycle::Stopping(status, _) => self.stop(status, StopMode::Quick),
                Lifecycle::Starting
                | Lifecycle::Filling
                | Lifecycle::Serving
                | Lifecycle::Draining { .. } => {
                    self.report(Report::Stopping(by, None));
                    self.stop(0, StopMode::Quick);
                }
                Lifecycle::Stopped(..) => {}
            },
            Order::OneWorkerMore if !stopping => {
                self.change_count((self.count + 1).min(usize::from(MOST_WORKERS)), by);
            }
            // One at least stays, if there is one.
            Order::OneWorkerFewer if self.count > 1 && !stopping => {
                self.change_count(self.count - 1, by);
            }
            Order::Scale(to) if !stopping => {
                self.change_count(usize::from(to.clamp(1, MOST_WORKERS)), by);
            }
            Order::Replace(id) if !stopping => self.replace_worker(id),
            // Before, the service would never be ready.
            Order::RetireAll if self.lifecycle == Lifecycle::Serving => self.change_count(0, by),
            Order::OneWorkerMore
            | Order::OneWorkerFewer
            | Order::Scale(_)
            | Order::Replace(_)
            | Order::RetireAll => {}
        }
    }

    /// The first order begins the drain, if there is one and anything serves; the second
    /// ends it. Whoever is idle has no clients to send elsewhere: a balancer must not take
    /// it for one that is down.
    fn order_stop(&mut self, by: Requester, now: Instant) {
        let drain = match by {
            Requester::Idle(_) => Duration::ZERO,
            Requester::Signal(_) | Requester::Control { .. } | Requester::FileChange => {
                self.wanted.drain_time
            }
        };
        match self.lifecycle {
            Lifecycle::Filling | Lifecycle::Serving if !drain.is_zero() => {
                self.report(Report::Draining(by, drain));
                self.drain(by, later(now, drain), now);
            }
            Lifecycle::Starting
            | Lifecycle::Filling
            | Lifecycle::Serving
            | Lifecycle::Draining { .. } => self.stop_gracefully(by),
            Lifecycle::Stopping(..) | Lifecycle::Stopped(..) => {}
        }
    }

    pub(super) fn stop_gracefully(&mut self, by: Requester) {
        let within = self.wanted.graceful_timeout;
        self.report(Report::Stopping(by, Some(within)));
        self.stop(0, StopMode::Graceful);
    }

    /// Has a worker replaced that serves.
    pub(super) fn replace_worker(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.serves()) {
            worker.to_be_replaced = true;
        }
    }

    /// All orders that are given before it begins share one reload, or one upgrade.
    fn order_reload(
        &mut self,
        waiting: Option<PendingReload>,
        by: Requester,
        stopping: bool,
    ) -> Option<PendingReload> {
        let pending = waiting.unwrap_or_else(|| {
            self.last_reload += 1;
            let reload = ReloadId(self.last_reload);
            PendingReload { reload, by }
        });
        self.actions.push(Action::ReloadAccepted(pending.reload));
        if stopping {
            let outcome = Err(Reason::Stopping);
            self.actions
                .push(Action::ReloadFinished(pending.reload, outcome));
            return None;
        }
        Some(pending)
    }

    fn change_count(&mut self, to: usize, by: Requester) {
        let from = std::mem::replace(&mut self.count, to);
        if from != to {
            self.report(Report::CountChanged { from, to, by });
        }
    }

    pub(super) fn config_read(&mut self, wanted: Wanted, now: Instant) {
        match self.next {
            Next::Reading(PendingReload { reload, by, .. }) => {
                let generation = self.start_fork_server(wanted.boot_timeout, now);
                self.report(Report::ReloadBegan(generation, by));
                self.next = Next::Testing(Candidate {
                    generation,
                    probe: None,
                    purpose: Purpose::Reload(reload, wanted),
                });
            }
            // An order to stop came meanwhile.
            Next::Nothing | Next::Upgrading(_) | Next::Testing(_) => {
                self.actions.push(Action::DropConfig);
            }
        }
    }

    /// What was read of the configuration was not all of it.
    pub(super) fn config_settled(&mut self, settled: GenerationId, wanted: Wanted) {
        if let Next::Testing(Candidate {
            generation,
            purpose: Purpose::Reload(_, read),
            ..
        }) = &mut self.next
        {
            if *generation == settled {
                *read = wanted;
            }
        }
    }

    pub(super) fn config_refused(&mut self, why: String) {
        match self.next {
            Next::Reading(PendingReload { reload, .. }) => {
                self.next = Next::Nothing;
                self.finish_reload(reload, Err(Reason::Config(why)));
            }
            Next::Nothing | Next::Upgrading(_) | Next::Testing(_) => {}
        }
    }

    pub(super) fn upgrade_refused(&mut self, why: String) {
        match self.next {
            Next::Upgrading(PendingReload { reload, .. }) => {
                self.next = Next::Nothing;
                self.finish_reload(reload, Err(Reason::Upgrade(why)));
            }
            // An order to stop came meanwhile.
            Next::Nothing | Next::Reading(_) | Next::Testing(_) => {}
        }
    }

    /// The candidate has proved that it can serve.
    pub(super) fn promote(&mut self, candidate: Candidate, now: Instant) {
        self.next = Next::Nothing;
        self.current = candidate.generation;
        match candidate.purpose {
            Purpose::Reload(reload, wanted) => {
                self.actions.push(Action::AdoptConfig);
                self.wanted = wanted;
                self.count = wanted.count();
                self.rollout = Some(Rollout::new(reload, now));
                self.replace.reset();
            }
            Purpose::Replacement => {
                // What was new is old again. Only the failures count on.
                if let Some(rollout) = &mut self.rollout {
                    let failures = rollout.failures;
                    *rollout = Rollout {
                        failures,
                        ..Rollout::new(rollout.reload, now)
                    };
                }
            }
        }
        // Failures of the generation before say nothing about this one.
        self.respawn = Respawn::new();
        self.memory_checks = MemoryChecks::new(now);
        let fork_servers: Vec<GenerationId> = self.fork_servers.keys().copied().collect();
        for generation in fork_servers {
            if generation != self.current {
                self.step_fork_server(generation, generation::Input::Stop, now);
            }
        }
    }

    /// Begins to stop.
    pub(super) fn stop(&mut self, status: u8, mode: StopMode) {
        self.fail_reloads(Lifecycle::Stopping(status, mode));
    }

    /// Begins to drain. The fork server of a generation that was being tried is not
    /// needed any more.
    fn drain(&mut self, by: Requester, until: Instant, now: Instant) {
        self.fail_reloads(Lifecycle::Draining { by, until });
        let fork_servers: Vec<GenerationId> = self.fork_servers.keys().copied().collect();
        for generation in fork_servers {
            if generation != self.current {
                self.step_fork_server(generation, generation::Input::Stop, now);
            }
        }
    }

    /// Enters a state without reloads. Every one that is not finished has failed.
    fn fail_reloads(&mut self, lifecycle: Lifecycle) {
        self.lifecycle = lifecycle;
        self.announce();
        let under_way = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Reading(PendingReload { reload, .. })
            | Next::Upgrading(PendingReload { reload, .. }) => Some(reload),
            Next::Testing(Candidate {
                purpose: Purpose::Reload(reload, _),
                ..
            }) => {
                self.actions.push(Action::DropConfig);
                Some(reload)
            }
            Next::Nothing
            | Next::Testing(Candidate {
                purpose: Purpose::Replacement,
                ..
            }) => None,
        };
        let rolled_out = self.rollout.take().map(|rollout| rollout.reload);
        let waiting = [self.waiting_upgrade.take(), self.waiting.take()];
        let waiting = waiting.into_iter().flatten().map(|pending| pending.reload);
        for reload in [under_way, rolled_out].into_iter().flatten().chain(waiting) {
            self.finish_reload(reload, Err(Reason::Stopping));
        }
    }

    pub(super) fn finish_reload(
        &mut self,
        reload: ReloadId,
        outcome: Result<GenerationId, Reason>,
    ) {
        self.report(match &outcome {
            Ok(generation) => Report::ReloadDone(*generation),
            Err(reason) => Report::ReloadFailed(reason.clone()),
        });
        self.actions.push(Action::ReloadFinished(reload, outcome));
    }

    /// How long a generation may load the application.
    pub(super) fn boot_timeout(&self, generation: GenerationId) -> Option<Duration> {
        match self.next {
            Next::Testing(Candidate {
                generation: candidate,
                purpose: Purpose::Reload(_, wanted),
                ..
            }) if candidate == generation => wanted.boot_timeout,
            Next::Nothing | Next::Reading(_) | Next::Upgrading(_) | Next::Testing(_) => {
                self.wanted.boot_timeout
            }
        }
    }
}
