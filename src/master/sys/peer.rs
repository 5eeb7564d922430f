//! Whose process is at the other end of a unix socket.

use nix::libc;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};

/// A process, when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// 0: it is in no PID namespace that can be seen from this one.
    pub pid: u32,
    pub uid: u32,
}

/// What the kernel says of the other end (`SO_PEERCRED`, unix(7)). The call of rustix cannot
/// have the pid 0.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: libc::uid_t::MAX,
        gid: libc::gid_t::MAX,
    };
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&peer)).unwrap_or(0);
    // SAFETY: the option's value is a `ucred`, for which there is room, and the length says so.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Peer {
        pid: peer.pid.unsigned_abs(),
        uid: peer.uid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();

        let expected = Peer {
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
        };
        assert_eq!(peer(&one).unwrap(), expected);
    }

    #[test]
    fn what_is_no_socket_has_no_other_end() {
        assert!(peer(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
