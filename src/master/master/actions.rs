//! Each action of the arbiter, carried out.

use super::Master;
use super::pool_watch::PoolWatch;
use super::processes::SpawnError;
use crate::pool::{
    Action, Announcement, Event, ExitStatus, GenerationId, Phase, Reason, Report, WorkerId,
};
use crate::systemd::State;
use rgunicorn_link::protocol::{Idle, ToForkServer};
use rustix::process::Signal;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a start waits for a terminal that takes nothing.
const LAST_RECORDS: Duration = Duration::from_secs(1);

impl Master {
    pub(super) fn carry_out(&mut self, action: Action, now: Instant) {
        match action {
            Action::ReloadAccepted(reload) => self.reload_accepted(reload),
            Action::ReadConfig => self.read_config(now),
            Action::Upgrade => self.begin_upgrade(now),
            Action::AdoptConfig => self.adopt_config(),
            Action::DropConfig => self.drop_config(),
            Action::ReloadFinished(reload, outcome) => self.reload_finished(reload, outcome),

            Action::StartForkServer(generation) => self.start_fork_server(generation),
            Action::StopForkServer(generation) => self.stop_fork_server(generation),
            Action::AbortForkServer(generation) => {
                self.processes.signal_fork_server(generation, Signal::ABORT);
            }
            Action::KillForkServer(generation) => {
                self.report_late_hooks(generation);
                self.processes.signal_fork_server(generation, Signal::KILL);
            }

            Action::Spawn { generation, worker } => self.spawn(generation, worker, now),
            Action::MeasureMemory {
                check,
                workers,
                above,
            } => {
                let uses = self.processes.measure_memory(&workers, above);
                self.pending.push_back(Event::MemoryMeasured(check, uses));
            }
            Action::CountRequests(workers) => {
                let requests = |&id: &WorkerId| Some((id, self.processes.reading(id)?.requests));
                let counts = workers.iter().filter_map(requests).collect();
                self.pending.push_back(Event::RequestsCounted(counts));
            }
            Action::Collect(worker) => self.processes.collect(worker),
            Action::Lend(worker) => self.processes.lend(worker),
            Action::Retire { worker, within } => {
                self.processes.retire(worker, within, self.idle());
                self.answer_replaced(worker, "finishes its requests and leaves");
            }
            Action::Quit(worker) => self.signal_worker(worker, Signal::QUIT),
            Action::Abort(id) => {
                if let Some(worker) = self.processes.workers.get_mut(&id) {
                    worker.was_aborted = true;
                }
                self.signal_worker(id, Signal::ABORT);
                self.signal_worker(id, Signal::CONT);
            }
            Action::Kill(worker) => self.signal_worker(worker, Signal::KILL),

            Action::Announce(announcement) => self.announce(announcement, now),
            Action::Report(report) => {
                if let Report::StartFailed(reason) = &report {
                    self.start_failure = Some(reason.to_string());
                }
                if let Report::WorkerFailed(_, reason) = &report {
                    self.answer_not_replaced(&format!(
                        "a new worker failed: {reason}; the old one serves until another is ready"
                    ));
                }
                if let Report::CountChanged { to, .. } = report {
                    let serving = self.arbiter.summary().generation;
                    let changed = ToForkServer::CountChanged(to);
                    self.processes.tell_hooks(serving, &changed);
                }
                if matches!(report, Report::Stopping(..)) {
                    self.hurry_retiring_workers(self.current.config.graceful_timeout.get());
                    self.processes.close_own_listeners();
                }
                let is_ready = matches!(report, Report::Serving(..));
                self.report(report, now);
                if is_ready {
                    self.leave_terminal();
                }
            }
            Action::Exit(status) => {
                self.exit = Some(status);
                self.answer_stop();
            }
        }
    }

    /// In the background, nobody waits any more, and nobody reads.
    fn leave_terminal(&mut self) {
        let Some(background) = self.background.take() else {
            return;
        };
        // The log has a thread, and nothing is to come between or behind what is written here.
        self.log.wait(LAST_RECORDS);
        let keeps_output = self.current.config.enable_stdio_inheritance;
        if !keeps_output && self.log.file_path().is_none() {
            let says = format!(
                "rgunicorn: serving in the background with the pid {}; its log is not kept: set errorlog\n",
                std::process::id()
            );
            // If nobody reads it, nobody is left to be told.
            let _ = io::stderr().write_all(says.as_bytes());
        }
        if let Err(error) = background.is_ready(keeps_output) {
            warn!("Standard output and error stay open: {error}");
        }
    }

    fn start_fork_server(&mut self, generation: GenerationId) {
        if let Some(evaluated) = self.evaluated.take() {
            let config = &self.current.config;
            if let Err(error) = self.processes.adopt(evaluated, config, &self.wakeups) {
                let event = Event::ForkServerGone(generation, error.to_string());
                self.pending.push_back(event);
            }
            return;
        }
        self.candidate_starts(generation);
        let deployment = self.reload.candidate.as_ref().unwrap_or(&self.current);
        let started = self.processes.start_fork_server(
            generation,
            deployment,
            &self.sources.start,
            &self.wakeups,
        );
        if let Err(error) = started {
            let event = Event::ForkServerGone(generation, error.to_string());
            self.pending.push_back(event);
        }
    }

    fn stop_fork_server(&mut self, generation: GenerationId) {
        let summary = self.arbiter.summary();
        let is_last = summary.phase == Phase::Stopping && summary.generation == generation;
        // It exits when its hooks have heard of it; until then it can log.
        let is_told =
            is_last && (self.processes).tell_hooks(generation, &ToForkServer::ServiceEnds);
        if !is_told {
            return self.processes.close_link(generation);
        }
        if let Some(server) = self.processes.fork_servers.get_mut(&generation) {
            server.is_ending = true;
        }
    }

    fn report_late_hooks(&self, generation: GenerationId) {
        let server = self.processes.fork_servers.get(&generation);
        if server.is_some_and(|server| server.is_ending && server.link.is_some()) {
            warn!("on_exit, or a hook before it, did not end in time: its process is killed");
        }
    }

    fn spawn(&mut self, generation: GenerationId, id: WorkerId, now: Instant) {
        if self.pool_watch.as_ref().is_some_and(PoolWatch::is_stuck) {
            // The requests it took would be lost.
            return self.pending.push_back(Event::SpawnDeferred(id));
        }
        let serves = generation == self.arbiter.summary().generation;
        let candidate = self.reload.candidate.as_ref().filter(|_| !serves);
        let deployment = candidate.unwrap_or(&self.current);
        let max = deployment.config.worker_memory_max.limit();
        let spawned = (self.processes).spawn(generation, id, max, &self.wakeups, now);
        if let Err(error) = spawned {
            self.pending.push_back(match error {
                SpawnError::Deferred => Event::SpawnDeferred(id),
                SpawnError::Failed(error) => Event::ForkFailed(id, error.to_string()),
            });
        }
    }

    fn signal_worker(&mut self, id: WorkerId, signal: Signal) {
        if self.processes.has_started(id) {
            self.processes.signal_worker(id, signal);
        } else if self.processes.workers.contains_key(&id) {
            self.count_exit(id, ExitStatus::NeverStarted);
            // If it is forked all the same, it finds its link closed and exits.
            self.pending.push_back(Event::WorkerGone {
                worker: id,
                exit: ExitStatus::NeverStarted,
                served: false,
            });
            self.forget_worker(id);
        }
    }

    /// What a retiring worker does with the connections that are kept alive.
    fn idle(&self) -> Idle {
        match self.arbiter.summary().phase {
            Phase::Starting | Phase::Serving | Phase::Reloading | Phase::Draining => Idle::HandOver,
            // No other worker will serve those clients.
            Phase::Stopping => Idle::CloseSoon,
        }
    }

    fn announce(&mut self, announcement: Announcement, now: Instant) {
        if announcement == Announcement::Stopping {
            // First of all, so that a balancer learns of it as early as possible.
            self.processes.note_stop();
        }
        let states = match announcement {
            Announcement::Ready => vec![State::Ready],
            // systemd compares this time with that of its own order to reload.
            Announcement::Reloading => [State::Reloading]
                .into_iter()
                .chain(State::monotonic_usec_now())
                .collect(),
            Announcement::Stopping => {
                self.answer_not_replaced(&Reason::Stopping.to_string());
                vec![State::Stopping]
            }
        };
        let text = self.status(now);
        self.notifications.send_states(&states, text, now);
    }

    /// Workers that retire for a reload keep idle connections; now that the service
    /// stops, they must not.
    fn hurry_retiring_workers(&mut self, within: Duration) {
        let retiring = (self.arbiter.workers())
            .filter(|(_, worker)| worker.is_retiring())
            .map(|(id, _)| id);
        for id in retiring {
            self.processes.hurry(id, within);
        }
    }
}
