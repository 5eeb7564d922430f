//! A listening socket and its registration with epoll.

use crate::close_on_fork::CloseOnFork;
use crate::standard_streams;
use crate::transport::Peer;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A listening socket, shared with the other workers and the master.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `None` once it is closed.
    socket: Option<CloseOnFork>,
    /// The worker's number for it.
    pub(crate) number: u32,
    is_watched: bool,
}

#[derive(Debug)]
pub(crate) enum Accepted {
    /// Non-blocking and close-on-exec.
    Connection(OwnedFd, Peer),
    /// None waits, or another worker was faster.
    Nothing,
    /// The process or the machine has no descriptor or memory left.
    NoResources(io::Error),
}

impl Listener {
    pub(crate) fn new(socket: OwnedFd, number: u32) -> Self {
        Self {
            socket: Some(socket.into()),
            number,
            is_watched: false,
        }
    }

    /// Of all workers that watch a listener, one is woken (`EPOLLEXCLUSIVE`).
    pub(crate) fn watch(&mut self, epoll: BorrowedFd<'_>, data: EventData) -> io::Result<()> {
        if let Some(socket) = self.socket.as_ref().filter(|_| !self.is_watched) {
            let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
            epoll::add(epoll, socket, data, flags)?;
            self.is_watched = true;
        }
        Ok(())
    }

    /// Closing the descriptor is not enough: the other processes' copies keep the
    /// registration alive (epoll(7)).
    pub(crate) fn unwatch(&mut self, epoll: BorrowedFd<'_>) -> io::Result<()> {
        if let Some(socket) = self.socket.as_ref().filter(|_| self.is_watched) {
            epoll::delete(epoll, socket)?;
            self.is_watched = false;
        }
        Ok(())
    }

    /// Accepts nothing any more. It must not be watched.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.socket.is_none()
    }

    /// `None` once it is closed.
    pub(crate) fn poll(&self) -> Option<PollFd<'_>> {
        let socket = self.socket.as_ref()?;
        Some(PollFd::new(socket, PollFlags::IN))
    }

    pub(crate) fn accept(&self) -> io::Result<Accepted> {
        let Some(socket) = &self.socket else {
            return Ok(Accepted::Nothing);
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::acceptfrom_with(socket, flags) {
            Ok((socket, address)) => {
                let peer = match address {
                    Some(address) if address.address_family() != AddressFamily::UNIX => {
                        Peer::from_tcp(address)
                    }
                    _ => Peer::Unix,
                };
                match standard_streams::avoid(socket) {
                    Ok(socket) => Ok(Accepted::Connection(socket, peer)),
                    Err(error) => Ok(Accepted::NoResources(error)),
                }
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
                Ok(Accepted::NoResources(error.into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}
