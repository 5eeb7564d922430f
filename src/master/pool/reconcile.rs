//! The step that compares what is wanted with what is there.
//!
//! It runs after every event and keeps no state of its own: run twice, it finds
//! nothing to do the second time.

use super::arbiter::{Lifecycle, StopMode};
use super::generation::{self, ForkServer, GenerationId};
use super::reload::{Candidate, Next, Purpose};
use super::respawn::Cause;
use super::worker_state::{Input, Role, State, WorkerId};
use super::{Action, Announcement, Arbiter, Reason, Report};
use rgunicorn_link::scoreboard::ROWS;
use std::time::{Duration, Instant};

/// How often heartbeats are checked, unless the timeout is short.
const HEARTBEAT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The most workers that are ordered from a fork server and not forked yet. Enough
/// to keep it busy; few enough for their orders, and the descriptors that travel
/// with them, to fit into its link at once.
pub(super) const MOST_ORDERED: usize = 32;

/// How many workers there are.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    /// Of the current generation, not ready yet.
    starting: usize,
    /// Of the current generation, serving.
    serving: usize,
    /// The same, and each is to be replaced.
    replaced: usize,
    /// Of an earlier generation, serving.
    old: usize,
}

impl Counts {
    /// Those that serve, and those that are meant to.
    fn all(self) -> usize {
        self.old + self.replaced + self.serving + self.starting
    }
}

impl Arbiter {
    pub(super) fn reconcile(&mut self, now: Instant) {
        self.step_overdue_workers(now);
        self.step_overdue_fork_servers(now);
        self.spawn_after = self.spawn_after.filter(|until| now < *until);
        match self.lifecycle {
            Lifecycle::Starting | Lifecycle::Filling | Lifecycle::Serving => {
                self.retire_surplus(now);
                self.replace_too_old(now);
                self.spawn_missing(now);
                self.finish_rollout(now);
                self.announce();
                self.begin_reload();
                self.replace_fork_server(now);
                self.spawn_probe(now);
                self.order_measurement(now);
                self.order_count(now);
                self.continue_collecting(now);
            }
            Lifecycle::Draining { by, until } if now >= until => {
                self.stop_gracefully(by);
                self.continue_stop(0, StopMode::Graceful, now);
            }
            Lifecycle::Draining { .. } => {
                self.retire_surplus(now);
                self.spawn_missing(now);
                self.continue_collecting(now);
            }
            Lifecycle::Stopping(status, mode) => self.continue_stop(status, mode, now),
            Lifecycle::Stopped(..) => {}
        }
    }

    /// Handles workers whose deadline has passed.
    fn step_overdue_workers(&mut self, now: Instant) {
        let late: Vec<WorkerId> = (self.workers.iter())
            .filter(|(_, worker)| worker.state.deadline().is_some_and(|until| now >= until))
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            let Some((worker, _)) = self.step_worker(id, Input::Tick, now) else {
                continue;
            };
            match worker.state {
                State::Ordered { .. } => self.not_forked(id, worker.generation, now),
                State::Starting { .. } => {
                    let after = self.boot_timeout(worker.generation).unwrap_or_default();
                    self.worker_failed(id, worker.generation, Reason::Late(after), now);
                }
                State::Retiring { .. } | State::Leaving { .. } | State::Aborted { .. } => {
                    self.report(Report::WorkerKilled(id));
                }
                State::Killed { .. } | State::Serving { .. } => {}
            }
        }
    }

    /// A worker was ordered and has not started. If its fork server may be the
    /// cause, that is killed; the worker, which may exist all the same, gets the
    /// same time again. Then it is given up.
    fn not_forked(&mut self, id: WorkerId, generation: GenerationId, now: Instant) {
        let stopping = matches!(self.lifecycle, Lifecycle::Stopping(..));
        match self.fork_servers.get(&generation) {
            Some(
                ForkServer::Starting { .. }
                | ForkServer::Ready { .. }
                | ForkServer::Disconnected { .. }
                | ForkServer::Leaving { .. },
            ) if !stopping => {
                let stuck = generation::Input::Stuck;
                if let Some(before) = self.step_fork_server(generation, stuck, now) {
                    if before.is_current() {
                        self.fork_server_lost(generation, before, Reason::ForkServerStuck, now);
                    }
                }
            }
            Some(_) | None => {
                self.step_worker(id, Input::GiveUp, now);
            }
        }
    }

    /// Handles fork servers whose deadline has passed.
    fn step_overdue_fork_servers(&mut self, now: Instant) {
        let late: Vec<GenerationId> = (self.fork_servers.iter())
            .filter(|(_, server)| server.deadline().is_some_and(|until| now >= until))
            .map(|(&generation, _)| generation)
            .collect();
        for generation in late {
            let tick = generation::Input::Tick;
            let Some(before) = self.step_fork_server(generation, tick, now) else {
                continue;
            };
            match before {
                ForkServer::Starting { .. } => {
                    let after = self.boot_timeout(generation).unwrap_or_default();
                    self.fork_server_lost(generation, before, Reason::Late(after), now);
                }
                ForkServer::Disconnected { .. } => {
                    let reason = Reason::ForkServerLinkClosed;
                    self.fork_server_lost(generation, before, reason, now);
                }
                ForkServer::Ready { .. }
                | ForkServer::Leaving { .. }
                | ForkServer::Killed { .. } => {}
            }
        }
    }

    /// Asks workers to leave that are not wanted: first those that are starting and
    /// are of another generation or too many, then those that serve and are more
    /// than wanted: those to be replaced first, then the oldest.
    fn retire_surplus(&mut self, now: Instant) {
        let retire = Input::Retire(self.wanted.graceful_timeout);
        let probe = self.candidate().and_then(|candidate| candidate.probe);
        let stray: Vec<WorkerId> = (self.workers.iter())
            .filter(|(id, worker)| {
                matches!(worker.state, State::Starting { .. })
                    && worker.generation != self.current
                    && Some(**id) != probe
            })
            .map(|(&id, _)| id)
            .collect();
        for id in stray {
            self.step_worker(id, retire, now);
        }

        let counts = self.counts();
        let spare = (counts.serving + counts.starting).saturating_sub(self.count);
        // Those that are only ordered cannot be asked yet, but will be.
        for id in self
            .of_current(Role::Starting)
            .into_iter()
            .rev()
            .take(spare)
        {
            if matches!(self.workers[&id].state, State::Starting { .. }) {
                self.step_worker(id, retire, now);
            }
        }

        let spare = self.ready().saturating_sub(self.count);
        let mut serving: Vec<(bool, WorkerId)> = (self.workers.iter())
            .filter(|(_, worker)| worker.state.role() == Role::Serving)
            .map(|(&id, worker)| (!worker.to_be_replaced, id))
            .collect();
        // Numbers count up, so the lowest is the oldest.
        serving.sort_unstable();
        for (_, id) in serving.into_iter().take(spare) {
            self.step_worker(id, retire, now);
        }
    }

    /// Orders workers that are missing.
    fn spawn_missing(&mut self, now: Instant) {
        let missing = self.missing();
        self.respawn.forget_surplus(missing);
        let (boots, room) = (self.free_boots(), self.room());
        for cause in self.respawn.take(missing, boots, room, now) {
            self.spawn(self.current, cause, now);
        }
    }

    /// How many workers of the current generation are missing.
    fn missing(&self) -> usize {
        let counts = self.counts();
        (self.count).saturating_sub(counts.serving + counts.starting)
    }

    /// How many more workers may load the application at the same time, apart from
    /// those that are ordered in place of one that was ready. The first of all boots
    /// alone: others would only take processor time from it, and no request is answered
    /// before it is ready.
    fn free_boots(&self) -> usize {
        let most = match self.lifecycle {
            Lifecycle::Starting => 1,
            Lifecycle::Filling
            | Lifecycle::Serving
            | Lifecycle::Draining { .. }
            | Lifecycle::Stopping(..)
            | Lifecycle::Stopped(..) => self.wanted.booting(),
        };
        let booting = (self.workers.values())
            .filter(|worker| worker.generation == self.current && worker.cause == Cause::Missing)
            .filter(|worker| worker.state.role() == Role::Starting)
            .count();
        most.saturating_sub(booting)
    }

    /// How many workers could be ordered from the current fork server.
    fn room(&self) -> usize {
        match self.fork_servers.get(&self.current) {
            Some(ForkServer::Ready { .. }) if self.spawn_after.is_none() => {
                let counts = self.counts();
                let most = self.count + self.wanted.surge();
                most.saturating_sub(counts.all())
                    .min(MOST_ORDERED.saturating_sub(self.ordered()))
                    .min(self.free_rows())
            }
            Some(
                ForkServer::Ready { .. }
                | ForkServer::Starting { .. }
                | ForkServer::Disconnected { .. }
                | ForkServer::Leaving { .. }
                | ForkServer::Killed { .. },
            )
            | None => 0,
        }
    }

    /// How many workers the current fork server was ordered to fork and has not.
    fn ordered(&self) -> usize {
        (self.workers.values())
            .filter(|worker| {
                worker.generation == self.current && matches!(worker.state, State::Ordered { .. })
            })
            .count()
    }

    /// Every process has a row on the scoreboard, that of a retiring worker too.
    fn free_rows(&self) -> usize {
        ROWS.saturating_sub(self.workers.len())
    }

    fn finish_rollout(&mut self, now: Instant) {
        let counts = self.counts();
        // Every old one has been asked to leave by then.
        let is_complete = counts.serving >= self.count;
        if is_complete && self.lifecycle == Lifecycle::Filling {
            self.lifecycle = Lifecycle::Serving;
        }
        let Some(rollout) = &mut self.rollout else {
            return;
        };
        if counts.old < rollout.fewest_old {
            rollout.fewest_old = counts.old;
            rollout.advanced = now;
        }
        // Where requests crash workers faster than the application loads, some
        // worker is always missing.
        let served = counts.serving + rollout.lost_in_use as usize;
        let is_replaced = counts.old == 0 && counts.serving > 0 && served >= self.count;
        let reload = rollout.reload;
        if is_complete || is_replaced {
            self.rollout = None;
            self.finish_reload(reload, Ok(self.current));
        }
    }

    /// Begins the reload that waits, unless another is under way.
    fn begin_reload(&mut self) {
        let is_free = self.next == Next::Nothing && self.rollout.is_none();
        if self.lifecycle == Lifecycle::Serving && is_free {
            let (next, action) = if let Some(pending) = self.waiting_upgrade.take() {
                (Next::Upgrading(pending), Action::Upgrade)
            } else if let Some(pending) = self.waiting.take() {
                (Next::Reading(pending), Action::ReadConfig)
            } else {
                return;
            };
            self.next = next;
            self.announce();
            self.actions.push(action);
        }
    }

    fn replace_fork_server(&mut self, now: Instant) {
        if self.needs_replacement() && self.replace.is_over(now) {
            let generation = self.start_fork_server(self.wanted.boot_timeout, now);
            self.next = Next::Testing(Candidate {
                generation,
                probe: None,
                purpose: Purpose::Replacement,
            });
        }
    }

    /// Whether the generation that serves has lost its fork server.
    fn needs_replacement(&self) -> bool {
        self.lifecycle == Lifecycle::Serving
            && self.next == Next::Nothing
            && !(self.fork_servers.get(&self.current)).is_some_and(|server| server.is_current())
    }

    /// Orders a candidate's first worker.
    fn spawn_probe(&mut self, now: Instant) {
        if !self.needs_probe() {
            return;
        }
        if let Some(candidate) = self.candidate() {
            let probe = Some(self.spawn(candidate.generation, Cause::Missing, now));
            self.next = Next::Testing(Candidate { probe, ..candidate });
        }
    }

    fn needs_probe(&self) -> bool {
        self.free_rows() > 0
            && self.spawn_after.is_none()
            && self.candidate().is_some_and(|candidate| {
                let server = self.fork_servers.get(&candidate.generation);
                candidate.probe.is_none() && matches!(server, Some(ForkServer::Ready { .. }))
            })
    }

    /// Asks everything to leave: the workers, and when they are gone the fork servers.
    /// A worker that is ordered can be asked only once it has been forked.
    fn continue_stop(&mut self, status: u8, mode: StopMode, now: Instant) {
        self.leave_behind_unkillable();
        let input = match mode {
            StopMode::Graceful => Input::Retire(self.wanted.graceful_timeout),
            StopMode::Quick => Input::Quit,
        };
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in workers {
            self.step_worker(id, input, now);
        }
        if !self.workers.is_empty() {
            return;
        }
        let fork_servers: Vec<GenerationId> = self.fork_servers.keys().copied().collect();
        for generation in fork_servers {
            self.step_fork_server(generation, generation::Input::Stop, now);
        }
        if self.fork_servers.is_empty() {
            self.lifecycle = Lifecycle::Stopped(status, mode);
            self.actions.push(Action::Exit(status));
        }
    }

    /// Forgets processes that hang in the kernel. Nobody can end them, and the service
    /// manager would wait for us as long as we wait for them.
    fn leave_behind_unkillable(&mut self) {
        let workers: Vec<WorkerId> = (self.workers.iter())
            .filter(|(_, worker)| worker.state.survives_kills())
            .map(|(&id, _)| id)
            .collect();
        for id in workers {
            self.workers.remove(&id);
            self.report(Report::WorkerLeftBehind(id));
        }
        let fork_servers: Vec<GenerationId> = (self.fork_servers.iter())
            .filter(|(_, server)| server.survives_kills())
            .map(|(&generation, _)| generation)
            .collect();
        for generation in fork_servers {
            self.fork_servers.remove(&generation);
            self.report(Report::ForkServerLeftBehind(generation));
        }
    }

    /// Tells the service manager what has become true.
    pub(super) fn announce(&mut self) {
        let announcement = match self.lifecycle {
            Lifecycle::Starting | Lifecycle::Filling => return,
            // Without a worker that serves, the service is not ready.
            Lifecycle::Serving if self.announced.is_none() && self.ready() == 0 => return,
            Lifecycle::Serving if self.announced.is_some() && self.reloads() => {
                Announcement::Reloading
            }
            Lifecycle::Serving => Announcement::Ready,
            Lifecycle::Draining { .. } | Lifecycle::Stopping(..) | Lifecycle::Stopped(..) => {
                Announcement::Stopping
            }
        };
        if self.announced == Some(announcement) {
            return;
        }
        if self.announced.is_none() && announcement == Announcement::Ready {
            self.report(Report::Serving(self.current, self.ready()));
        }
        self.announced = Some(announcement);
        self.actions.push(Action::Announce(announcement));
    }

    /// Whether a reload is under way. The replacement of a fork server is not one.
    pub(super) fn reloads(&self) -> bool {
        self.rollout.is_some()
            || match self.next {
                Next::Reading(_) | Next::Upgrading(_) => true,
                Next::Testing(candidate) => matches!(candidate.purpose, Purpose::Reload(..)),
                Next::Nothing => false,
            }
    }

    /// When the next [`Tick`](super::Event::Tick) is due; `None` while only another
    /// event can change anything.
    pub fn deadline(&self) -> Option<Instant> {
        let workers = self
            .workers
            .values()
            .filter_map(|worker| worker.state.deadline());
        let fork_servers = self
            .fork_servers
            .values()
            .filter_map(|server| server.deadline());
        let stopping = matches!(
            self.lifecycle,
            Lifecycle::Stopping(..) | Lifecycle::Stopped(..)
        );
        let missing = self.missing();
        let respawn = self
            .respawn
            .next(missing, self.free_boots())
            .filter(|_| !stopping && missing > 0 && self.room() > 0);
        let replace = self.replace.until().filter(|_| self.needs_replacement());
        let heartbeat = self
            .with_heartbeat()
            .next()
            .and(self.wanted.timeout)
            .map(|_| self.next_heartbeat_check);
        let drained = match self.lifecycle {
            Lifecycle::Draining { until, .. } => Some(until),
            Lifecycle::Starting
            | Lifecycle::Filling
            | Lifecycle::Serving
            | Lifecycle::Stopping(..)
            | Lifecycle::Stopped(..) => None,
        };
        workers
            .chain(fork_servers)
            .chain(drained)
            .chain(respawn)
            .chain(self.spawn_after.filter(|_| !stopping))
            .chain(replace)
            .chain(heartbeat)
            .chain(self.next_measurement())
            .chain(self.next_recycling())
            .chain(self.next_collection())
            .min()
    }

    /// How long until heartbeats are checked again.
    pub(super) fn heartbeat_check_interval(&self) -> Duration {
        let half = self
            .wanted
            .timeout
            .map_or(HEARTBEAT_CHECK_INTERVAL, |timeout| timeout / 2);
        half.clamp(Duration::from_millis(50), HEARTBEAT_CHECK_INTERVAL)
    }

    fn candidate(&self) -> Option<Candidate> {
        match self.next {
            Next::Testing(candidate) => Some(candidate),
            Next::Nothing | Next::Reading(_) | Next::Upgrading(_) => None,
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for worker in self.workers.values() {
            match worker.state.role() {
                Role::Starting if worker.generation == self.current => counts.starting += 1,
                Role::Serving if worker.generation != self.current => counts.old += 1,
                Role::Serving if worker.to_be_replaced => counts.replaced += 1,
                Role::Serving => counts.serving += 1,
                Role::Starting | Role::Leaving => {}
            }
        }
        counts
    }

    fn of_current(&self, role: Role) -> Vec<WorkerId> {
        (self.workers.iter())
            .filter(|(_, worker)| worker.generation == self.current && worker.state.role() == role)
            .map(|(&id, _)| id)
            .collect()
    }
}
