//! The sockets a server is tested on, and how it gets them.

use super::client::Address;
use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
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

/// A TCP port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
