//! What the application wrote, where it is read through pipes.

use super::Master;
use crate::log::events::{self, Speaker, Stream};
use crate::pool::GenerationId;
use crate::process::{Output, Pipes};
use crate::wakeups::Wakeups;
use std::time::Instant;
use tracing::warn;

impl Master {
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Output> {
        let workers = self.processes.workers.values().map(|worker| &worker.pipes);
        let servers = self
            .processes
            .fork_servers
            .values()
            .map(|server| &server.pipes);
        workers
            .chain(servers)
            .flat_map(|pipes| pipes.iter().flatten())
            .map(|(_, output)| output)
    }

    pub(super) fn flush_outputs(&mut self, now: Instant) {
        let workers = self
            .processes
            .workers
            .values_mut()
            .map(|worker| (worker.speaker(), &mut worker.pipes));
        let servers = self
            .processes
            .fork_servers
            .values_mut()
            .map(|server| (server.speaker(), &mut server.pipes));
        for (speaker, pipes) in workers.chain(servers) {
            for (stream, output) in pipes.iter_mut().flatten() {
                if output.deadline().is_some_and(|due| due <= now) {
                    for record in output.flush(now) {
                        events::app_output(speaker, *stream, &record);
                    }
                }
            }
        }
    }
}

/// Reads one of a process's streams once.
pub(super) fn read_output(wakeups: &Wakeups, pipes: &mut Pipes, speaker: Speaker, stream: Stream) {
    for (_, output) in pipes
        .iter_mut()
        .flatten()
        .filter(|(which, _)| *which == stream)
    {
        match output.read(Instant::now()) {
            Ok(Some(records)) => {
                for record in records {
                    events::app_output(speaker, stream, &record);
                }
            }
            Ok(None) => wakeups.remove(&*output),
            Err(error) => {
                warn!("The output of the application cannot be read: {error}");
                wakeups.remove(&*output);
            }
        }
    }
}

pub(super) fn finish_outputs(pipes: &mut Pipes, pid: u32, generation: GenerationId) {
    let speaker = Speaker::ForkServer {
        pid,
        generation: generation.0,
    };
    for (stream, output) in pipes.iter_mut().flatten() {
        for record in output.finish(Instant::now()) {
            events::app_output(speaker, *stream, &record);
        }
    }
}
