//! The sockets a server is tested on, and how it gets them.

use super::client::Address;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixListener},
    },
    path::Path,
};

/// Which process the variables of socket activation name.
#[derive(Clone, Copy)]
pub enum ListenPid {
    Server,
    OtherProcess,
    Unset,
}

/// How the server gets its socket.
pub enum Listening {
    /// This process listens and passes the socket on, as systemd does.
    Passed(Vec<Passed>),
    /// The server is told an address to bind.
    Bound(Address),
}

/// A socket that is passed on, and its name.
pub struct Passed {
    pub name: String,
    pub address: Address,
    pub socket: OwnedFd,
}

impl Passed {
    /// A TCP socket on a port of its own.
    pub fn tcp(name: &str) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = Address::Tcp(socket.local_addr().unwrap());
        Self {
            name: name.to_owned(),
            address,
            socket: socket.into(),
        }
    }

    /// A unix socket at a path.
    pub fn unix(name: &str, path: &Path) -> Self {
        let socket = UnixListener::bind(path).unwrap();
        Self {
            name: name.to_owned(),
            address: Address::Unix(path.to_owned()),
            socket: socket.into(),
        }
    }

    /// Identifies it in `/proc`.
    pub fn inode(&self) -> u64 {
        File::from(self.socket.try_clone().unwrap())
            .metadata()
            .unwrap()
            .ino()
    }
}

/// A TCP port that nobody listens on. Until the tests end, a socket that does not listen has
/// it, so that the kernel gives it to nobody else who wants any port. Who asks for this one
/// gets it, if with `SO_REUSEADDR`, as servers do.
pub fn free_port() -> u16 {
    let (tcp, close) = (SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket = socket_with(AddressFamily::INET, tcp, close, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let bound = TcpListener::from(socket);
    let port = bound.local_addr().unwrap().port();
    std::mem::forget(bound);
    port
}
