//! What happened: signals, messages and ends of processes become events.

use super::Master;
use super::outputs::{finish_outputs, read_output};
use crate::control::Asked;
use crate::control::protocol::{Answer, Request};
use crate::log::events::{self, Speaker};
use crate::pool::{Event, GenerationId, Order, Reason, WorkerId};
use crate::process::{self, Handle};
use crate::signals::Meaning;
use crate::wakeups::Source;
use rgunicorn_link::Received;
use rgunicorn_link::protocol::{FromForkServer, FromWorker, LoadFailure};
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
            Source::ForkServerOutput(generation, stream) => {
                let Some(server) = self.fork_servers.get_mut(&generation) else {
                    return;
                };
                let speaker = server.speaker();
                read_output(&self.log, &self.wakeups, &mut server.pipes, speaker, stream);
            }
            Source::WorkerOutput(worker, stream) => {
                let Some(worker) = self.workers.get_mut(&worker) else {
                    return;
                };
                let speaker = worker.speaker();
                read_output(&self.log, &self.wakeups, &mut worker.pipes, speaker, stream);
            }
            // The loop has waited for room in the log, and looks there by itself.
            Source::LogHasRoom => {}
        }
    }

    pub(super) fn handle_signals(&mut self) {
        loop {
            match self.signals.next() {
                Ok(Some((name, Meaning::Order(order)))) => {
                    info!(signal = name, "Got {name}");
                    name.clone_into(&mut self.ordered_by);
                    self.dispatch(Event::Ordered(order));
                }
                Ok(Some((_, Meaning::ChildEnded))) => self.reap(),
                Ok(Some((name, Meaning::Nothing))) => {
                    info!(
                        signal = name,
                        "Got {name}, which means nothing to this version"
                    );
                }
                Ok(None) => return,
                Err(error) => {
                    error!("Signals cannot be read: {error}");
                    return;
                }
            }
        }
    }

    pub(super) fn handle_request(&mut self, number: u32, asked: &Asked) {
        match asked.request {
            Request::Reload => {
                events::control_request("reload", asked.pid, asked.uid);
                self.ordered_by = format!("rgunicornctl, pid {}", asked.pid);
                self.asking = Some(number);
                self.dispatch(Event::Ordered(Order::Reload));
                if self.asking.take().is_some() {
                    // The arbiter did not accept it: it is on its way out.
                    let reason = Reason::Stopping.to_string();
                    self.answer(number, &Answer::Failed(reason));
                }
            }
            Request::Status => {
                let text = self.status(Instant::now());
                self.answer(number, &Answer::Done(text));
            }
        }
    }

    pub(super) fn answer(&mut self, number: u32, answer: &Answer) {
        if let Some(control) = &mut self.control {
            control.answer(number, answer);
        }
    }

    pub(super) fn read_fork_server(&mut self, generation: GenerationId) {
        while let Some(server) = self.fork_servers.get_mut(&generation) {
            let Some(link) = &server.link else { return };
            let speaker = server.speaker();
            match link.receive() {
                Ok(Received::Message(FromForkServer::Ready, _)) => {
                    server.ready = true;
                    self.dispatch(Event::ForkServerReady(generation));
                }
                Ok(Received::Message(FromForkServer::LoadFailed(failure), _)) => {
                    self.refused(speaker, failure, |failure| {
                        Event::ForkServerRefused(generation, failure)
                    });
                }
                Ok(Received::Message(FromForkServer::ForkFailed { worker, reason }, _)) => {
                    let worker = WorkerId(worker);
                    self.dispatch(Event::ForkFailed(worker, reason));
                    self.forget_worker(worker);
                }
                Ok(Received::Message(FromForkServer::Log(record), _)) => {
                    events::relayed(speaker, &record);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => {
                    server.link = None;
                    return;
                }
                Err(error) => {
                    error!("The link to the fork server of generation {generation} broke: {error}");
                    server.link = None;
                    return;
                }
            }
        }
    }

    pub(super) fn read_worker(&mut self, id: WorkerId) {
        while let Some(worker) = self.workers.get_mut(&id) {
            let Some(link) = &worker.link else { return };
            let speaker = worker.speaker();
            match link.receive() {
                Ok(Received::Message(FromWorker::Started { pid }, _)) => {
                    match u32::try_from(pid)
                        .map_err(io::Error::other)
                        .and_then(Handle::of)
                    {
                        Ok(handle) => {
                            worker.handle = Some(handle);
                            events::worker_started(worker.named());
                            self.dispatch(Event::WorkerStarted(id));
                        }
                        Err(error) => error!("Worker {id} cannot be watched: {error}"),
                    }
                }
                Ok(Received::Message(FromWorker::Ready, _)) => {
                    self.dispatch(Event::WorkerReady(id));
                }
                Ok(Received::Message(FromWorker::LoadFailed(failure), _)) => {
                    self.refused(speaker, failure, |failure| {
                        Event::WorkerRefused(id, failure)
                    });
                }
                Ok(Received::Message(FromWorker::Log(record), _)) => {
                    events::relayed(speaker, &record);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => return self.link_closed(id),
                Err(error) => {
                    error!("The link to worker {id} broke: {error}");
                    return self.link_closed(id);
                }
            }
        }
    }

    /// A worker closed its link. With a pid, it is about to end, which is heard of
    /// by itself; without one, there never was a process.
    pub(super) fn link_closed(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.link = None;
            if worker.handle.is_none() {
                let exit = "there was no process".to_owned();
                self.dispatch(Event::WorkerGone(id, exit));
                self.forget_worker(id);
            }
        }
    }

    pub(super) fn refused(
        &mut self,
        speaker: Speaker,
        failure: LoadFailure,
        event: impl FnOnce(LoadFailure) -> Event,
    ) {
        self.refused_by = Some(speaker);
        self.dispatch(event(failure));
    }

    /// Reaps every child that has ended.
    pub(super) fn reap(&mut self) {
        // A worker that said who it is and ended right after that must be known
        // by its pid before it is reaped.
        let unnamed: Vec<_> = self
            .workers
            .values()
            .filter(|worker| worker.handle.is_none())
            .map(|worker| worker.id)
            .collect();
        for worker in unnamed {
            self.read_worker(worker);
        }
        loop {
            match process::reap() {
                Ok(Some(reaped)) => self.reaped(reaped.pid, reaped.exit),
                Ok(None) => return,
                Err(error) => {
                    error!("Children cannot be reaped: {error}");
                    return;
                }
            }
        }
    }

    pub(super) fn reaped(&mut self, pid: u32, exit: String) {
        let worker = self.workers.values().find(|worker| {
            let handle = worker.handle.as_ref();
            handle.is_some_and(|handle| handle.pid == pid)
        });
        if let Some(id) = worker.map(|worker| worker.id) {
            self.read_worker(id);
            self.dispatch(Event::WorkerGone(id, exit));
            self.forget_worker(id);
            return;
        }
        let server = self
            .fork_servers
            .values()
            .find(|server| server.handle.pid == pid);
        if let Some(generation) = server.map(|server| server.generation) {
            self.read_fork_server(generation);
            if let Some(server) = self.fork_servers.get_mut(&generation) {
                let speaker = server.speaker();
                finish_outputs(&self.log, &mut server.pipes, speaker);
            }
            let exit = match self.fork_servers.get(&generation) {
                Some(server) => server.exit_in_words(&exit),
                None => exit,
            };
            self.dispatch(Event::ForkServerGone(generation, exit));
            self.fork_servers.remove(&generation);
        }
    }

    /// A worker is no more: what it counted is kept, its row is free.
    pub(super) fn forget_worker(&mut self, id: WorkerId) {
        let Some(mut worker) = self.workers.remove(&id) else {
            return;
        };
        let speaker = worker.speaker();
        finish_outputs(&self.log, &mut worker.pipes, speaker);
        if let Some(row) = self.scoreboard.row(worker.row) {
            self.requests_of_the_gone += row.read().requests;
            row.clear();
        }
    }
}
