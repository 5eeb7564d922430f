//! What all listening sockets have in common, whoever opened them.

use crate::sys::defer_accept;
use rgunicorn_link::protocol::ListenAddress;
use rustix::fs::OFlags;
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// How many seconds a TCP connection may be silent before the kernel offers it to the
/// workers. A worker that crashes takes along every connection it has accepted: it
/// should have none that another worker could have answered. It also saves the
/// worker one wake-up per connection.
const MAX_SILENCE_S: i32 = 1;

/// What is behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The only kind that can be served.
    Listening,
    /// A stream socket that does not listen.
    Connection,
    Datagram,
    /// `SOCK_SEQPACKET`.
    Packets,
    /// A socket of a family other than IPv4, IPv6 and unix, or of a rare type.
    Foreign,
    NoSocket,
}

impl Kind {
    pub(super) fn of(fd: BorrowedFd<'_>) -> Self {
        let Ok(kind) = sockopt::socket_type(fd) else {
            return Self::NoSocket;
        };
        let family = sockopt::socket_domain(fd);
        let known = [
            AddressFamily::INET,
            AddressFamily::INET6,
            AddressFamily::UNIX,
        ];
        if !family.is_ok_and(|family| known.contains(&family)) {
            return Self::Foreign;
        }
        match kind {
            SocketType::STREAM => match sockopt::socket_acceptconn(fd) {
                Ok(true) => Self::Listening,
                Ok(false) | Err(_) => Self::Connection,
            },
            SocketType::DGRAM => Self::Datagram,
            SocketType::SEQPACKET => Self::Packets,
            _ => Self::Foreign,
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Listening => "a listening stream socket",
            Self::Connection => "a stream socket that does not listen",
            Self::Datagram => "a datagram socket",
            Self::Packets => "a sequential packet socket",
            Self::Foreign => "not a TCP or unix stream socket",
            Self::NoSocket => "not a socket",
        }
    }

    /// What to write in the socket unit.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Connection => "set Accept=no in the socket unit",
            Self::Listening | Self::Datagram | Self::Packets | Self::Foreign | Self::NoSocket => {
                "only TCP and unix stream sockets are served, use ListenStream= in the socket unit"
            }
        }
    }
}

/// Sets the flags that all listeners have, and returns the address.
pub(super) fn prepare(fd: impl AsFd) -> io::Result<ListenAddress> {
    let fd = fd.as_fd();
    let flags = rustix::io::fcntl_getfd(fd)?;
    rustix::io::fcntl_setfd(fd, flags | FdFlags::CLOEXEC)?;
    let flags = rustix::fs::fcntl_getfl(fd)?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
    let address = address(rustix::net::getsockname(fd)?)?;
    match address {
        ListenAddress::Tcp { .. } => {
            sockopt::set_tcp_nodelay(fd, true)?;
            // Where there is no such option, workers wait for the request themselves.
            let _ = defer_accept::set(fd, MAX_SILENCE_S);
        }
        ListenAddress::Unix(_) => {}
    }
    Ok(address)
}

fn address(name: SocketAddrAny) -> io::Result<ListenAddress> {
    if let Ok(name) = SocketAddr::try_from(name.clone()) {
        return Ok(ListenAddress::Tcp {
            host: name.ip().to_string(),
            port: name.port(),
        });
    }
    let name = SocketAddrUnix::try_from(name)?;
    let text = if let Some(path) = name.path() {
        path.to_string_lossy().into_owned()
    } else if let Some(abstract_name) = name.abstract_name() {
        format!("@{}", String::from_utf8_lossy(abstract_name))
    } else {
        String::new()
    };
    Ok(ListenAddress::Unix(text))
}
