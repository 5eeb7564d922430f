//! Real-time signals, which no library in use sends: the C library keeps some of their
//! numbers for itself.

use nix::libc;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends the real-time signal of this number to the process of a pidfd.
pub fn send(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    if !(libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{number} is not the number of a real-time signal"),
        ));
    }
    // SAFETY: numbers only; without a `siginfo_t`, the kernel makes one.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_signal_that_is_no_real_time_signal_is_not_sent() {
        let this = rustix::process::pidfd_open(
            rustix::process::getpid(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();

        for number in [0, libc::SIGKILL, libc::SIGRTMIN() - 1, libc::SIGRTMAX() + 1] {
            assert!(send(this.as_fd(), number).is_err());
        }
    }
}
