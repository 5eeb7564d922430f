//! What the arbiter reports becomes log records.

use super::Master;
use crate::log::events::{self, AppProcess};
use crate::pool::{ExitStatus, GenerationId, LEFT_BY_ITSELF, Reason, Report, WorkerId};
use crate::process::WorkerProcess;
use rgunicorn_link::scoreboard::now_ms;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

impl Master {
    pub(super) fn report(&self, report: Report, now: Instant) {
        match report {
            Report::Serving(generation, workers) => {
                events::ready(generation.0, workers, now - self.started);
            }
            Report::StartFailed(reason) => self.start_failed(&reason),
            Report::Draining(by, time) => events::draining(&by.to_string(), time),
            Report::Stopping(by, within) => events::stopping(&by.to_string(), within),
            Report::ReloadBegan(generation, by) => {
                events::reload_began(generation.0, &by.to_string());
            }
            Report::ReloadDone(generation) => {
                let workers = self.arbiter.summary().ready;
                events::reload_finished(generation.0, workers, now - self.reload.began);
            }
            Report::ReloadFailed(reason @ Reason::Stopping) => {
                info!("Reload not finished: {reason}");
            }
            Report::ReloadFailed(Reason::Upgrade(why)) => events::upgrade_failed(&why),
            Report::ReloadFailed(reason) => {
                self.load_failed(&reason);
                let generation = self.arbiter.summary().generation;
                events::reload_failed(generation.0, &reason.to_string());
            }
            Report::CountChanged { to: 0, by, .. } => events::workers_retired(&by.to_string()),
            Report::CountChanged { from: _, to, by } => {
                events::workers_wanted(to, &by.to_string());
            }
            Report::WorkerServes(id, _) => {
                if let Some(worker) = self.processes.workers.get(&id) {
                    events::worker_ready(worker.named(), now - worker.since);
                }
            }
            Report::WorkerLeft(id, exit) => self.worker_left(id, exit),
            Report::WorkerDied(id, exit) => self.worker_died(id, exit),
            Report::WorkerFailed(id, reason) => self.worker_failed(id, &reason),
            Report::WorkerTimedOut(id, silent) => {
                if let Some(worker) = self.processes.workers.get(&id) {
                    let timeout = self.current.config.timeout.get().unwrap_or_default();
                    events::worker_timed_out(worker.named(), self.busy(id, silent), timeout);
                }
            }
            Report::WorkerTooLarge {
                worker,
                own,
                max,
                age,
            } => {
                if let Some(worker) = self.processes.workers.get(&worker) {
                    events::worker_too_large(worker.named(), own, max, age);
                }
            }
            Report::WorkerServedEnough { worker, requests } => {
                if let Some(worker) = self.processes.workers.get(&worker) {
                    events::worker_served_enough(worker.named(), requests);
                }
            }
            Report::WorkerTooOld { worker, age } => {
                if let Some(worker) = self.processes.workers.get(&worker) {
                    events::worker_too_old(worker.named(), age);
                }
            }
            Report::MemoryPressure(reports) => events::memory_pressure(reports),
            Report::WorkerRecycled(worker, own) => {
                if let Some(worker) = self.processes.workers.get(&worker) {
                    events::worker_recycled(worker.named(), own);
                }
            }
            Report::WorkerKilled(id) => {
                if let Some(worker) = self.processes.workers.get(&id) {
                    events::worker_killed(worker.named(), "it did not leave in time");
                }
            }
            Report::WorkerLeftBehind(id) => events::left_behind(self.app_process(id)),
            Report::ForkServerLeftBehind(generation) => {
                if let Some(server) = self.processes.fork_servers.get(&generation) {
                    events::left_behind(server.app_process());
                }
            }
            Report::RespawnDelayed(pause) => events::respawn_delayed(pause),
            Report::ForkServerLost(generation, reason) => {
                self.fork_server_lost(generation, reason);
            }
            Report::ReplacementFailed(generation, reason) => {
                self.load_failed(&reason);
                warn!(
                    generation = generation.0,
                    "Generation {generation}, started because the fork server was lost, failed; \
                     another will be tried: {reason}"
                );
            }
        }
    }

    fn worker_died(&self, id: WorkerId, exit: ExitStatus) {
        let Some(worker) = self.processes.workers.get(&id) else {
            return;
        };
        let (named, requests) = (worker.named(), self.requests(id));
        let request = self.current_request(id);
        let request = request.as_deref();
        // Workers are told to leave over their links.
        let cause = match exit {
            ExitStatus::Code(0) if self.processes.has_begun_to_leave(id) => "it was sent SIGTERM",
            ExitStatus::Code(0) => LEFT_BY_ITSELF,
            ExitStatus::Code(_)
            | ExitStatus::Signal { .. }
            | ExitStatus::OutOfMemory
            | ExitStatus::NeverStarted => {
                return events::worker_died(named, &exit.to_string(), requests, request);
            }
        };
        events::worker_left(named, cause, requests, request);
    }

    fn worker_left(&self, id: WorkerId, exit: ExitStatus) {
        let Some(worker) = self.processes.workers.get(&id) else {
            return;
        };
        let quits_at_once = self.arbiter.time_to_leave().is_none();
        if exit == ExitStatus::Code(0) && !quits_at_once {
            events::worker_retired(worker.named(), self.requests(id));
        } else if quits_at_once || exit.is_expected_when_leaving() {
            debug!(worker_id = id.0, exit = %exit, "Worker {id} left: {exit}");
        } else if exit == ExitStatus::OutOfMemory {
            // One that has grown beyond `worker_memory_max` was asked to leave, and grew on
            // in the request that it was to finish.
            self.worker_died(id, exit);
        } else {
            info!(worker_id = id.0, exit = %exit, "Worker {id} left: {exit}");
        }
    }

    fn worker_failed(&self, id: WorkerId, reason: &Reason) {
        match reason {
            Reason::Load(failure) => events::load_failed(self.app_process(id), failure),
            Reason::Fork(why) => {
                let worker = self.processes.workers.get(&id);
                let generation = worker.map_or(0, |worker| worker.generation.0);
                events::fork_failed(id.0, generation, why);
            }
            Reason::WorkerDied(ExitStatus::Code(0)) => warn!(
                worker_id = id.0,
                "Worker {id} left before it was ready: {LEFT_BY_ITSELF}"
            ),
            Reason::WorkerDied(exit) => warn!(
                worker_id = id.0,
                exit = %exit,
                "Worker {id} ended before it was ready: {exit}"
            ),
            Reason::Config(_)
            | Reason::Upgrade(_)
            | Reason::Late(_)
            | Reason::TimedOut(_)
            | Reason::ForkServerDied(_)
            | Reason::ForkServerLinkClosed
            | Reason::ForkServerStuck
            | Reason::GaveUp { .. }
            | Reason::Stopping => {
                warn!(
                    worker_id = id.0,
                    "Worker {id} failed before it was ready: {reason}"
                );
            }
        }
    }

    fn fork_server_lost(&self, generation: GenerationId, reason: Reason) {
        let server = self.processes.fork_servers.get(&generation);
        let pid = server.map_or(0, |server| server.handle.pid);
        let exit = match reason {
            Reason::ForkServerDied(exit) => exit,
            reason => reason.to_string(),
        };
        events::fork_server_died(pid, generation.0, &exit);
    }

    /// The service ends before it was ready.
    fn start_failed(&self, reason: &Reason) {
        match reason {
            Reason::Load(_) => self.load_failed(reason),
            reason => events::start_failed(&reason.to_string()),
        }
    }

    /// The application's own error, if it was that.
    fn load_failed(&self, reason: &Reason) {
        if let (Reason::Load(failure), Some(process)) = (reason, self.refused_by) {
            events::load_failed(process, failure);
        }
    }

    fn app_process(&self, id: WorkerId) -> AppProcess {
        let unknown = events::Worker {
            id: id.0,
            pid: 0,
            generation: 0,
        };
        self.processes
            .workers
            .get(&id)
            .map_or(AppProcess::Worker(unknown), WorkerProcess::app_process)
    }

    /// How many requests a worker has answered.
    fn requests(&self, id: WorkerId) -> u64 {
        self.processes
            .reading(id)
            .map_or(0, |reading| reading.requests)
    }

    /// How long a worker has been in its request, or else silent.
    fn busy(&self, id: WorkerId, silent: Duration) -> Duration {
        match self
            .processes
            .reading(id)
            .map(|reading| reading.busy_since_ms)
        {
            Some(since) if since > 0 => Duration::from_millis(now_ms().saturating_sub(since)),
            _ => silent,
        }
    }
}
