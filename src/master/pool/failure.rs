//! What it means when something fails: at the first start the end, for a
//! candidate that the old generation stays, else another try.

use super::arbiter::{Candidate, Lifecycle, Next, Purpose, Roll, StopMode};
use super::generation::{self, ForkServer, GenerationId};
use super::worker_state::{State, WorkerId};
use super::{Action, Arbiter, Fact, Reason};
use std::time::{Duration, Instant};

/// A worker or a fork server that lived that long was no failure.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// The first pause after an application that could not be loaded.
const LOAD_PAUSE: Duration = Duration::from_secs(1);
/// So many workers may fail in one reload after the first was ready. Then those
/// who wait for it are told, and the rest is tried without them.
const ROLL_FAILURES: u32 = 5;

impl Arbiter {
    /// A worker came to nothing before it ever served.
    pub(super) fn worker_failed(
        &mut self,
        id: WorkerId,
        generation: GenerationId,
        reason: Reason,
        now: Instant,
    ) {
        match self.whose_failure(generation) {
            Blame::Service => self.start_failed(reason),
            Blame::Candidate(candidate) => self.candidate_failed(candidate, reason, now),
            Blame::Current => {
                self.lifecycle = Lifecycle::Serving;
                self.report(Fact::WorkerFailed(id, reason.clone()));
                self.delay_respawn(first_pause(&reason), now);
                self.roll_failed(reason);
            }
            Blame::Nobody => {}
        }
    }

    /// A worker that has served does so no more, without having been asked.
    pub(super) fn worker_lost(
        &mut self,
        generation: GenerationId,
        since: Instant,
        reason: Reason,
        now: Instant,
    ) {
        match self.whose_failure(generation) {
            Blame::Current => {
                self.lifecycle = Lifecycle::Serving;
                if lived_long(since, now) {
                    self.respawn.reset();
                } else {
                    self.delay_respawn(Duration::ZERO, now);
                    self.roll_failed(reason);
                }
            }
            // Before it serves, a generation is the current one.
            Blame::Service | Blame::Candidate(_) | Blame::Nobody => {}
        }
    }

    /// A fork server can fork no more, without having been told to stop.
    pub(super) fn fork_server_lost(
        &mut self,
        generation: GenerationId,
        before: ForkServer,
        reason: Reason,
        now: Instant,
    ) {
        match self.whose_failure(generation) {
            Blame::Service => self.start_failed(reason),
            Blame::Candidate(candidate) => self.candidate_failed(candidate, reason, now),
            Blame::Current => {
                self.lifecycle = Lifecycle::Serving;
                self.report(Fact::ForkServerLost(generation, reason.clone()));
                match before {
                    ForkServer::Ready { since } if lived_long(since, now) => self.replace.reset(),
                    ForkServer::Starting { .. }
                    | ForkServer::Ready { .. }
                    | ForkServer::Leaving { .. }
                    | ForkServer::Killed { .. } => {
                        self.replace.grow(Duration::ZERO, now);
                    }
                }
                self.roll_failed(reason);
            }
            Blame::Nobody => {}
        }
    }

    /// The first generation comes to nothing.
    fn start_failed(&mut self, reason: Reason) {
        let status = reason.status();
        self.report(Fact::StartFailed(reason));
        self.stop(status, StopMode::Quick);
    }

    /// The candidate comes to nothing. What serves goes on serving.
    fn candidate_failed(&mut self, candidate: Candidate, reason: Reason, now: Instant) {
        self.next = Next::Nothing;
        self.step_fork_server(candidate.generation, generation::Input::Stop, now);
        match candidate.purpose {
            Purpose::Reload(reload, _) => {
                self.actions.push(Action::DropConfig);
                self.finish_reload(reload, Err(reason));
            }
            Purpose::Replacement => {
                let generation = candidate.generation;
                self.report(Fact::ReplacementFailed(generation, reason.clone()));
                self.replace.grow(LOAD_PAUSE, now);
                self.roll_failed(reason);
            }
        }
    }

    /// A worker failed while a reload rolls, or what it needs did.
    fn roll_failed(&mut self, reason: Reason) {
        let Some(roll) = &mut self.roll else {
            return;
        };
        roll.failures += 1;
        let Roll { reload, failures } = *roll;
        if failures >= ROLL_FAILURES {
            self.roll = None;
            let last = Box::new(reason);
            self.finish_reload(reload, Err(Reason::GaveUp { failures, last }));
        }
    }

    fn delay_respawn(&mut self, least: Duration, now: Instant) {
        match self.respawn.grow(least, now) {
            None | Some(Duration::ZERO) => {}
            Some(pause) => self.report(Fact::RespawnDelayed(pause)),
        }
    }

    /// A pool that is complete and has been for a while has no failures to remember.
    pub(super) fn forget_old_failures(&mut self, now: Instant) {
        let settled = self
            .workers
            .values()
            .filter(|worker| worker.generation == self.current)
            .filter(|worker| match worker.state {
                State::Serving { since } => lived_long(since, now),
                State::Ordered { .. }
                | State::Starting { .. }
                | State::Retiring { .. }
                | State::Leaving { .. }
                | State::Aborted { .. }
                | State::Killed { .. } => false,
            })
            .count();
        if settled >= self.count {
            self.respawn.reset();
        }
    }

    /// Who is concerned when something of a generation fails.
    fn whose_failure(&self, generation: GenerationId) -> Blame {
        if let Next::Trying(candidate) = self.next {
            if candidate.generation == generation {
                return Blame::Candidate(candidate);
            }
        }
        if generation != self.current {
            return Blame::Nobody;
        }
        match self.lifecycle {
            Lifecycle::Starting => Blame::Service,
            Lifecycle::Filling | Lifecycle::Serving => Blame::Current,
            Lifecycle::Stopping(..) | Lifecycle::Over(..) => Blame::Nobody,
        }
    }
}

/// Who is concerned when something fails.
enum Blame {
    /// Everybody: nothing has served yet.
    Service,
    /// Whoever waits for the next generation.
    Candidate(Candidate),
    /// The generation that serves.
    Current,
    /// What failed was not wanted any more.
    Nobody,
}

fn lived_long(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= LONG_ENOUGH
}

/// An application that cannot be loaded is seldom better a moment later.
fn first_pause(reason: &Reason) -> Duration {
    match reason {
        Reason::Load(_) | Reason::Late(_) => LOAD_PAUSE,
        Reason::Config(_)
        | Reason::WorkerDied(_)
        | Reason::TimedOut(_)
        | Reason::ForkServerDied(_)
        | Reason::ForkServerStuck
        | Reason::Fork(_)
        | Reason::GaveUp { .. }
        | Reason::Stopping => Duration::ZERO,
    }
}
