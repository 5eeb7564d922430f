//! `daemon`: the server leaves the terminal, and whoever has started it learns how that went.
//!
//! ```text
//! foreground ── fork ──▶ intermediate ── setsid, fork ──▶ the server
//!      ▲                  (ends at once)                      │
//!      └────────── its pid, then a byte when it is ready ─────┘
//! ```
//!
//! Until it is ready, the server has the terminal's standard error, and a signal to the
//! foreground is passed on to it. The foreground adopts it for that time, so that it learns its
//! exit status; then the server is nobody's child but init's.

use crate::pool::Order;
use crate::signals::{Meaning, Signals};
use crate::sys::fork::fork;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, setsid};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;

/// The server's side.
#[derive(Debug)]
pub struct Background {
    foreground: OwnedFd,
}

/// Which of the two this process is.
pub enum Side {
    Server(Background),
    /// The server is ready, with the status 0, or has ended.
    Foreground(u8),
}

/// Goes on as the server in the background, and stays in the foreground until that is ready.
pub fn enter(signals: &mut Signals) -> io::Result<Side> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    nix::sys::prctl::set_child_subreaper(true)?;
    if let ForkResult::Parent { child } = fork()? {
        drop(writer);
        waitpid(child, None)?;
        return Ok(Side::Foreground(wait_for(&reader, signals)?));
    }
    drop(reader);
    setsid()?;
    if let ForkResult::Parent { .. } = fork()? {
        // Nothing of it is to be undone or written.
        std::process::exit(0);
    }
    rustix::stdio::dup2_stdin(&null()?)?;
    let background = Background { foreground: writer };
    background.tell(&std::process::id().to_ne_bytes());
    Ok(Side::Server(background))
}

impl Background {
    /// Lets go of the terminal, and of the foreground. With `keeps_output`, standard output and
    /// error stay what they are.
    pub fn is_ready(self, keeps_output: bool) -> io::Result<()> {
        if !keeps_output {
            let null = null()?;
            rustix::stdio::dup2_stdout(&null)?;
            rustix::stdio::dup2_stderr(&null)?;
        }
        self.tell(&[1]);
        Ok(())
    }

    /// If the foreground was killed, nobody is left to be told.
    fn tell(&self, bytes: &[u8]) {
        let _ = rustix::io::write(&self.foreground, bytes);
    }
}

fn null() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/dev/null", flags, Mode::empty())?)
}

/// The foreground: its exit status.
fn wait_for(server: &OwnedFd, signals: &mut Signals) -> io::Result<u8> {
    let mut pid = None;
    // It may come before the pid.
    let mut pending = None;
    loop {
        while let Some((_, meaning)) = signals.next()? {
            match meaning {
                Meaning::Order(Order::Stop) => pending = Some(Signal::SIGTERM),
                Meaning::Order(Order::StopNow) => pending = Some(Signal::SIGINT),
                Meaning::Order(_)
                | Meaning::ChildEnded
                | Meaning::ReopenLogs
                | Meaning::Nothing => {}
            }
        }
        if let (Some(pid), Some(signal)) = (pid, pending) {
            pending = None;
            // If it has just ended, that is what was wanted.
            let _ = kill(pid, signal);
        }
        let mut sources = [
            PollFd::new(server, PollFlags::IN),
            PollFd::new(&*signals, PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut sources, None))?;
        if sources[0].revents().is_empty() {
            continue;
        }
        let mut bytes = [0; 4];
        match rustix::io::read(server, &mut bytes) {
            Ok(4) => {
                let number = i32::try_from(u32::from_ne_bytes(bytes));
                pid = number.ok().map(Pid::from_raw);
            }
            Ok(0) => return status_of(pid),
            Ok(_) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The server has ended: with which status?
fn status_of(pid: Option<Pid>) -> io::Result<u8> {
    const BY_SIGNAL: i32 = 128;
    loop {
        let status = match waitpid(pid, None)? {
            WaitStatus::Exited(_, status) => status,
            WaitStatus::Signaled(_, signal, _) => BY_SIGNAL + signal as i32,
            _ => continue,
        };
        return Ok(u8::try_from(status).unwrap_or(u8::MAX));
    }
}
