//! What can wake the master's loop, on one epoll instance.

use crate::log::events::Stream;
use crate::pool::{GenerationId, WorkerId};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
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
    /// The application wrote something in a fork server.
    ForkServerOutput(GenerationId, Stream),
    /// The application wrote something in a worker.
    WorkerOutput(WorkerId, Stream),
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
        };
        kind << 32 | u64::from(number)
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
            _ => return None,
        })
    }
}

/// The epoll instance. Level-triggered: what is not read now is reported again, so
/// one read for each source is enough, and no source can starve the others.
#[derive(Debug)]
pub struct Wakeups(OwnedFd);

impl Wakeups {
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Watches `fd` for input, until it is closed.
    pub fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let data = EventData::new_u64(source.encode());
        Ok(epoll::add(&self.0, fd, data, EventFlags::IN)?)
    }

    /// Stops watching `fd`, though it stays open here or elsewhere.
    pub fn remove(&self, fd: impl AsFd) {
        // The only error is that it is not in the set.
        let _ = epoll::delete(&self.0, fd);
    }

    /// What is readable now, or first within `timeout`.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.0, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let decoded = events.iter().map(|event| event.data.u64());
        Ok(decoded.filter_map(Source::decode).collect())
    }
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
        ] {
            assert_eq!(Source::decode(source.encode()), Some(source));
        }
    }
}
