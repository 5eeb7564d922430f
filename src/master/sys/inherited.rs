//! Descriptors that were open when the program started.

use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, FdFlags};
use std::io;

/// Takes over the inherited descriptor `number`, once, and makes it
/// close-on-exec. The three standard streams cannot be taken.
///
/// Call it before the process starts others: see the safety remark.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: borrowed only to read and set its flags; if nothing is open under
    // the number, that is what the kernel answers.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    if flags.contains(FdFlags::CLOEXEC) {
        // Ours already: an inherited descriptor cannot be close-on-exec.
        return Err(Errno::BUSY.into());
    }
    rustix::io::fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: the descriptor is open, and nothing here owns it: all that this
    // program opens is close-on-exec from the start, and so is, since the line
    // above, what this function gave away before.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
