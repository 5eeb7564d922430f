//! A link: a `SOCK_SEQPACKET` pair that carries messages and descriptors.

use crate::seqpacket;
use rustix::io::Errno;
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest message in bytes. Below twice the kernel's default for the largest send buffer
/// of a socket (`net.core.wmem_max`, 212,992), which [`Link::wide_pair`] asks for: the kernel
/// doubles it. Other links carry 200 KiB.
pub const LONGEST: usize = 320 * 1024;

/// What a link for the longest messages asks for.
const WIDE: usize = 212_992;

/// The most descriptors in one message (the kernel's `SCM_MAX_FD` is 253).
const MOST_FDS: usize = 250;

/// The descriptor at which a fork server, which is another program, finds its end of
/// the link to the master.
pub const FORK_SERVER_FD: i32 = 3;

/// One end of a link.
///
/// Sending never blocks: a peer that does not read is an error
/// ([`io::ErrorKind::WouldBlock`]): the message may be sent again later.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// What came over a link.
#[derive(Debug)]
pub enum Received<M> {
    /// A message and the descriptors that came with it, owned from here on.
    Message(M, Vec<OwnedFd>),
    /// Nothing is there now.
    Nothing,
    /// The other end is closed.
    Closed,
}

impl Link {
    /// Two ends that are connected. Both are close-on-exec and non-blocking.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = seqpacket::pair()?;
        Ok((Self(one), Self(other)))
    }

    /// The same for messages that may be as long as [`LONGEST`]. Where the kernel is told to
    /// allow less, sending these fails.
    pub fn wide_pair() -> io::Result<(Self, Self)> {
        let pair = Self::pair()?;
        for link in [&pair.0, &pair.1] {
            rustix::net::sockopt::set_socket_send_buffer_size(link, WIDE)?;
        }
        Ok(pair)
    }

    /// The end that `fd` is: one that came by inheritance or in a message.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends `message`. `fds` are lent for the length of the call.
    pub fn send<M: Serialize>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > LONGEST || fds.len() > MOST_FDS {
            return Err(too_long());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        match seqpacket::send(&self.0, &[IoSlice::new(&bytes)], fds, &mut space) {
            Err(Errno::MSGSIZE) => Err(too_long()),
            sent => Ok(sent?),
        }
    }

    /// Takes the next message, if there is one.
    pub fn receive<M: DeserializeOwned>(&self) -> io::Result<Received<M>> {
        // As long as the message: memory for the longest would stay with each process.
        let length = match seqpacket::next_length(&self.0) {
            // The peer is gone and has left messages unread. The kernel says so once, before
            // it gives what the peer has sent.
            Err(error) if is_reset(&error) => seqpacket::next_length(&self.0),
            length => length,
        };
        let mut bytes = match length {
            Ok(Some(length)) => vec![0; length.clamp(1, LONGEST)],
            Ok(None) => return Ok(Received::Nothing),
            Err(error) if is_closed(&error) => return Ok(Received::Closed),
            Err(error) => return Err(error),
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let received = seqpacket::receive(&self.0, &mut bytes, &mut space);
        let message = match received {
            Ok(Some(message)) if message.length > 0 => message,
            Ok(Some(_)) => return Ok(Received::Closed),
            Ok(None) => return Ok(Received::Nothing),
            Err(error) if is_closed(&error) => return Ok(Received::Closed),
            Err(error) => return Err(error),
        };
        let value = serde_json::from_slice(&bytes[..message.length])?;
        Ok(Received::Message(value, message.fds))
    }

    /// Waits for the next message.
    pub fn wait<M: DeserializeOwned>(&self) -> io::Result<Received<M>> {
        loop {
            match self.receive()? {
                Received::Nothing => {}
                received => return Ok(received),
            }
            let mut poll = [rustix::event::PollFd::new(
                &self.0,
                rustix::event::PollFlags::IN,
            )];
            match rustix::event::poll(&mut poll, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::CONNRESET.raw_os_error())
}

fn is_closed(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::CONNRESET | Errno::PIPE))
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        link.0
    }
}

/// [`io::ErrorKind::InvalidInput`].
fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "message too long for a link")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{FromWorker, Idle, Spawn, ToForkServer, ToWorker};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (one, other) = Link::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let spawn = ToForkServer::Spawn(Spawn {
            worker: 7,
            row: 3,
            has_group: false,
        });

        one.send(&spawn, &[far.as_fd()]).unwrap();
        drop(far);

        let Received::Message(message, mut fds) = other.receive::<ToForkServer>().unwrap() else {
            panic!("no message");
        };
        assert_eq!(message, spawn);
        let mut far = UnixStream::from(fds.pop().unwrap());
        far.write_all(b"x").unwrap();
        drop(far);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn the_last_words_of_a_peer_arrive_although_it_left_orders_unread() {
        let (one, other) = Link::pair().unwrap();
        one.send(&ToWorker::Collect, &[]).unwrap();
        other.send(&FromWorker::Ready, &[]).unwrap();
        drop(other);

        assert!(matches!(
            one.receive::<FromWorker>().unwrap(),
            Received::Message(FromWorker::Ready, _)
        ));
        assert!(matches!(
            one.receive::<FromWorker>().unwrap(),
            Received::Closed
        ));
    }

    #[test]
    fn an_empty_link_has_nothing_and_a_closed_one_says_so() {
        let (one, other) = Link::pair().unwrap();

        assert!(matches!(
            other.receive::<FromWorker>().unwrap(),
            Received::Nothing
        ));
        drop(one);

        assert!(matches!(
            other.wait::<FromWorker>().unwrap(),
            Received::Closed
        ));
    }

    #[test]
    fn a_peer_that_does_not_read_never_blocks_the_sender() {
        let (one, _other) = Link::pair().unwrap();

        let refused = (0..100_000)
            .map(|_| {
                one.send(
                    &ToWorker::Retire {
                        within_ms: 1,
                        idle: Idle::HandOver,
                    },
                    &[],
                )
            })
            .find_map(Result::err)
            .unwrap();

        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_unknown_message_is_an_error_and_leaks_no_descriptor() {
        let (one, other) = Link::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();

        one.send(&"no such order", &[far.as_fd()]).unwrap();
        drop(far);

        assert!(other.receive::<ToWorker>().is_err());
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
    }
}
