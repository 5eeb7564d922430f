//! What the application wrote, where it is read through pipes.

use super::Master;
use crate::log::events::{AppProcess, Stream, Worker};
use crate::log::{self, AppRecord};
use crate::pool::{GenerationId, WorkerId};
use crate::process::{Output, PipeState, Pipes};
use crate::sys::handed_over::HandedOver;
use crate::upgrade::state::OutlivingState;
use crate::wakeups::{Source, Wakeups};
use std::collections::VecDeque;
use std::io;
use std::time::Instant;
use tracing::warn;

/// The most streams of processes that are gone. Each costs a descriptor; if there are
/// more, the oldest is closed.
const MOST_OUTLIVING: usize = 128;

/// The streams of workers and fork servers that are gone, which processes that the
/// application started there still have open. If these were closed, the next line would
/// be an error, or the end, of a process that has nothing to do with a reload.
#[derive(Debug, Default)]
pub(super) struct Outliving(VecDeque<Outlived>);

#[derive(Debug)]
struct Outlived {
    /// Whose descendants write.
    process: AppProcess,
    stream: Stream,
    output: Output,
}

impl Outliving {
    fn add(&mut self, outlived: Outlived) {
        if self.0.len() >= MOST_OUTLIVING {
            self.0.pop_front();
        }
        self.0.push_back(outlived);
    }

    /// For the program that takes over.
    pub(super) fn hand_over<'a>(&'a self, fds: &mut HandedOver<'a>) -> Vec<OutlivingState> {
        let outlived = self.0.iter().map(|outlived| {
            let (worker, pid, generation) = match outlived.process {
                AppProcess::Worker(worker) => (Some(worker.id), worker.pid, worker.generation),
                AppProcess::ForkServer { pid, generation } => (None, pid, generation),
            };
            OutlivingState {
                worker,
                pid,
                generation,
                is_stderr: outlived.stream == Stream::Stderr,
                output: outlived.output.hand_over(fds),
            }
        });
        outlived.collect()
    }

    pub(super) fn adopt(states: &[OutlivingState], wakeups: &Wakeups) -> io::Result<Self> {
        let mut outliving = Self::default();
        for state in states {
            let (pid, generation) = (state.pid, state.generation);
            let stream = if state.is_stderr {
                Stream::Stderr
            } else {
                Stream::Stdout
            };
            let (process, source) = match state.worker {
                Some(id) => (
                    AppProcess::Worker(Worker {
                        id,
                        pid,
                        generation,
                    }),
                    Source::WorkerOutput(WorkerId(id), stream),
                ),
                None => (
                    AppProcess::ForkServer { pid, generation },
                    Source::ForkServerOutput(GenerationId(generation), stream),
                ),
            };
            let output = Output::adopt(&state.output, stream)?;
            wakeups.add(&output, source)?;
            outliving.add(Outlived {
                process,
                stream,
                output,
            });
        }
        Ok(outliving)
    }

    fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.0.iter().map(|outlived| &outlived.output)
    }

    /// Reads one of the streams once. At its end it is closed.
    pub(super) fn read(&mut self, log: &log::Handle, wakeups: &Wakeups, source: Source) {
        let found = self.0.iter_mut().position(|outlived| outlived.is(source));
        let Some(place) = found else {
            return;
        };
        let Outlived {
            process,
            stream,
            output,
        } = &mut self.0[place];
        if read_once(log, wakeups, output, *process, *stream) == PipeState::End {
            let rest = output.finish(Instant::now());
            write(log, *process, *stream, rest.records);
            self.0.remove(place);
        }
    }
}

impl Outlived {
    /// Whether this is the stream that epoll knows as `source`.
    fn is(&self, source: Source) -> bool {
        match (source, self.process) {
            (Source::WorkerOutput(id, stream), AppProcess::Worker(worker)) => {
                (id.0, stream) == (worker.id, self.stream)
            }
            (Source::ForkServerOutput(id, stream), AppProcess::ForkServer { generation, .. }) => {
                (id.0, stream) == (generation, self.stream)
            }
            (
                Source::WorkerOutput(..)
                | Source::ForkServerOutput(..)
                | Source::Signals
                | Source::Control
                | Source::ControlClient(_)
                | Source::ForkServer(_)
                | Source::Worker(_)
                | Source::WorkerStacks(_)
                | Source::LogHasRoom
                | Source::CodeWatch
                | Source::MemoryPressure(_),
                _,
            ) => false,
        }
    }
}

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
            .chain(self.processes.outliving.outputs())
    }

    pub(super) fn flush_outputs(&mut self, now: Instant) {
        self.write_outputs(|output| match output.deadline() {
            Some(due) if due <= now => output.flush(now),
            Some(_) | None => Vec::new(),
        });
    }

    /// Logs what was read, also what is only a part of a record.
    pub(super) fn cut_outputs(&mut self) {
        self.write_outputs(Output::cut);
    }

    fn write_outputs(&mut self, records: impl Fn(&mut Output) -> Vec<AppRecord>) {
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
        let living = workers.chain(servers).flat_map(|(process, pipes)| {
            let outputs = pipes.iter_mut().flatten();
            outputs.map(move |(stream, output)| (process, *stream, output))
        });
        let outliving = (self.processes.outliving.0.iter_mut())
            .map(|outlived| (outlived.process, outlived.stream, &mut outlived.output));
        for (process, stream, output) in living.chain(outliving) {
            write(&self.log, process, stream, records(output));
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
        .filter(|(which, _)| *which == stream)
    {
        read_once(log, wakeups, output, process, stream);
    }
}

fn read_once(
    log: &log::Handle,
    wakeups: &Wakeups,
    output: &mut Output,
    process: AppProcess,
    stream: Stream,
) -> PipeState {
    if !log.takes_output() {
        return PipeState::MoreToRead;
    }
    let state = match output.read(Instant::now()) {
        Ok(read) => {
            write(log, process, stream, read.records);
            read.pipe
        }
        Err(error) => {
            warn!("The output of the application cannot be read: {error}");
            PipeState::End
        }
    };
    if state == PipeState::End {
        wakeups.remove(&*output);
    }
    state
}

/// Reads what a process that is gone left in its streams. Those that its descendants
/// have open are kept.
pub(super) fn finish_outputs(
    log: &log::Handle,
    pipes: Pipes,
    process: AppProcess,
    outliving: &mut Outliving,
) {
    for (stream, mut output) in pipes.into_iter().flatten() {
        let finished = output.finish(Instant::now());
        write(log, process, stream, finished.records);
        if finished.pipe != PipeState::End {
            outliving.add(Outlived {
                process,
                stream,
                output,
            });
        }
    }
}

fn write(log: &log::Handle, process: AppProcess, stream: Stream, records: Vec<log::AppRecord>) {
    for record in records {
        log.output(process, stream, record);
    }
}
