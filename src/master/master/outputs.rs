//! What the application wrote, where it is read through pipes.

use super::Master;
use crate::log;
use crate::log::events::{AppProcess, Stream};
use crate::process::{Output, PipeState, Pipes};
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
            .map(|worker| (worker.app_process(), &mut worker.pipes));
        let servers = self
            .processes
            .fork_servers
            .values_mut()
            .map(|server| (server.app_process(), &mut server.pipes));
        for (process, pipes) in workers.chain(servers) {
            for (stream, output) in pipes.iter_mut().flatten() {
                if output.deadline().is_some_and(|due| due <= now) {
                    for record in output.flush(now) {
                        self.log.output(process, *stream, record);
                    }
                }
            }
        }
    }
}

/// Reads one of a process's streams once. What does not fit into the log waits in
/// the pipe.
pub(super) fn read_output(
    log: &log::Handle,
    wakeups: &Wakeups,
    pipes: &mut Pipes,
    process: AppProcess,
    stream: Stream,
) {
    for (_, output) in pipes
        .iter_mut()
        .flatten()
        .filter(|(which, _)| *which == stream && log.takes_output())
    {
        match output.read(Instant::now()) {
            Ok(read) => {
                for record in read.records {
                    log.output(process, stream, record);
                }
                if read.pipe == PipeState::End {
                    wakeups.remove(&*output);
                }
            }
            Err(error) => {
                warn!("The output of the application cannot be read: {error}");
                wakeups.remove(&*output);
            }
        }
    }
}

/// Reads what a process that is gone left in its streams.
pub(super) fn finish_outputs(log: &log::Handle, pipes: &mut Pipes, process: AppProcess) {
    for (stream, output) in pipes.iter_mut().flatten() {
        for record in output.finish(Instant::now()) {
            log.output(process, *stream, record);
        }
    }
}
