//! Pairs of `SOCK_SEQPACKET` sockets: each message comes as a whole, with the descriptors
//! that were sent with it.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The two ends of the pair that all workers of a pool share: a connection that a worker
/// gives away is written to the one, and another worker reads it from the other.
#[derive(Debug)]
pub struct HandoverSockets {
    pub give: OwnedFd,
    pub take: OwnedFd,
}

impl HandoverSockets {
    pub fn pair() -> io::Result<Self> {
        let (give, take) = pair()?;
        Ok(Self { give, take })
    }
}

/// A message that was received.
#[derive(Debug)]
pub struct Message {
    /// How many bytes of the buffer it takes; 0 when the other end is closed.
    pub length: usize,
    pub fds: Vec<OwnedFd>,
}

/// Two sockets that are connected. Both are close-on-exec and non-blocking.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok(pair)
}

/// Sends `parts` as one message, without blocking. `fds` are lent for the length of the
/// call; `space` has room for them (`rustix::cmsg_space!`).
pub fn send(
    socket: impl AsFd,
    parts: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
    space: &mut [MaybeUninit<u8>],
) -> rustix::io::Result<()> {
    let mut ancillary = SendAncillaryBuffer::new(space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, parts, &mut ancillary, flags))?;
    Ok(())
}

/// Takes the next message, without blocking. `None`: there is none now.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] for a message that is longer than `buffer`, or has more
/// descriptors than `space` (`rustix::cmsg_space!`) or the process has room for. Those that
/// came are closed.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    space: &mut [MaybeUninit<u8>],
) -> io::Result<Option<Message>> {
    let mut ancillary = RecvAncillaryBuffer::new(space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::io::retry_on_intr(|| {
        let buffers = &mut [IoSliceMut::new(buffer)];
        rustix::net::recvmsg(&socket, buffers, &mut ancillary, flags)
    });
    let received = match received {
        Ok(received) => received,
        Err(Errno::AGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Owned before anything can fail, so that an early return closes them.
    let fds: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
    if received.flags.intersects(cut) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message was cut short",
        ));
    }
    Ok(Some(Message {
        length: received.bytes,
        fds,
    }))
}

/// How long the next message is, which stays there; 0 at the end. `None` if there is none.
pub fn next_length(socket: impl AsFd) -> io::Result<Option<usize>> {
    let flags = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
    let mut byte = [0_u8; 1];
    match rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut byte, flags)) {
        Ok((_, length)) => Ok(Some(length)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_of_a_message_that_is_cut_short_are_closed() {
        let (one, other) = pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        send(&one, &[IoSlice::new(b"long")], &[far.as_fd()], &mut space).unwrap();
        drop(far);

        let error = receive(&other, &mut [0; 3], &mut space).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
    }
}
