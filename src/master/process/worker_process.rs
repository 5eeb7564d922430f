//! A worker, from the master's side: known by its link before it has a pid.

use super::Handle;
use super::StacksPipe;
use super::output::{self, Pipes};
use crate::log::events::{self, AppProcess};
use crate::pool::{GenerationId, WorkerId};
use rgunicorn_link::Link;
use rgunicorn_link::protocol::{Spawn, ToForkServer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

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
            pipes,
            stacks: None,
            was_aborted: false,
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
