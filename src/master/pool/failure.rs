//! What a failure means: at the first start the service ends, for a candidate the
//! old generation stays, else it is tried again.

use super::arbiter::{Lifecycle, StopMode};
use super::generation::{self, ForkServer, GenerationId};
use super::reload::{Candidate, Next, Purpose};
use super::worker_state::WorkerId;
use super::{Action, Arbiter, Reason, Report};
use std::time::{Duration, Instant};

/// Uptime after which a death is not counted as a failed start.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// The first pause after an application that could not be loaded.
const LOAD_PAUSE: Duration = Duration::from_secs(1);
/// Failed workers after which a rollout is given up, and the reload has failed. The
/// workers that are missing are still tried.
const ROLLOUT_FAILURES: u32 = 5;
/// How long crashes in requests may keep a rollout from replacing an old worker
/// before it is given up.
const ROLLOUT_STALLED: Duration = Duration::from_secs(60);

impl Arbiter {
    /// A worker failed before it was ready.
    pub(super) fn worker_failed(
        &mut self,
        id: WorkerId,
        generation: GenerationId,
        reason: Reason,
        now: Instant,
    ) {
        match self.affected_by(generation) {
            Affected::Start => self.start_failed(reason),
            Affected::Candidate(candidate) => self.candidate_failed(candidate, reason, now),
            Affected::Current => {
                self.has_started();
                self.report(Report::WorkerFailed(id, reason.clone()));
                let pause = self.respawn.failed(first_pause(&reason), now);
                self.report_delay(pause.unwrap_or_default());
                self.rollout_failed(reason);
            }
            Affected::Nothing => {}
        }
    }

    /// A worker that had served is lost, without having been asked to leave. That
    /// says nothing about whether its generation can be started.
    pub(super) fn worker_lost_in_use(
        &mut self,
        generation: GenerationId,
        reason: Reason,
        now: Instant,
    ) {
        match self.affected_by(generation) {
            Affected::Current => {
                self.has_started();
                self.respawn.died_after_use(now);
                if let Some(rollout) = &mut self.rollout {
                    rollout.lost_in_use += 1;
                    let stalled = now.saturating_duration_since(rollout.advanced);
                    if stalled >= ROLLOUT_STALLED {
                        let lost = rollout.lost_in_use;
                        self.give_up_rollout(lost, reason);
                    }
                }
            }
            Affected::Start | Affected::Candidate(_) | Affected::Nothing => {}
        }
    }

    /// A worker that was ready is lost before its first request, without having been
    /// asked to leave.
    pub(super) fn worker_lost_unused(
        &mut self,
        generation: GenerationId,
        ready_since: Instant,
        reason: Reason,
        now: Instant,
    ) {
        match self.affected_by(generation) {
            Affected::Current => {
                self.has_started();
                let pause = self.respawn.died_unused(self.count, now);
                self.report_delay(pause);
                if !lived_long(ready_since, now) {
                    self.rollout_failed(reason);
                }
            }
            // A generation whose worker was ready is neither being started nor tested.
            Affected::Start | Affected::Candidate(_) | Affected::Nothing => {}
        }
    }

    /// A fork server cannot fork any more, without having been told to stop.
    pub(super) fn fork_server_lost(
        &mut self,
        generation: GenerationId,
        before: ForkServer,
        reason: Reason,
        now: Instant,
    ) {
        match self.affected_by(generation) {
            Affected::Start => self.start_failed(reason),
            Affected::Candidate(candidate) => self.candidate_failed(candidate, reason, now),
            Affected::Current => {
                self.has_started();
                self.report(Report::ForkServerLost(generation, reason.clone()));
                match before.ready_since() {
                    Some(since) if lived_long(since, now) => self.replace.reset(),
                    Some(_) | None => {
                        self.replace.grow(Duration::ZERO, now);
                    }
                }
                self.rollout_failed(reason);
            }
            Affected::Nothing => {}
        }
    }

    /// A pool that has served is no longer being started, although workers are missing.
    fn has_started(&mut self) {
        if self.lifecycle == Lifecycle::Filling {
            self.lifecycle = Lifecycle::Serving;
        }
    }

    /// The first generation failed.
    fn start_failed(&mut self, reason: Reason) {
        let status = reason.status();
        self.report(Report::StartFailed(reason));
        self.stop(status, StopMode::Quick);
    }

    /// The candidate failed. The current generation goes on serving.
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
                self.report(Report::ReplacementFailed(generation, reason.clone()));
                self.replace.grow(LOAD_PAUSE, now);
                self.rollout_failed(reason);
            }
        }
    }

    /// A worker or the fork server failed while a reload is rolled out.
    fn rollout_failed(&mut self, reason: Reason) {
        let Some(rollout) = &mut self.rollout else {
            return;
        };
        rollout.failures += 1;
        let failures = rollout.failures;
        if failures >= ROLLOUT_FAILURES {
            self.give_up_rollout(failures, reason);
        }
    }

    fn give_up_rollout(&mut self, failures: u32, reason: Reason) {
        if let Some(rollout) = self.rollout.take() {
            let last = Box::new(reason);
            self.finish_reload(rollout.reload, Err(Reason::GaveUp { failures, last }));
        }
    }

    fn report_delay(&mut self, pause: Duration) {
        if !pause.is_zero() {
            self.report(Report::RespawnDelayed(pause));
        }
    }

    /// What is affected when a process of this generation fails.
    fn affected_by(&self, generation: GenerationId) -> Affected {
        if let Next::Testing(candidate) = self.next {
            if candidate.generation == generation {
                return Affected::Candidate(candidate);
            }
        }
        if generation != self.current {
            return Affected::Nothing;
        }
        match self.lifecycle {
            Lifecycle::Starting => Affected::Start,
            Lifecycle::Filling | Lifecycle::Serving | Lifecycle::Draining { .. } => {
                Affected::Current
            }
            Lifecycle::Stopping(..) | Lifecycle::Stopped(..) => Affected::Nothing,
        }
    }
}

/// What a failure affects.
enum Affected {
    /// The first start: nothing has served yet.
    Start,
    /// A reload, or the replacement of a fork server.
    Candidate(Candidate),
    /// The generation that serves.
    Current,
    /// Nothing: the process was not wanted any more.
    Nothing,
}

fn lived_long(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= LONG_ENOUGH
}

/// An application that cannot be loaded is seldom better a moment later.
fn first_pause(reason: &Reason) -> Duration {
    match reason {
        Reason::Load(_) | Reason::Late(_) => LOAD_PAUSE,
        Reason::Config(_)
        | Reason::Upgrade(_)
        | Reason::WorkerDied(_)
        | Reason::TimedOut(_)
        | Reason::ForkServerDied(_)
        | Reason::ForkServerLinkClosed
        | Reason::ForkServerStuck
        | Reason::Fork(_)
        | Reason::GaveUp { .. }
        | Reason::Stopping => Duration::ZERO,
    }
}
