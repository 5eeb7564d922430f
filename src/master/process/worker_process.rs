//! A worker, from the master's side: known by its link before it has a pid.

use super::Handle;
use super::StacksPipe;
use super::output::{self, Pipes};
use crate::log::events::{self, AppProcess};
use crate::pool::{GenerationId, WorkerId};
use crate::sys::handed_over::{HandedOver, Number};
use crate::upgrade::state::WorkerState;
use rgunicorn_link::Link;
use rgunicorn_link::protocol::{Spawn, ToForkServer, millis};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A worker that was ordered and is not reaped.
#[derive(Debug)]
pub struct WorkerProcess {
    pub id: WorkerId,
    pub generation: GenerationId,
    /// Its row on the scoreboard.
    pub row: usize,
    /// When it was ordered.
    pub since: Instant,
    /// `None` once it is closed.
    pub link: Option<Link>,
    /// `None` until it has sent its pid.
    pub handle: Option<Handle>,
    /// Its output, if that is read.
    pub pipes: Pipes,
    /// Whether it has said that it is in a control group of its own.
    pub is_in_group: bool,
    /// `None` until it has sent its pid.
    pub stacks: Option<StacksPipe>,
    /// It was stuck, and was sent SIGABRT.
    pub was_aborted: bool,
}

impl WorkerProcess {
    /// Orders a worker from a fork server. `group`: the file by which it moves into its
    /// control group.
    pub fn order(
        id: WorkerId,
        generation: GenerationId,
        row: usize,
        fork_server: &Link,
        read_output: bool,
        group: Option<BorrowedFd<'_>>,
        now: Instant,
    ) -> io::Result<Self> {
        let (ours, theirs) = Link::pair()?;
        let (pipes, writers) = if read_output {
            let (ends, writers) = output::pipes()?;
            (Some(ends), Some(writers))
        } else {
            (None, None)
        };
        let mut fds: Vec<BorrowedFd<'_>> = vec![theirs.as_fd()];
        fds.extend(group);
        fds.extend(writers.iter().flatten().map(AsFd::as_fd));
        let spawn = ToForkServer::Spawn(Spawn {
            worker: id.0,
            row,
            has_group: group.is_some(),
        });
        fork_server.send(&spawn, &fds)?;
        Ok(Self {
            id,
            generation,
            row,
            since: now,
            link: Some(ours),
            handle: None,
            is_in_group: false,
            pipes,
            stacks: None,
            was_aborted: false,
        })
    }

    /// For the program that takes over.
    pub fn hand_over<'a>(&'a self, fds: &mut HandedOver<'a>, now: Instant) -> WorkerState {
        WorkerState {
            worker: self.id.0,
            generation: self.generation.0,
            row: self.row,
            for_ms: millis(now.saturating_duration_since(self.since)),
            link: self.link.as_ref().map(|link| fds.add(link.as_fd())),
            pid: self.handle.as_ref().map(|handle| handle.pid),
            pipes: output::hand_over(&self.pipes, fds),
            is_in_group: self.is_in_group,
            stacks: (self.stacks.as_ref()).map(|stacks| stacks.hand_over(fds)),
            was_aborted: self.was_aborted,
        }
    }

    pub fn adopt(state: &WorkerState, now: Instant) -> io::Result<Self> {
        let age = Duration::from_millis(state.for_ms);
        let link = state.link.map(Number::take).transpose()?;
        let stacks = (state.stacks)
            .map(|(pipe, signal)| StacksPipe::new(pipe.take()?, signal))
            .transpose()?;
        Ok(Self {
            id: WorkerId(state.worker),
            generation: GenerationId(state.generation),
            row: state.row,
            since: now.checked_sub(age).unwrap_or(now),
            link: link.map(Link::from_fd),
            handle: state.pid.map(Handle::adopt),
            pipes: output::adopt(state.pipes.as_ref())?,
            is_in_group: state.is_in_group,
            stacks,
            was_aborted: state.was_aborted,
        })
    }

    /// As log records name it.
    pub fn named(&self) -> events::Worker {
        events::Worker {
            id: self.id.0,
            pid: self.handle.as_ref().map_or(0, |handle| handle.pid),
            generation: self.generation.0,
        }
    }

    /// As log records name the process that wrote them.
    pub fn app_process(&self) -> AppProcess {
        AppProcess::Worker(self.named())
    }
}
