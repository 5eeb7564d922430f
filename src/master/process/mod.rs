//! Fork servers and workers as processes: how they are started and signalled, how
//! their output is read, and how they ended.

mod control_groups;
mod fork_server_process;
mod held_files;
mod memory;
mod oom;
mod output;
mod reap;
mod site;
mod stacks;
mod state;
mod worker_folder;
mod worker_process;

pub use control_groups::ControlGroups;
pub use fork_server_process::{ForkServerProcess, Launch, Occasion, OutputTo, Stage};
pub use memory::own_memory;
pub use oom::OomKills;
pub use output::{Output, PipeState, Pipes};
pub use reap::reap;
pub use stacks::{STACKS_TIMEOUT, Stacks, StacksPipe};
pub use state::{is_stopped, state};
pub use worker_folder::{NoWorkerFolder, WorkerFolder, find};
pub use worker_process::WorkerProcess;

use crate::sys::realtime_signal;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A child that can be signalled without ever hitting another process.
#[derive(Debug)]
pub struct Handle {
    pub pid: u32,
    /// `None`: it is reaped, and the pid may be another's.
    pidfd: Option<OwnedFd>,
}

impl Handle {
    /// For a child that is not reaped yet: until then its pid cannot be another's.
    pub fn of(pid: u32) -> io::Result<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty())?;
        Ok(Self {
            pid,
            pidfd: Some(pidfd),
        })
    }

    /// For a child of the program that has handed over. It may have ended, but nobody has
    /// reaped it.
    pub fn adopt(pid: u32) -> Self {
        // A kernel that has no pidfd of a zombie: it is reaped in a moment.
        Self::of(pid).unwrap_or_else(|_| Self::reaped(pid))
    }

    /// For a child that is reaped already.
    pub fn reaped(pid: u32) -> Self {
        Self { pid, pidfd: None }
    }

    /// Sends a signal. If the process has ended already, nothing happens.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pidfd) = &self.pidfd else {
            return Ok(());
        };
        match rustix::process::pidfd_send_signal(pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The same with the real-time signal of this number.
    pub fn signal_realtime(&self, number: i32) -> io::Result<()> {
        let Some(pidfd) = &self.pidfd else {
            return Ok(());
        };
        match realtime_signal::send(pidfd.as_fd(), number) {
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
            sent => sent,
        }
    }
}
