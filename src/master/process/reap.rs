//! Reaping children: fork servers, workers, and what applications left behind.

use crate::pool::ExitStatus;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus};

/// A child that ended.
#[derive(Debug)]
pub struct Reaped {
    /// Its process id, which another process may get from now on.
    pub pid: u32,
    pub exit: ExitStatus,
}

/// The next child that has ended. As the subreaper the master also inherits
/// processes it knows nothing of: daemons that an application started and left.
pub fn reap() -> rustix::io::Result<Option<Reaped>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Ok(Some((pid, status))) => {
                let pid = pid.as_raw_nonzero().get().unsigned_abs();
                if let Some(exit) = exit_status(status) {
                    return Ok(Some(Reaped { pid, exit }));
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// `None`: it has not ended.
fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    /// What the kernel adds to the signal's number; waitpid(2): `WCOREDUMP`.
    const CORE_DUMPED: i32 = 0x80;
    if let Some(number) = status.terminating_signal() {
        let core_dumped = status.as_raw() & CORE_DUMPED != 0;
        return Some(ExitStatus::Signal {
            number,
            core_dumped,
        });
    }
    let code = status.exit_status()?;
    // The kernel keeps the lowest eight bits.
    Some(ExitStatus::Code(u8::try_from(code).unwrap_or(u8::MAX)))
}
