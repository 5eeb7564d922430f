//! Accepting connections.

use crate::close_on_fork::CloseOnFork;
use crate::connection::Peer;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A listening socket, shared with the other workers and the master.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: CloseOnFork,
    is_watched: bool,
}

/// What came of an attempt to accept.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection, non-blocking and close-on-exec.
    Connection(OwnedFd, Peer),
    /// None is waiting, or another worker was faster.
    Nothing,
    /// The process or the machine has no descriptor or memory left for it.
    NoRoom(io::Error),
}

impl Listener {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket: socket.into(),
            is_watched: false,
        }
    }

    /// Asks to be told of connections. Of all workers that ask, one is woken for each (`EPOLLEXCLUSIVE`).
    pub(crate) fn watch(&mut self, epoll: BorrowedFd<'_>, data: EventData) -> io::Result<()> {
        if !self.is_watched {
            let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
            epoll::add(epoll, &self.socket, data, flags)?;
            self.is_watched = true;
        }
        Ok(())
    }

    /// Asks no longer. Closing the descriptor would not do: the other
    /// processes' copies keep the registration alive (epoll(7)).
    pub(crate) fn ignore(&mut self, epoll: BorrowedFd<'_>) -> io::Result<()> {
        if self.is_watched {
            epoll::delete(epoll, &self.socket)?;
            self.is_watched = false;
        }
        Ok(())
    }

    /// To find out whether a connection waits.
    pub(crate) fn poll(&self) -> PollFd<'_> {
        PollFd::new(&self.socket, PollFlags::IN)
    }

    pub(crate) fn accept(&self) -> io::Result<Accepted> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::acceptfrom_with(&self.socket, flags) {
            Ok((socket, address)) => {
                let peer = match address {
                    Some(address) if address.address_family() != AddressFamily::UNIX => {
                        Peer::from_tcp(address)
                    }
                    _ => Peer::Unix,
                };
                Ok(Accepted::Connection(socket, peer))
            }
            // The other errors of accept(2) that belong to the connection that
            // just failed, not to the listener.
            Err(
                Errno::AGAIN
                | Errno::INTR
                | Errno::CONNABORTED
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::PERM,
            ) => Ok(Accepted::Nothing),
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                Ok(Accepted::NoRoom(error.into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}
