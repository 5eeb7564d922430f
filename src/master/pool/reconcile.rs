//! The one step that compares what is wanted with what is there.
//!
//! It runs after every event and has no memory of its own: run twice, it finds
//! nothing to do the second time.

use super::arbiter::{Candidate, Lifecycle, Next, Purpose, StopMode};
use super::generation::{self, ForkServer, GenerationId};
use super::worker_state::{Input, Role, State, WorkerId};
use super::{Action, Announcement, Arbiter, Fact, Reason};
use rgunicorn_link::scoreboard::ROWS;
use std::time::{Duration, Instant};

/// How often heartbeats are looked at, unless the timeout is short.
const HEARTBEAT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Workers, counted by what they are for the pool.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Of the current generation, not ready yet.
    coming: usize,
    /// Of the current generation, serving.
    serving: usize,
    /// Of an earlier one, serving.
    old: usize,
}

impl Arbiter {
    pub(super) fn reconcile(&mut self, now: Instant) {
        self.step_overdue_workers(now);
        self.step_overdue_fork_servers(now);
        match self.lifecycle {
            Lifecycle::Starting | Lifecycle::Filling | Lifecycle::Serving => {
                self.trim(now);
                self.fill(now);
                self.finish_roll();
                self.announce();
                self.begin_reload();
                self.replace_fork_server(now);
                self.send_probe(now);
            }
            Lifecycle::Stopping(status, haste) => self.wind_down(status, haste, now),
            Lifecycle::Over(..) => {}
        }
    }

    /// Goes on with workers that had their time.
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
                    self.report(Fact::WorkerKilled(id));
                }
                State::Killed { .. } | State::Serving { .. } => {}
            }
        }
    }

    /// A worker was ordered and does not come. If its fork server may be the
    /// cause, that one goes, and a process that exists nevertheless gets the
    /// same time again to say so. Then it is given up.
    fn not_forked(&mut self, id: WorkerId, generation: GenerationId, now: Instant) {
        let stopping = matches!(self.lifecycle, Lifecycle::Stopping(..));
        match self.fork_servers.get(&generation) {
            Some(
                ForkServer::Starting { .. } | ForkServer::Ready { .. } | ForkServer::Leaving { .. },
            ) if !stopping => {
                let stuck = generation::Input::Stuck;
                if let Some(before) = self.step_fork_server(generation, stuck, now) {
                    if before.is_of_use() {
                        self.fork_server_lost(generation, before, Reason::ForkServerStuck, now);
                    }
                }
            }
            Some(_) | None => {
                self.step_worker(id, Input::GiveUp, now);
            }
        }
    }

    /// Goes on with fork servers that had their time.
    fn step_overdue_fork_servers(&mut self, now: Instant) {
        let late: Vec<GenerationId> = (self.fork_servers.iter())
            .filter(|(_, server)| server.deadline().is_some_and(|until| now >= until))
            .map(|(&generation, _)| generation)
            .collect();
        for generation in late {
            let tick = generation::Input::Tick;
            if let Some(before @ ForkServer::Starting { .. }) =
                self.step_fork_server(generation, tick, now)
            {
                let after = self.boot_timeout(generation).unwrap_or_default();
                self.fork_server_lost(generation, before, Reason::Late(after), now);
            }
        }
    }

    /// Asks those to leave that are not wanted: workers that were coming of
    /// other generations or are too many, then those that serve and are more
    /// than wanted, the oldest first.
    fn trim(&mut self, now: Instant) {
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
            self.step_worker(id, Input::Quit, now);
        }

        let tally = self.tally();
        let spare = (tally.serving + tally.coming).saturating_sub(self.count);
        // Those that are only ordered cannot be asked yet, but will be.
        for id in self.of_current(Role::Coming).into_iter().rev().take(spare) {
            if matches!(self.workers[&id].state, State::Starting { .. }) {
                self.step_worker(id, Input::Quit, now);
            }
        }

        let spare = (tally.old + tally.serving).saturating_sub(self.count);
        // Numbers count up, so the lowest is the oldest.
        let oldest: Vec<WorkerId> = (self.workers.iter())
            .filter(|(_, worker)| worker.state.role() == Role::Serving)
            .map(|(&id, _)| id)
            .take(spare)
            .collect();
        for id in oldest {
            self.step_worker(id, Input::Retire(self.wanted.graceful_timeout), now);
        }
    }

    /// Orders the workers that are missing.
    fn fill(&mut self, now: Instant) {
        if self.respawn.is_over(now) {
            for _ in 0..self.missing() {
                self.spawn(self.current, now);
            }
        }
    }

    /// How many workers to order as soon as no pause forbids it.
    fn missing(&self) -> usize {
        match self.fork_servers.get(&self.current) {
            Some(ForkServer::Ready { .. }) => {
                let tally = self.tally();
                let new = tally.serving + tally.coming;
                let most = self.count + self.wanted.room_to_roll();
                self.count
                    .saturating_sub(new)
                    .min(most.saturating_sub(tally.old + new))
                    .min(self.free_rows())
            }
            Some(
                ForkServer::Starting { .. }
                | ForkServer::Leaving { .. }
                | ForkServer::Killed { .. },
            )
            | None => 0,
        }
    }

    /// Every worker alive has a row on the scoreboard, retiring ones too.
    fn free_rows(&self) -> usize {
        ROWS.saturating_sub(self.workers.len())
    }

    fn finish_roll(&mut self) {
        // With so many of them, no old one is left that was not asked to leave.
        if self.tally().serving < self.count {
            return;
        }
        if self.lifecycle == Lifecycle::Filling {
            self.lifecycle = Lifecycle::Serving;
        }
        if let Some(roll) = self.roll.take() {
            self.finish_reload(roll.reload, Ok(self.current));
        }
    }

    /// Begins the reload that waits, if nothing is in its way.
    fn begin_reload(&mut self) {
        if self.lifecycle == Lifecycle::Serving && self.next == Next::Nothing && self.roll.is_none()
        {
            if let Some(reload) = self.waiting.take() {
                self.next = Next::Reading(reload);
                self.announce();
                self.actions.push(Action::ReadConfig);
            }
        }
    }

    fn replace_fork_server(&mut self, now: Instant) {
        if self.needs_replacement() && self.replace.is_over(now) {
            let generation = self.start_fork_server(self.wanted.boot_timeout, now);
            self.next = Next::Trying(Candidate {
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
            && !(self.fork_servers.get(&self.current)).is_some_and(|server| server.is_of_use())
    }

    /// Orders a candidate's first worker.
    fn send_probe(&mut self, now: Instant) {
        if !self.needs_probe() {
            return;
        }
        if let Some(candidate) = self.candidate() {
            let probe = Some(self.spawn(candidate.generation, now));
            self.next = Next::Trying(Candidate { probe, ..candidate });
        }
    }

    fn needs_probe(&self) -> bool {
        self.free_rows() > 0
            && self.candidate().is_some_and(|candidate| {
                let server = self.fork_servers.get(&candidate.generation);
                candidate.probe.is_none() && matches!(server, Some(ForkServer::Ready { .. }))
            })
    }

    /// Asks everything to leave, workers first: they may still need help to go.
    fn wind_down(&mut self, status: u8, haste: StopMode, now: Instant) {
        let turn = match haste {
            StopMode::Graceful => Input::Retire(self.wanted.graceful_timeout),
            StopMode::Quick => Input::Quit,
        };
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in workers {
            self.step_worker(id, turn, now);
        }
        if !self.workers.is_empty() {
            return;
        }
        let fork_servers: Vec<GenerationId> = self.fork_servers.keys().copied().collect();
        for generation in fork_servers {
            self.step_fork_server(generation, generation::Input::Stop, now);
        }
        if self.fork_servers.is_empty() {
            self.lifecycle = Lifecycle::Over(status, haste);
            self.actions.push(Action::Exit(status));
        }
    }

    /// Tells the service manager what has become true.
    pub(super) fn announce(&mut self) {
        let announcement = match self.lifecycle {
            Lifecycle::Starting | Lifecycle::Filling => return,
            // One worker that answers is the least.
            Lifecycle::Serving if self.announced.is_none() && self.ready() == 0 => return,
            Lifecycle::Serving if self.announced.is_some() && self.reloads() => {
                Announcement::Reloading
            }
            Lifecycle::Serving => Announcement::Ready,
            Lifecycle::Stopping(..) | Lifecycle::Over(..) => Announcement::Stopping,
        };
        if self.announced == Some(announcement) {
            return;
        }
        if self.announced.is_none() && announcement == Announcement::Ready {
            self.report(Fact::Serving(self.current, self.ready()));
        }
        self.announced = Some(announcement);
        self.actions.push(Action::Announce(announcement));
    }

    /// Whether a reload is under way that somebody asked for.
    pub(super) fn reloads(&self) -> bool {
        self.roll.is_some()
            || match self.next {
                Next::Reading(_) => true,
                Next::Trying(candidate) => matches!(candidate.purpose, Purpose::Reload(..)),
                Next::Nothing => false,
            }
    }

    /// When the next [`Tick`](super::Event::Tick) is due; `None` while only news
    /// can change anything.
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
            Lifecycle::Stopping(..) | Lifecycle::Over(..)
        );
        let respawn = self
            .respawn
            .until()
            .filter(|_| !stopping && self.missing() > 0);
        let replace = self.replace.until().filter(|_| self.needs_replacement());
        let heartbeat = self
            .with_heartbeat()
            .next()
            .and(self.wanted.timeout)
            .map(|_| self.next_heartbeat_check);
        workers
            .chain(fork_servers)
            .chain(respawn)
            .chain(replace)
            .chain(heartbeat)
            .min()
    }

    /// How long until heartbeats are looked at again.
    pub(super) fn heartbeat_check_interval(&self) -> Duration {
        let half = self
            .wanted
            .timeout
            .map_or(HEARTBEAT_CHECK_INTERVAL, |timeout| timeout / 2);
        half.clamp(Duration::from_millis(50), HEARTBEAT_CHECK_INTERVAL)
    }

    fn candidate(&self) -> Option<Candidate> {
        match self.next {
            Next::Trying(candidate) => Some(candidate),
            Next::Nothing | Next::Reading(_) => None,
        }
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for worker in self.workers.values() {
            match worker.state.role() {
                Role::Coming if worker.generation == self.current => tally.coming += 1,
                Role::Serving if worker.generation == self.current => tally.serving += 1,
                Role::Serving => tally.old += 1,
                Role::Coming | Role::Going => {}
            }
        }
        tally
    }

    fn of_current(&self, role: Role) -> Vec<WorkerId> {
        (self.workers.iter())
            .filter(|(_, worker)| worker.generation == self.current && worker.state.role() == role)
            .map(|(&id, _)| id)
            .collect()
    }
}
