//! `TCP_DEFER_ACCEPT` (tcp(7)), which no library in use has a call for.

use nix::libc;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has the kernel offer a new connection of this listening TCP socket only once the
/// client has sent something, or after about this many seconds.
pub fn set(listener: BorrowedFd<'_>, seconds: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&seconds).try_into().unwrap_or(0);
    // SAFETY: the pointer and the length are those of one `int`, which the kernel
    // reads before the call returns.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
