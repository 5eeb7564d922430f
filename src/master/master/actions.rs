//! What to do: each action of the arbiter, carried out.

use super::{Master, find_folder, wanted};
use crate::config::{self};
use crate::control::protocol::Answer;
use crate::log::events;
use crate::pool::{
    Action, Event, Fact, GenerationId, Phase, Reason, ReloadId, State as WorkerState, WorkerId,
};
use crate::process::{ForkServerProcess, Launch, WorkerProcess};
use crate::wakeups::Source;
use rgunicorn_link::protocol::{Idle, ListenerInfo, ToWorker};
use rgunicorn_link::scoreboard::ROWS;
use rustix::process::Signal;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use tracing::{error, warn};

impl Master {
    pub(super) fn carry_out(&mut self, action: Action, now: Instant) {
        match action {
            Action::ReloadAccepted(reload) => {
                if let (Some(control), Some(client)) = (&mut self.control, self.asking.take()) {
                    control.wait_for(client, reload);
                }
            }
            Action::ReadConfig => self.read_config(now),
            Action::AdoptConfig => self.adopt_config(),
            Action::DropConfig => self.candidate = None,
            Action::ReloadFinished(reload, outcome) => self.reload_finished(reload, outcome),

            Action::StartForkServer(generation) => self.start_fork_server(generation),
            Action::StopForkServer(generation) => {
                if let Some(server) = self.fork_servers.get_mut(&generation) {
                    server.link = None;
                }
            }
            Action::AbortForkServer(generation) => {
                self.signal_fork_server(generation, Signal::ABORT);
            }
            Action::KillForkServer(generation) => {
                self.signal_fork_server(generation, Signal::KILL);
            }

            Action::Spawn { generation, worker } => self.spawn(generation, worker, now),
            Action::Lend(worker) => self.lend(worker),
            Action::Retire { worker, within } => self.retire(worker, within),
            Action::Quit(worker) => self.signal_worker(worker, Signal::QUIT),
            Action::Abort(worker) => self.signal_worker(worker, Signal::ABORT),
            Action::Kill(worker) => self.signal_worker(worker, Signal::KILL),

            Action::Announce(announcement) => self.announce(announcement, now),
            Action::Report(fact) => {
                if let Fact::StartFailed(reason) = &fact {
                    self.start_failure = Some(reason.to_string());
                }
                self.report(fact, now);
            }
            Action::Exit(status) => self.exit = Some(status),
        }
    }

    pub(super) fn read_config(&mut self, now: Instant) {
        self.reload_began = now;
        let read = config::load(&self.sources)
            .map_err(|error| error.to_string())
            .and_then(|config| {
                let folder = find_folder(&config).map_err(|error| error.to_string())?;
                Ok((config, folder))
            });
        self.pending.push_back(match read {
            Ok((config, folder)) => {
                let wanted = wanted(&config);
                self.candidate = Some((config, folder));
                Event::ConfigRead(wanted)
            }
            Err(reason) => Event::ConfigRefused(reason),
        });
    }

    pub(super) fn adopt_config(&mut self) {
        if let Some((config, folder)) = self.candidate.take() {
            for setting in self.config.needing_restart(&config) {
                warn!(
                    setting = setting.key,
                    "The new {} takes effect at the next restart", setting.key
                );
            }
            self.log.set_level(config.loglevel.level());
            self.config = config;
            self.folder = folder;
        }
    }

    pub(super) fn reload_finished(
        &mut self,
        reload: ReloadId,
        outcome: Result<GenerationId, Reason>,
    ) {
        self.reload_failure = match &outcome {
            Ok(_) | Err(Reason::Stopping) => None,
            Err(reason) => Some(reason.to_string()),
        };
        let answer = match outcome {
            Ok(generation) => Answer::Done(format!("generation {generation} serves")),
            Err(reason) => Answer::Failed(reason.to_string()),
        };
        if let Some(control) = &mut self.control {
            control.reload_finished(reload, &answer);
        }
    }

    pub(super) fn start_fork_server(&mut self, generation: GenerationId) {
        let (config, folder) = match &self.candidate {
            Some((config, folder)) => {
                events::reload_began(generation.0, &self.ordered_by);
                (config, folder)
            }
            None => (&self.config, &self.folder),
        };
        let outfit = Launch {
            config,
            start: &self.sources.start,
            folder,
            read_output: self.log.has_fields(),
        };
        let started =
            ForkServerProcess::start(generation, outfit, &self.scoreboard, config.preload)
                .and_then(|server| {
                    if let Some(link) = &server.link {
                        self.wakeups.add(link, Source::ForkServer(generation))?;
                    }
                    for (stream, output) in server.pipes.iter().flatten() {
                        let source = Source::ForkServerOutput(generation, *stream);
                        self.wakeups.add(output, source)?;
                    }
                    Ok(server)
                });
        match started {
            Ok(server) => {
                self.fork_servers.insert(generation, server);
            }
            Err(error) => {
                let event = Event::ForkServerGone(generation, error.to_string());
                self.pending.push_back(event);
            }
        }
    }

    pub(super) fn signal_fork_server(&self, generation: GenerationId, signal: Signal) {
        if let Some(server) = self.fork_servers.get(&generation) {
            if let Err(error) = server.handle.signal(signal) {
                error!("The fork server of generation {generation} cannot be signalled: {error}");
            }
        }
    }

    pub(super) fn spawn(&mut self, generation: GenerationId, id: WorkerId, now: Instant) {
        let ordered = self.order_worker(generation, id, now);
        match ordered {
            Ok(worker) => {
                self.workers.insert(id, worker);
            }
            Err(error) => {
                self.pending
                    .push_back(Event::ForkFailed(id, error.to_string()));
            }
        }
    }

    pub(super) fn order_worker(
        &self,
        generation: GenerationId,
        id: WorkerId,
        now: Instant,
    ) -> io::Result<WorkerProcess> {
        let link = self
            .fork_servers
            .get(&generation)
            .and_then(|server| server.link.as_ref())
            .ok_or_else(|| io::Error::other("the fork server is gone"))?;
        let row = (0..ROWS)
            .find(|row| self.workers.values().all(|worker| worker.row != *row))
            .ok_or_else(|| io::Error::other("the scoreboard is full"))?;
        let read_output = self.log.has_fields();
        let worker = WorkerProcess::order(id, generation, row, link, read_output, now)?;
        if let Some(link) = &worker.link {
            self.wakeups.add(link, Source::Worker(id))?;
        }
        for (stream, output) in worker.pipes.iter().flatten() {
            self.wakeups
                .add(output, Source::WorkerOutput(id, *stream))?;
        }
        Ok(worker)
    }

    pub(super) fn lend(&self, id: WorkerId) {
        let infos = self
            .listeners
            .iter()
            .map(|listener| ListenerInfo {
                name: listener.name.clone(),
                address: listener.address.clone(),
            })
            .collect();
        let listeners = self.listeners.iter().map(|listener| listener.fd.as_fd());
        let fds: Vec<_> = listeners.chain([self.nudge.as_fd()]).collect();
        let sent = self
            .workers
            .get(&id)
            .and_then(|worker| worker.link.as_ref())
            .map(|link| link.send(&ToWorker::Listen(infos), &fds));
        if let Some(Err(error)) = sent {
            // It will not serve and is found out by nobody: it has to go.
            error!("Worker {id} cannot be lent the listeners: {error}");
            self.send_signal(id, Signal::KILL);
        }
    }

    pub(super) fn retire(&mut self, id: WorkerId, within: Duration) {
        let idle = match self.arbiter.summary().phase {
            Phase::Starting | Phase::Serving | Phase::Reloading => Idle::Serve,
            // Nobody is left to serve a connection that is kept.
            Phase::Stopping => Idle::Hurry,
        };
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if let Some(row) = self.scoreboard.row(worker.row) {
            row.retire();
        }
        let order = ToWorker::Retire { within_ms, idle };
        match worker.link.as_ref().map(|link| link.send(&order, &[])) {
            // It does not read its link: a signal says the same.
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.signal_worker(id, Signal::TERM);
            }
            // A worker that has closed its link is on its way out.
            Some(Ok(()) | Err(_)) | None => {}
        }
    }

    /// Workers that retire for a reload keep idle connections; when everything
    /// stops, they need not.
    pub(super) fn ask_the_retiring_to_hurry(&self, within: Duration) {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let idle = Idle::Hurry;
        for worker in self.workers.values() {
            let is_retiring = self
                .arbiter
                .worker(worker.id)
                .is_some_and(|worker| matches!(worker.state, WorkerState::Retiring { .. }));
            if let (true, Some(link)) = (is_retiring, &worker.link) {
                // If it does not take it, it has its old order and its time.
                let _ = link.send(&ToWorker::Retire { within_ms, idle }, &[]);
            }
        }
    }

    pub(super) fn signal_worker(&mut self, id: WorkerId, signal: Signal) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if worker.handle.is_some() {
            self.send_signal(id, signal);
        } else {
            // There is no process yet. Should it come, it finds its link closed.
            let exit = "it was given up before it came".to_owned();
            self.pending.push_back(Event::WorkerGone(id, exit));
            self.forget_worker(id);
        }
    }

    pub(super) fn send_signal(&self, id: WorkerId, signal: Signal) {
        let handle = self
            .workers
            .get(&id)
            .and_then(|worker| worker.handle.as_ref());
        if let Some(Err(error)) = handle.map(|handle| handle.signal(signal)) {
            error!("Worker {id} cannot be signalled: {error}");
        }
    }
}
