//! How bytes reach a client and come from one. Nothing else in the engine calls the
//! kernel's functions for that, so that another kind of transport (TLS) has one place.

use crate::close_on_fork::CloseOnFork;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny, recv, send, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The most bytes of one `sendfile` call (the kernel's limit is 2 GiB).
const MAX_SENDFILE: u64 = 1 << 30;

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix,
}

impl Peer {
    pub(crate) fn from_tcp(address: SocketAddrAny) -> Self {
        SocketAddr::try_from(address).map_or(Self::Unix, Self::Tcp)
    }
}

/// A [`Peer`] in less memory, for connections that are idle, which have little else.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CompactPeer {
    V4(SocketAddrV4),
    /// The kernel says nothing about the flow of a TCP connection.
    V6 {
        ip: Ipv6Addr,
        port: u16,
        scope_id: u32,
    },
    Unix,
}

impl From<Peer> for CompactPeer {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Tcp(SocketAddr::V4(address)) => Self::V4(address),
            Peer::Tcp(SocketAddr::V6(address)) => Self::V6 {
                ip: *address.ip(),
                port: address.port(),
                scope_id: address.scope_id(),
            },
            Peer::Unix => Self::Unix,
        }
    }
}

impl From<CompactPeer> for Peer {
    fn from(peer: CompactPeer) -> Self {
        match peer {
            CompactPeer::V4(address) => Self::Tcp(address.into()),
            CompactPeer::V6 { ip, port, scope_id } => {
                Self::Tcp(SocketAddrV6::new(ip, port, 0, scope_id).into())
            }
            CompactPeer::Unix => Self::Unix,
        }
    }
}

/// What became of an attempt to move bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved<T> {
    Bytes(T),
    /// Nothing can be moved until the next event.
    WouldBlock,
}

/// The directions of a connection that a client has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    Nothing,
    /// It sends nothing more. Over TCP, a client that is gone looks the same.
    Sending,
    Both,
}

/// A connected socket. Several threads may use it, but only one at a time may send.
#[derive(Debug)]
pub struct Transport {
    socket: CloseOnFork,
}

impl Transport {
    /// Bytes go over `socket` as they are. It has to be a stream socket.
    pub(crate) fn plain(socket: OwnedFd) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// One `recv` into the spare capacity of `buffer`. Zero bytes: the client has shut down
    /// its side.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<Moved<usize>> {
        loop {
            match recv(&self.socket, spare_capacity(buffer), RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(Moved::Bytes(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Moved::WouldBlock),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One `recv` of bytes that nobody needs.
    pub(crate) fn discard(&self) -> io::Result<Moved<usize>> {
        let mut discarded = [0; 4096];
        loop {
            match recv(&self.socket, &mut discarded, RecvFlags::DONTWAIT) {
                Ok((_, count)) => return Ok(Moved::Bytes(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Moved::WouldBlock),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One `send`.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<Moved<usize>> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match send(&self.socket, bytes, flags) {
                Ok(count) => return Ok(Moved::Bytes(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Moved::WouldBlock),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One `sendmsg` of both, one behind the other.
    pub(crate) fn send_both(&self, first: &[u8], second: &[u8]) -> io::Result<Moved<usize>> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        loop {
            match sendmsg(
                &self.socket,
                &parts,
                &mut SendAncillaryBuffer::default(),
                flags,
            ) {
                Ok(count) => return Ok(Moved::Bytes(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Moved::WouldBlock),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One `sendfile` of at most `left` bytes from `position`, which moves behind them.
    pub(crate) fn send_file(
        &self,
        file: &File,
        position: &mut u64,
        left: u64,
    ) -> io::Result<Moved<u64>> {
        let count = usize::try_from(left.min(MAX_SENDFILE)).unwrap_or(usize::MAX);
        loop {
            match rustix::fs::sendfile(&self.socket, file, Some(position), count) {
                Ok(sent) => return Ok(Moved::Bytes(sent as u64)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Moved::WouldBlock),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the socket takes more, or until a signal comes.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] when it took nothing for `timeout`.
    pub(crate) fn wait_writable(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).ok();
        let mut poll = [PollFd::new(&self.socket, PollFlags::OUT)];
        match rustix::event::poll(&mut poll, timeout.as_ref()) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the client has closed, as far as it is known.
    pub(crate) fn closed_by_client(&self) -> Closed {
        let flags = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut poll = [PollFd::new(&self.socket, flags)];
        // An error would say nothing about the client.
        let _ = rustix::event::poll(&mut poll, Some(&Timespec::default()));
        let found = poll[0].revents();
        if found.intersects(PollFlags::HUP | PollFlags::ERR) {
            Closed::Both
        } else if found.contains(PollFlags::RDHUP) {
            Closed::Sending
        } else {
            Closed::Nothing
        }
    }

    /// Tells the client that nothing more will be sent.
    pub(crate) fn shutdown_write(&self) {
        // An error means that the client is gone.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }

    /// Ends the connection, also where other processes have copies of the socket.
    pub(crate) fn shutdown(&self) {
        // As above.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
