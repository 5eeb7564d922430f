//! Reaping children: fork servers, workers, and what applications left behind.

use super::exit::describe;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};

/// A child that ended.
#[derive(Debug)]
pub struct Reaped {
    /// Its process id, free for others from now on.
    pub pid: u32,
    /// How it ended, in words.
    pub exit: String,
}

/// The next child that has ended. As the subreaper the master also inherits
/// processes it knows nothing of: daemons that an application started and left.
pub fn reap() -> nix::Result<Option<Reaped>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) => {
                let Some(pid) = status.pid() else {
                    return Ok(None);
                };
                if let (Some(exit), Ok(pid)) = (describe(status), u32::try_from(pid.as_raw())) {
                    return Ok(Some(Reaped { pid, exit }));
                }
            }
            Err(Errno::ECHILD) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
