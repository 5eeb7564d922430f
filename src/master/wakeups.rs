//! What can wake the master's loop, on one epoll instance.

use crate::log::events::Stream;
use crate::pool::{GenerationId, WorkerId};
use crate::systemd::pressure;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The most sources that one wait returns.
const EVENTS: usize = 32;

/// Something the loop waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A signal came.
    Signals,
    /// A client wants to connect to the control socket.
    Control,
    /// A control client sent something, or left.
    ControlClient(u32),
    /// A fork server sent something, or closed its link.
    ForkServer(GenerationId),
    /// A worker sent something, or closed its link.
    Worker(WorkerId),
    /// A worker wrote the stacks of its threads.
    WorkerStacks(WorkerId),
    /// The application wrote something in a fork server.
    ForkServerOutput(GenerationId, Stream),
    /// The application wrote something in a worker.
    WorkerOutput(WorkerId, Stream),
    /// The log was full and is not any more.
    LogHasRoom,
    /// A file of the application has changed.
    CodeWatch,
    /// Memory is short.
    MemoryPressure(pressure::Kind),
}

impl Source {
    /// As epoll carries it: the kind in the upper half, the number in the lower.
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Control => (1, 0),
            Self::ControlClient(number) => (2, number),
            Self::ForkServer(generation) => (3, generation.0),
            Self::Worker(worker) => (4, worker.0),
            Self::ForkServerOutput(generation, Stream::Stdout) => (5, generation.0),
            Self::ForkServerOutput(generation, Stream::Stderr) => (6, generation.0),
            Self::WorkerOutput(worker, Stream::Stdout) => (7, worker.0),
            Self::WorkerOutput(worker, Stream::Stderr) => (8, worker.0),
            Self::LogHasRoom => (9, 0),
            Self::WorkerStacks(worker) => (10, worker.0),
            Self::MemoryPressure(pressure::Kind::File) => (11, 0),
            Self::MemoryPressure(pressure::Kind::Stream) => (12, 0),
            Self::CodeWatch => (13, 0),
        };
        (kind << 32) | u64::from(number)
    }

    fn decode(data: u64) -> Option<Self> {
        let number = u32::try_from(data & u64::from(u32::MAX)).ok()?;
        Some(match data >> 32 {
            0 => Self::Signals,
            1 => Self::Control,
            2 => Self::ControlClient(number),
            3 => Self::ForkServer(GenerationId(number)),
            4 => Self::Worker(WorkerId(number)),
            5 => Self::ForkServerOutput(GenerationId(number), Stream::Stdout),
            6 => Self::ForkServerOutput(GenerationId(number), Stream::Stderr),
            7 => Self::WorkerOutput(WorkerId(number), Stream::Stdout),
            8 => Self::WorkerOutput(WorkerId(number), Stream::Stderr),
            9 => Self::LogHasRoom,
            10 => Self::WorkerStacks(WorkerId(number)),
            11 => Self::MemoryPressure(pressure::Kind::File),
            12 => Self::MemoryPressure(pressure::Kind::Stream),
            13 => Self::CodeWatch,
            _ => return None,
        })
    }
}

/// In place of a source: something is readable in the instance of the outputs.
const OUTPUTS: u64 = u64::MAX;

/// The epoll instance. Level-triggered: what is not read now is reported again,
/// so no source can starve the others.
///
/// The application's output has an instance of its own inside this one, so that
/// one call leaves all of it alone while the log is full. (A source that is only
/// masked would still report the end of its writers, again and again.)
#[derive(Debug)]
pub struct Wakeups {
    all: OwnedFd,
    outputs: OwnedFd,
    /// Whether `outputs` is part of `all` now.
    with_outputs: Cell<bool>,
}

impl Wakeups {
    pub fn new() -> io::Result<Self> {
        let wakeups = Self {
            all: epoll::create(CreateFlags::CLOEXEC)?,
            outputs: epoll::create(CreateFlags::CLOEXEC)?,
            with_outputs: Cell::new(false),
        };
        wakeups.watch_outputs(true)?;
        Ok(wakeups)
    }

    /// Watches `fd` for input, until it is closed.
    pub fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let data = EventData::new_u64(source.encode());
        let (instance, flags) = match source {
            Source::ForkServerOutput(..) | Source::WorkerOutput(..) => {
                (&self.outputs, EventFlags::IN)
            }
            // A counter that nobody reads: only its changes matter.
            Source::LogHasRoom => (&self.all, EventFlags::IN | EventFlags::ET),
            // Such a file is always readable.
            Source::MemoryPressure(pressure::Kind::File) => (&self.all, EventFlags::PRI),
            Source::MemoryPressure(pressure::Kind::Stream)
            | Source::Signals
            | Source::Control
            | Source::ControlClient(_)
            | Source::ForkServer(_)
            | Source::Worker(_)
            | Source::WorkerStacks(_)
            | Source::CodeWatch => (&self.all, EventFlags::IN),
        };
        Ok(epoll::add(instance, fd, data, flags)?)
    }

    /// Stops watching `fd`, though it stays open here or elsewhere.
    pub fn remove(&self, fd: impl AsFd) {
        // It is in one of them at most.
        for instance in [&self.all, &self.outputs] {
            let _ = epoll::delete(instance, &fd);
        }
    }

    /// Whether the application's output is waited for from now on.
    pub fn watch_outputs(&self, watch: bool) -> io::Result<()> {
        if self.with_outputs.replace(watch) == watch {
            return Ok(());
        }
        if watch {
            let data = EventData::new_u64(OUTPUTS);
            epoll::add(&self.all, &self.outputs, data, EventFlags::IN)?;
        } else {
            epoll::delete(&self.all, &self.outputs)?;
        }
        Ok(())
    }

    /// What is readable now, or first within `timeout`.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = ready(&self.all, timeout.as_ref())?;
        if events.contains(&OUTPUTS) {
            events.extend(ready(&self.outputs, Some(&Timespec::default()))?);
        }
        Ok(events.into_iter().filter_map(Source::decode).collect())
    }
}

fn ready(instance: &OwnedFd, timeout: Option<&Timespec>) -> io::Result<Vec<u64>> {
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    match epoll::wait(instance, spare_capacity(&mut events), timeout) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(events.iter().map(|event| event.data.u64()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_can_be_encoded_and_decoded() {
        for source in [
            Source::Signals,
            Source::Control,
            Source::ControlClient(u32::MAX),
            Source::ForkServer(GenerationId(7)),
            Source::Worker(WorkerId(8)),
            Source::ForkServerOutput(GenerationId(7), Stream::Stdout),
            Source::ForkServerOutput(GenerationId(7), Stream::Stderr),
            Source::WorkerOutput(WorkerId(8), Stream::Stdout),
            Source::WorkerOutput(WorkerId(8), Stream::Stderr),
            Source::LogHasRoom,
            Source::WorkerStacks(WorkerId(8)),
            Source::MemoryPressure(pressure::Kind::File),
            Source::MemoryPressure(pressure::Kind::Stream),
        ] {
            assert_eq!(Source::decode(source.encode()), Some(source));
        }
    }

    #[test]
    fn outputs_are_left_alone_while_they_are_not_wanted() {
        let wakeups = Wakeups::new().unwrap();
        let (output, writer) = rustix::pipe::pipe().unwrap();
        let source = Source::WorkerOutput(WorkerId(1), Stream::Stdout);
        wakeups.add(&output, source).unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        // The end of the stream would be reported even if nothing was asked for.
        drop(writer);

        for wanted in [false, true, false, true] {
            wakeups.watch_outputs(wanted).unwrap();
            let found = wakeups.wait(Some(Duration::ZERO)).unwrap();
            assert_eq!(found, if wanted { vec![source] } else { vec![] });
        }
    }
}
