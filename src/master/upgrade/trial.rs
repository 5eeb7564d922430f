//! The new program is tried: a child that finds out whether it could take over.

use super::check::{CHECK, can_take_over};
use super::program::{Identity, Program};
use super::state::State;
use crate::pool::ExitStatus;
use crate::process::Handle;
use command_fds::{CommandFdExt, FdMapping};
use rustix::buffer::spare_capacity;
use rustix::pipe::PipeFlags;
use rustix::process::Signal;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take. It reads the configuration, whose files may be slow.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of its output that are read.
const LONGEST: usize = 16 * 1024;

/// Where it finds the state.
const STATE_FD: i32 = 3;

/// Variables of the service that are not for a child of the master.
const OF_THE_SERVICE: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

#[derive(Debug)]
pub struct Trial {
    handle: Handle,
    output: OwnedFd,
    /// The file that is tried.
    identity: Identity,
    until: Instant,
    is_late: bool,
}

impl Trial {
    pub fn start(program: &Program, state: &State, now: Instant) -> io::Result<Self> {
        let identity = program.identity()?;
        let (output, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let mut command = Command::new(program.path());
        command
            .arg0(program.name())
            .arg(CHECK)
            .arg(STATE_FD.to_string())
            .args(program.arguments())
            .current_dir(program.directory())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        for variable in OF_THE_SERVICE {
            command.env_remove(variable);
        }
        let state = FdMapping {
            parent_fd: state.write()?,
            child_fd: STATE_FD,
        };
        command.fd_mappings(vec![state]).map_err(io::Error::other)?;
        let child = command.spawn()?;
        Ok(Self {
            handle: Handle::of(child.id())?,
            output,
            identity,
            until: now + TIMEOUT,
            is_late: false,
        })
    }

    pub fn is_process(&self, pid: u32) -> bool {
        self.handle.pid == pid
    }

    /// When [`Self::end_if_late`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.is_late).then_some(self.until)
    }

    pub fn end_if_late(&mut self, now: Instant) {
        if now >= self.until && !self.is_late {
            self.is_late = true;
            self.end();
        }
    }

    /// It is not of interest any more.
    pub fn end(&self) {
        // It has ended already, or it does no harm.
        let _ = self.handle.signal(Signal::KILL);
    }

    /// It has ended, and this was how. Which file has said that it can take over; or why
    /// not.
    pub fn ended(self, exit: ExitStatus) -> Result<Identity, String> {
        let mut bytes = Vec::with_capacity(LONGEST);
        // What cannot be read is not known.
        let _ = rustix::io::read(&self.output, spare_capacity(&mut bytes));
        let output = String::from_utf8_lossy(&bytes);
        if self.is_late {
            let seconds = TIMEOUT.as_secs();
            return Err(format!("it has not answered within {seconds} s"));
        }
        verdict(&output, exit).map(|()| self.identity)
    }
}

/// Whether it has said that it can take over; a program that knows nothing of upgrades does
/// not, however it ends.
fn verdict(output: &str, exit: ExitStatus) -> Result<(), String> {
    let lines: Vec<_> = output.lines().map(str::trim_end).collect();
    if exit == ExitStatus::Code(0) && lines.iter().any(|line| can_take_over(line)) {
        return Ok(());
    }
    let said = lines
        .iter()
        .map(|line| line.strip_prefix("rgunicorn: ").unwrap_or(line));
    let said: Vec<_> = said.filter(|line| !line.is_empty()).collect();
    Err(match (exit, said.is_empty()) {
        (ExitStatus::Code(0), _) => "it is not a program that can take over".to_owned(),
        (exit, true) => format!("it does not run: {exit}"),
        (_, false) => said.join("; "),
    })
}

#[cfg(test)]
mod tests {
    use super::super::check::answer;
    use super::*;

    #[test]
    fn only_a_program_that_says_so_can_take_over() {
        let success = ExitStatus::Code(0);
        let failure = ExitStatus::Code(78);
        let good = format!("{}\n", answer());

        assert_eq!(verdict(&good, success), Ok(()));
        assert!(verdict(&good, failure).is_err());
        assert_eq!(
            verdict("usage: cat\n", success),
            Err("it is not a program that can take over".into())
        );
        assert_eq!(
            verdict("", ExitStatus::Code(127)),
            Err("it does not run: exit status 127".into())
        );
        assert_eq!(
            verdict("rgunicorn: a.toml:1:1: no\nrgunicorn: b\n", failure),
            Err("a.toml:1:1: no; b".into())
        );
    }
}
