//! Keeps descriptors of the engine away from the numbers of standard input, output and error.
//!
//! An application may close those (some do to become a daemon). The kernel gives the lowest
//! free number to the next descriptor: a client would be sent what the application prints.

use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

/// The first number that is not a standard stream's.
const FIRST_FREE: RawFd = 3;

/// `fd`, or a duplicate of it when its number is a standard stream's. Close-on-exec.
pub fn avoid(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_FREE {
        return Ok(fd);
    }
    let duplicate = rustix::io::fcntl_dupfd_cloexec(&fd, FIRST_FREE)?;
    drop(fd);
    fill();
    Ok(duplicate)
}

/// Opens /dev/null in place of the standard streams that are closed, so that it has not to be
/// done again. Not close-on-exec: they are for the application and what it starts. Without
/// /dev/null the streams stay closed, and each descriptor is moved.
#[cold]
fn fill() {
    while let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()) {
        if null.as_raw_fd() >= FIRST_FREE {
            break;
        }
        // Open for as long as the process runs.
        let _ = null.into_raw_fd();
    }
}
