//! From what the arbiter wants reported to records that an operator reads.

use super::Master;
use crate::log::events::{self, Speaker};
use crate::pool::{Fact, Reason, WorkerId};
use crate::process::WorkerProcess;
use rgunicorn_link::scoreboard::now_ms;
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// Whether a worker that was asked to leave ended as it was told to, or in a way
/// whose reason stands in the log already.
fn is_told_already(exit: &str) -> bool {
    /// It could not load the application.
    const LOAD_FAILED: &[&str] = &["exit status 3", "exit status 4"];
    /// Signals of ours: to leave, to show its stacks, to die.
    const KILLED: &[&str] = &["SIGTERM", "SIGQUIT", "SIGABRT", "SIGKILL"];
    LOAD_FAILED.contains(&exit)
        || exit
            .strip_prefix("killed by ")
            .is_some_and(|how| KILLED.iter().any(|signal| how.starts_with(signal)))
}

impl Master {
    /// Logs a fact, once.
    pub(crate) fn report(&self, fact: Fact, now: Instant) {
        match fact {
            Fact::Serving(generation, workers) => {
                events::ready(generation.0, workers, now - self.started);
            }
            Fact::StartFailed(reason) => self.start_failed(&reason),
            Fact::ReloadDone(generation) => {
                let workers = self.arbiter.summary().ready;
                events::reload_finished(generation.0, workers, now - self.reload_began);
            }
            Fact::ReloadFailed(reason) => {
                self.load_failed(&reason);
                let generation = self.arbiter.summary().generation;
                events::reload_failed(generation.0, &reason.to_string());
            }
            Fact::CountChanged { from: _, to } => {
                events::workers_wanted(to, &self.ordered_by);
            }
            Fact::WorkerServes(id, _) => {
                if let Some(worker) = self.workers.get(&id) {
                    events::worker_ready(worker.named(), now - worker.since);
                }
            }
            Fact::WorkerLeft(id, exit) => {
                if let Some(worker) = self.workers.get(&id) {
                    let hurried = self.arbiter.time_to_leave().is_none();
                    if exit == "exit status 0" && !hurried {
                        events::worker_retired(worker.named(), self.requests(id));
                    } else if hurried || is_told_already(&exit) {
                        debug!(worker_id = id.0, exit, "Worker {id} left: {exit}");
                    } else {
                        info!(worker_id = id.0, exit, "Worker {id} left: {exit}");
                    }
                }
            }
            Fact::WorkerDied(id, exit) => {
                if let Some(worker) = self.workers.get(&id) {
                    events::worker_died(worker.named(), &exit, self.requests(id));
                }
            }
            Fact::WorkerFailed(id, reason) => match &reason {
                Reason::Load(failure) => {
                    events::load_failed(self.speaker(id), failure);
                }
                Reason::Fork(why) => {
                    let generation = self
                        .workers
                        .get(&id)
                        .map_or(0, |worker| worker.generation.0);
                    events::fork_failed(id.0, generation, why);
                }
                Reason::Config(_)
                | Reason::Late(_)
                | Reason::WorkerDied(_)
                | Reason::TimedOut(_)
                | Reason::ForkServerDied(_)
                | Reason::ForkServerStuck
                | Reason::GaveUp { .. }
                | Reason::Stopping => {
                    warn!(worker_id = id.0, "Worker {id} came to nothing: {reason}");
                }
            },
            Fact::WorkerTimedOut(id, silent) => {
                if let Some(worker) = self.workers.get(&id) {
                    let timeout = self.config.timeout.get().unwrap_or_default();
                    events::worker_timed_out(worker.named(), self.busy(id, silent), timeout);
                }
            }
            Fact::WorkerKilled(id) => {
                if let Some(worker) = self.workers.get(&id) {
                    events::worker_killed(worker.named(), "it did not leave in time");
                }
            }
            Fact::RespawnDelayed(pause) => events::respawn_delayed(pause),
            Fact::ForkServerLost(generation, reason) => {
                let pid = self
                    .fork_servers
                    .get(&generation)
                    .map_or(0, |server| server.handle.pid);
                let exit = match &reason {
                    Reason::ForkServerDied(exit) => exit.clone(),
                    reason => reason.to_string(),
                };
                events::fork_server_died(pid, generation.0, &exit);
            }
            Fact::ReplacementFailed(generation, reason) => {
                self.load_failed(&reason);
                warn!(
                    generation = generation.0,
                    "Generation {generation}, which should follow a dead fork server, came to \
                     nothing; another is tried: {reason}"
                );
            }
        }
    }

    /// The service ends before it began: why.
    fn start_failed(&self, reason: &Reason) {
        match reason {
            Reason::Load(_) => self.load_failed(reason),
            reason => error!("Cannot start: {reason}"),
        }
    }

    /// The application's own words, where it was the application that failed.
    fn load_failed(&self, reason: &Reason) {
        if let (Reason::Load(failure), Some(speaker)) = (reason, self.refused_by) {
            events::load_failed(speaker, failure);
        }
    }

    fn speaker(&self, id: WorkerId) -> Speaker {
        let unknown = events::Worker {
            id: id.0,
            pid: 0,
            generation: 0,
        };
        self.workers
            .get(&id)
            .map_or(Speaker::Worker(unknown), WorkerProcess::speaker)
    }

    /// How many requests a worker has answered.
    fn requests(&self, id: WorkerId) -> u64 {
        self.reading(id).map_or(0, |reading| reading.requests)
    }

    /// How long a worker has been in its request, or else silent.
    fn busy(&self, id: WorkerId, silent: Duration) -> Duration {
        match self.reading(id).map(|reading| reading.busy_since_ms) {
            Some(since) if since > 0 => Duration::from_millis(now_ms().saturating_sub(since)),
            _ => silent,
        }
    }
}
