//! The fork servers: started, told what to serve and what has happened, ended.

use super::Processes;
use crate::config::{Config, Start};
use crate::master::reload::Deployment;
use crate::pool::GenerationId;
use crate::process::{ForkServerProcess, Launch, Occasion, OutputTo};
use crate::wakeups::{Source, Wakeups};
use rgunicorn_link::protocol::{Moment, ToForkServer};
use rustix::process::Signal;
use std::io;
use tracing::{error, warn};

/// The most calls of hooks that wait for a fork server.
const MOST_MISSED_CALLS: usize = 1024;

impl Processes {
    pub(in crate::master) fn start_fork_server(
        &mut self,
        generation: GenerationId,
        deployment: &Deployment,
        start: &Start,
        wakeups: &Wakeups,
    ) -> io::Result<()> {
        let launch = Launch {
            config: &deployment.config,
            start,
            folder: &deployment.folder,
            output: match self.output {
                OutputTo::Inherited if deployment.config.captures_output() => OutputTo::Lines,
                output => output,
            },
            account: None,
        };
        let server = ForkServerProcess::start(generation, launch, &self.scoreboard)?;
        self.watch(server, wakeups)
    }

    /// Takes over a fork server that has run its program before there was a master.
    pub(in crate::master) fn adopt(
        &mut self,
        mut server: ForkServerProcess,
        config: &Config,
        wakeups: &Wakeups,
    ) -> io::Result<()> {
        let occasion = self.occasion(Moment::Start, config.workers.count());
        server.configure(config, &self.scoreboard, Some(occasion))?;
        self.watch(server, wakeups)
    }

    pub(super) fn watch(&mut self, server: ForkServerProcess, wakeups: &Wakeups) -> io::Result<()> {
        let generation = server.generation;
        if let Some(link) = &server.link {
            wakeups.add(link, Source::ForkServer(generation))?;
        }
        for (stream, output) in server.pipes.iter().flatten() {
            wakeups.add(output, Source::ForkServerOutput(generation, *stream))?;
        }
        self.fork_servers.insert(generation, server);
        Ok(())
    }

    /// Tells a fork server that has run its program what to serve.
    pub(in crate::master) fn configure(
        &mut self,
        generation: GenerationId,
        config: &Config,
        moment: Moment,
        count: usize,
    ) {
        let occasion = self.occasion(moment, count);
        let Some(server) = self.fork_servers.get_mut(&generation) else {
            return;
        };
        if let Err(error) = server.configure(config, &self.scoreboard, Some(occasion)) {
            // It waits for this, and would do so for ever: killed, it is replaced.
            error!("Cannot configure the fork server of generation {generation}: {error}");
            self.signal_fork_server(generation, Signal::KILL);
        }
    }

    fn occasion(&self, moment: Moment, count: usize) -> Occasion {
        let addresses = self.listeners.iter();
        let addresses = addresses.map(|listener| listener.address.clone());
        Occasion {
            moment,
            addresses: addresses.collect(),
            count,
        }
    }

    /// Tells the hooks of a generation what has happened. Returns whether there are any, and
    /// they are told.
    pub(in crate::master) fn tell_hooks(
        &self,
        generation: GenerationId,
        what: &ToForkServer,
    ) -> bool {
        let server = self.fork_servers.get(&generation);
        server.is_some_and(|server| server.tell(what))
    }

    /// The same, after what could not be told before: in between there was no fork server.
    pub(in crate::master) fn tell_hooks_in_order(
        &mut self,
        generation: GenerationId,
        what: ToForkServer,
    ) {
        if self.missed_calls.len() >= MOST_MISSED_CALLS {
            warn!("A hook misses a call: there has been no fork server for too long");
            self.missed_calls.pop_front();
        }
        self.missed_calls.push_back(what);
        self.tell_missed_calls(generation);
    }

    pub(in crate::master) fn tell_missed_calls(&mut self, generation: GenerationId) {
        while let Some(what) = self.missed_calls.front() {
            if !self.tell_hooks(generation, what) {
                return;
            }
            self.missed_calls.pop_front();
        }
    }

    /// Makes a fork server exit.
    pub(in crate::master) fn close_link(&mut self, generation: GenerationId) {
        if let Some(server) = self.fork_servers.get_mut(&generation) {
            server.link = None;
        }
    }

    pub(in crate::master) fn signal_fork_server(&self, generation: GenerationId, signal: Signal) {
        if let Some(server) = self.fork_servers.get(&generation) {
            if let Err(error) = server.handle.signal(signal) {
                error!("Cannot signal the fork server of generation {generation}: {error}");
            }
        }
    }

    pub(in crate::master) fn fork_server_with_pid(&self, pid: u32) -> Option<GenerationId> {
        (self.fork_servers.values())
            .find(|server| server.handle.pid == pid)
            .map(|server| server.generation)
    }
}
