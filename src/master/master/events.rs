//! Signals, messages and the exits of processes become events of the arbiter.

use super::Master;
use super::outputs::{finish_outputs, read_output};
use crate::code_watch::directories_in;
use crate::log::events::{self, AppProcess};
use crate::pool::{Event, ExitStatus, GenerationId, Order, Phase, Requester, Worker, WorkerId};
use crate::process::{self, Handle, StacksPipe};
use crate::signals::Meaning;
use crate::systemd::PressureWatch;
use crate::systemd::pressure::Pressure;
use crate::wakeups::Source;
use rgunicorn_link::Received;
use rgunicorn_link::protocol::{FromForkServer, FromWorker, LoadFailure, ToForkServer};
use std::io;
use std::time::Instant;
use tracing::{error, info, warn};

impl Master {
    pub(super) fn handle(&mut self, source: Source) {
        match source {
            Source::Signals => self.handle_signals(),
            Source::Control => {
                if let Some(control) = &mut self.control {
                    if let Err(error) = control.accept(&self.wakeups) {
                        warn!(
                            "The control socket accepts no clients for now, it is tried again every second: {error}"
                        );
                    }
                }
            }
            Source::ControlClient(number) => {
                let asked = self
                    .control
                    .as_mut()
                    .and_then(|control| control.read(number));
                if let Some(asked) = asked {
                    self.handle_request(number, &asked);
                }
            }
            Source::ForkServer(generation) => self.read_fork_server(generation),
            Source::Worker(worker) => self.read_worker(worker),
            Source::WorkerStacks(worker) => self.read_stacks(worker),
            Source::ForkServerOutput(generation, stream) => {
                let Some(server) = self.processes.fork_servers.get_mut(&generation) else {
                    let outliving = &mut self.processes.outliving;
                    return outliving.read(&self.log, &self.wakeups, source);
                };
                let process = server.app_process();
                read_output(&self.log, &self.wakeups, &mut server.pipes, process, stream);
            }
            Source::WorkerOutput(worker, stream) => {
                let Some(worker) = self.processes.workers.get_mut(&worker) else {
                    let outliving = &mut self.processes.outliving;
                    return outliving.read(&self.log, &self.wakeups, source);
                };
                let process = worker.app_process();
                read_output(&self.log, &self.wakeups, &mut worker.pipes, process, stream);
            }
            Source::CodeWatch => {
                if let Some(watch) = &mut self.code_watch {
                    watch.read(Instant::now());
                }
            }
            Source::MemoryPressure(_) => self.read_memory_pressure(),
            // The loop has waited for room in the log, and looks there by itself.
            Source::LogHasRoom => {}
        }
    }

    pub(super) fn handle_signals(&mut self) {
        let received = self.signals.all();
        // Those that came together are not in the order in which they were sent.
        let is_upgrade = |meaning| matches!(meaning, Meaning::Order(Order::Upgrade));
        if (received.iter().flatten()).any(|(_, meaning)| is_upgrade(*meaning)) {
            self.upgrade.after_usr2.begin();
        }
        for signal in received {
            match signal {
                Ok((name, Meaning::Order(_))) if self.upgrade.after_usr2.takes(name) => {
                    info!(
                        signal = name,
                        "Got {name}, which is ignored this time: after SIGUSR2 it is meant for \
                         the old one of two masters, and there is only one; SIGTERM stops it"
                    );
                }
                Ok((name, Meaning::Order(Order::RetireAll))) if !self.retires_all() => {
                    let why = if self.in_background {
                        "the service is not ready, or stops"
                    } else {
                        "it counts only under systemd and with daemon, since terminals send it"
                    };
                    info!(signal = name, "Got {name}, which is ignored: {why}");
                }
                Ok((name, Meaning::Order(order))) => {
                    info!(signal = name, "Got {name}");
                    self.dispatch(Event::Ordered(order, Requester::Signal(name)));
                }
                Ok((name, Meaning::ReopenLogs)) => {
                    info!(signal = name, "Got {name}, log files are opened anew");
                    self.log.reopen_file();
                    self.processes.reopen_logs();
                }
                Ok((_, Meaning::ChildEnded)) => self.reap(),
                Ok((name, Meaning::Nothing)) => {
                    info!(signal = name, "Got {name}, which rgunicorn ignores");
                }
                Err(error) => error!("Cannot read signals: {error}"),
            }
        }
    }

    /// Whether an order to retire all workers is one.
    fn retires_all(&self) -> bool {
        self.in_background
            && match self.arbiter.summary().phase {
                Phase::Serving | Phase::Reloading => true,
                Phase::Starting | Phase::Draining | Phase::Stopping => false,
            }
    }

    fn read_memory_pressure(&mut self) {
        match self.pressure.as_ref().map(PressureWatch::read) {
            Some(Pressure::Some) => self.dispatch(Event::MemoryPressure),
            Some(Pressure::None) | None => {}
            Some(Pressure::Ended) => {
                self.pressure = None;
                warn!("Memory pressure is not watched any more: its source is gone");
            }
        }
    }

    pub(super) fn read_fork_server(&mut self, generation: GenerationId) {
        while let Some(server) = self.processes.fork_servers.get_mut(&generation) {
            let Some(link) = &server.link else { return };
            let process = server.app_process();
            match link.receive() {
                Ok(Received::Message(FromForkServer::Evaluated(evaluation), _)) => {
                    if server.is_evaluating() {
                        self.evaluated(generation, &evaluation);
                    }
                }
                Ok(Received::Message(
                    FromForkServer::EvaluationFailed { summary, traceback },
                    _,
                )) => self.evaluation_failed(generation, summary, traceback),
                Ok(Received::Message(FromForkServer::Ready, _)) => {
                    server.ready = true;
                    self.dispatch(Event::ForkServerReady(generation));
                    let serving = self.arbiter.summary().generation;
                    self.processes.tell_missed_calls(serving);
                }
                Ok(Received::Message(FromForkServer::LoadFailed(failure), _)) => {
                    self.refused(process, failure, |failure| {
                        Event::ForkServerRefused(generation, failure)
                    });
                }
                Ok(Received::Message(FromForkServer::ForkFailed { worker, reason }, _)) => {
                    let worker = WorkerId(worker);
                    self.count_exit(worker, ExitStatus::NeverStarted);
                    self.dispatch(Event::ForkFailed(worker, reason));
                    self.forget_worker(worker);
                }
                Ok(Received::Message(FromForkServer::PreExecCalled { succeeded }, _)) => {
                    self.pre_exec_called(generation, succeeded);
                }
                Ok(Received::Message(FromForkServer::Log(record), _)) => {
                    self.counters.records_dropped(record.dropped);
                    events::relayed(process, &record);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => {
                    server.link = None;
                    return self.dispatch(Event::ForkServerLinkClosed(generation));
                }
                Err(error) => {
                    error!(
                        "Cannot read the link to the fork server of generation {generation}: {error}"
                    );
                    server.link = None;
                    return self.dispatch(Event::ForkServerLinkClosed(generation));
                }
            }
        }
    }

    pub(super) fn read_worker(&mut self, id: WorkerId) {
        while let Some(worker) = self.processes.workers.get_mut(&id) {
            let Some(link) = &worker.link else { return };
            let process = worker.app_process();
            match link.receive() {
                Ok(Received::Message(
                    FromWorker::Started {
                        pid,
                        is_in_group,
                        stacks_signal,
                    },
                    fds,
                )) => {
                    worker.is_in_group = is_in_group;
                    let pipe = fds.into_iter().next();
                    // Only the first: that one may be watched.
                    if worker.stacks.is_none() {
                        let pipe = pipe.map(|pipe| StacksPipe::new(pipe, stacks_signal));
                        worker.stacks = pipe.and_then(Result::ok);
                    }
                    let handle = match u32::try_from(pid) {
                        Ok(pid) if self.just_reaped == Some(pid) => Ok(Handle::reaped(pid)),
                        Ok(pid) => Handle::of(pid),
                        Err(error) => Err(io::Error::other(error)),
                    };
                    match handle {
                        Ok(handle) => {
                            worker.handle = Some(handle);
                            events::worker_started(worker.named());
                            self.dispatch(Event::WorkerStarted(id));
                        }
                        // Without a handle it could not be killed. It exits when it
                        // finds its link closed, and another is ordered.
                        Err(error) => {
                            error!("Cannot open a pidfd for worker {id} (pid {pid}): {error}");
                            return self.link_closed(id);
                        }
                    }
                }
                Ok(Received::Message(FromWorker::Ready, _)) => {
                    self.dispatch(Event::WorkerReady(id));
                }
                Ok(Received::Message(FromWorker::Imported(directories), _)) => {
                    self.watch_code(directories);
                }
                Ok(Received::Message(FromWorker::LoadFailed(failure), _)) => {
                    self.refused(process, failure, |failure| {
                        Event::WorkerRefused(id, failure)
                    });
                }
                Ok(Received::Message(FromWorker::Collected { freed }, _)) => {
                    events::worker_collected(worker.named(), freed);
                    self.dispatch(Event::Collected(id));
                }
                Ok(Received::Message(FromWorker::Log(record), _)) => {
                    self.counters.records_dropped(record.dropped);
                    events::relayed(process, &record);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => return self.link_closed(id),
                Err(error) => {
                    error!("Cannot read the link to worker {id}: {error}");
                    return self.link_closed(id);
                }
            }
        }
    }

    /// A worker closed its link. With a known pid, it is about to exit and will be reaped;
    /// without one, it was never forked.
    pub(super) fn link_closed(&mut self, id: WorkerId) {
        if let Some(worker) = self.processes.workers.get_mut(&id) {
            worker.link = None;
            if worker.handle.is_none() {
                self.worker_gone(id, ExitStatus::NeverStarted);
            }
        }
    }

    /// What it wrote is logged to the end, and its row is free again.
    pub(super) fn forget_worker(&mut self, id: WorkerId) {
        self.answer_replaced(id, "has left");
        self.answer_no_stacks(id, &format!("worker {id} has left"));
        if let Some(mut worker) = self.processes.remove_worker(id) {
            let process = worker.app_process();
            let pipes = worker.pipes.take();
            finish_outputs(&self.log, pipes, process, &mut self.processes.outliving);
        }
    }

    pub(super) fn count_exit(&mut self, id: WorkerId, exit: ExitStatus) {
        if let (Some(worker), Some(process)) =
            (self.arbiter.worker(id), self.processes.workers.get(&id))
        {
            let was_aborted = process.was_aborted;
            self.counters.worker_ended(worker.state, exit, was_aborted);
        }
    }

    fn worker_gone(&mut self, id: WorkerId, exit: ExitStatus) {
        self.count_exit(id, exit);
        let served = self.processes.has_served(id);
        // Before the arbiter may end the service.
        self.tell_hooks_of_end(id);
        self.dispatch(Event::WorkerGone {
            worker: id,
            exit,
            served,
        });
        self.forget_worker(id);
    }

    fn tell_hooks_of_end(&mut self, id: WorkerId) {
        let worker = self.processes.workers.get(&id);
        if let Some(handle) = worker.and_then(|worker| worker.handle.as_ref()) {
            let serving = self.arbiter.summary().generation;
            let (worker, pid) = (id.0, handle.pid);
            let gone = ToForkServer::WorkerGone { worker, pid };
            if self.current.config.has_hooks() {
                self.processes.tell_hooks_in_order(serving, gone);
            }
        }
    }

    pub(super) fn refused(
        &mut self,
        process: AppProcess,
        failure: LoadFailure,
        event: impl FnOnce(LoadFailure) -> Event,
    ) {
        if self.code_watch.is_some() {
            self.watch_code(directories_in(&failure.traceback));
        }
        self.refused_by = Some(process);
        self.dispatch(event(failure));
        self.refused_by = None;
    }

    /// Reaps every child that has ended.
    pub(super) fn reap(&mut self) {
        loop {
            match process::reap() {
                Ok(Some(reaped)) => self.reaped(reaped.pid, reaped.exit),
                Ok(None) => return,
                Err(error) => {
                    error!("Cannot reap children: {error}");
                    return;
                }
            }
        }
    }

    /// The worker with this pid, which is reaped. One that has sent its pid and ended
    /// right after that is known only by its link until the message is read.
    fn reaped_worker(&mut self, pid: u32) -> Option<WorkerId> {
        let known = self.processes.worker_with_pid(pid);
        if known.is_some() || self.processes.fork_server_with_pid(pid).is_some() {
            return known;
        }
        let unnamed: Vec<_> = (self.processes.workers.values())
            .filter(|worker| worker.handle.is_none())
            .map(|worker| worker.id)
            .collect();
        self.just_reaped = Some(pid);
        for worker in unnamed {
            self.read_worker(worker);
        }
        self.just_reaped = None;
        self.processes.worker_with_pid(pid)
    }

    fn reaped(&mut self, pid: u32, exit: ExitStatus) {
        if self.trial_ended(pid, exit) {
            return;
        }
        if let Some(id) = self.reaped_worker(pid) {
            // What it sent before it ended.
            self.read_worker(id);
            let was_killed_by_us = (self.arbiter.worker(id)).is_some_and(Worker::is_killed);
            let exit = if was_killed_by_us {
                exit
            } else {
                self.processes.explain_worker(id, exit)
            };
            self.worker_gone(id, exit);
        } else if let Some(generation) = self.processes.fork_server_with_pid(pid) {
            self.read_fork_server(generation);
            let exit = self.processes.explain(exit);
            if let Some(server) = self.processes.fork_servers.get_mut(&generation) {
                let process = server.app_process();
                let pipes = server.pipes.take();
                finish_outputs(&self.log, pipes, process, &mut self.processes.outliving);
                let exit = server.describe_exit(exit);
                self.dispatch(Event::ForkServerGone(generation, exit));
                self.processes.fork_servers.remove(&generation);
            }
        }
    }
}
