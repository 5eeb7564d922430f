//! `TCP_INFO` (tcp(7)), which no library in use has a call for.

use nix::libc;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How many connections wait to be accepted at this listening TCP socket.
pub fn waiting(listener: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>().try_into().unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes of `info` before the call returns.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it consists of numbers, and what the kernel has not written is zero.
    let info = unsafe { info.assume_init() };
    // Of a socket that listens, these are the connections that nobody has accepted.
    Ok(info.tcpi_unacked.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn connections_that_nobody_has_accepted_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let _clients = [(); 3].map(|()| TcpStream::connect(to).unwrap());

        assert_eq!(waiting(listener.as_fd()).unwrap(), 3);
        waiting(io::stdin().as_fd()).unwrap_err();
    }
}
