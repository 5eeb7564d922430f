//! Listeners of our own in systemd's file descriptor store: systemd keeps them open
//! while the service restarts and passes them on at the next start. The name of each
//! says which address of `bind` it is.
//!
//! One that `bind` no longer names is closed. So is one that does not do any more what
//! `bind` says: its host has another address, the file of its unix socket was removed,
//! or `[::]` is to leave IPv4 to another listener.

use super::bind;
use super::socket::{Kind, prepare};
use super::{BindAddress, Listener, Origin, UNNAMED, socket_file};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rgunicorn_link::protocol::ListenAddress;
use rustix::net::{Shutdown, SocketAddrUnix};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What the name of every stored listener begins with. After it comes the address, and
/// "=" with the identity of the file if it is a unix socket.
const PREFIX: &str = "bind=";

/// systemd's limit for a name, in bytes.
const LONGEST_NAME: usize = 255;

/// What is encoded in a name: above all ":", which systemd refuses, and "=".
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'/')
    .remove(b'[')
    .remove(b']');

/// A listener that systemd has kept open for us.
#[derive(Debug)]
pub struct Stored {
    name: String,
    fd: OwnedFd,
}

/// Whether a descriptor of this name comes from the store. Others come from socket units.
pub(super) fn is_stored(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The name for a listener on `address`, with the identity of its file if it has one.
/// `None`: it cannot be stored.
pub(super) fn name(address: &BindAddress, file: Option<&str>) -> Option<String> {
    let file = file.map(|file| format!("={file}"));
    let name = format!("{PREFIX}{}{}", encoded(address)?, file.unwrap_or_default());
    (name.len() <= LONGEST_NAME).then_some(name)
}

/// `None`: another listener at the next start would not be the same.
fn encoded(address: &BindAddress) -> Option<String> {
    let text = match address {
        // Whoever started the program has it open; with port 0 each is another socket.
        BindAddress::Fd(_) | BindAddress::Tcp { port: 0, .. } => return None,
        BindAddress::Tcp { .. } => address.to_string().into_bytes(),
        BindAddress::Unix(path) => [b"unix:", path.as_os_str().as_bytes()].concat(),
        BindAddress::Abstract(name) => [&b"unix:@"[..], name].concat(),
    };
    Some(percent_encode(&text, ENCODED).to_string())
}

impl Stored {
    pub(super) fn new(name: String, fd: OwnedFd) -> Self {
        Self { name, fd }
    }

    fn is_for(&self, address: &BindAddress) -> bool {
        let parts = self.name.strip_prefix(PREFIX);
        let stored = parts.and_then(|rest| rest.split('=').next());
        stored.is_some_and(|stored| encoded(address).is_some_and(|own| own == stored))
    }

    /// Whether it does what a new listener for `address`, one of `all`, would do.
    fn does(&self, address: &BindAddress, all: &[BindAddress]) -> bool {
        if Kind::of(self.fd.as_fd()) != Kind::Listening {
            return false;
        }
        match address {
            BindAddress::Tcp { host, port } => {
                let own = rustix::net::getsockname(&self.fd).ok();
                let own = own.and_then(|own| SocketAddr::try_from(own).ok());
                let wanted = bind::resolve(host, *port).ok();
                own.is_some()
                    && own == wanted
                    && bind::takes_ipv4_as_wanted(self.fd.as_fd(), *port, all)
            }
            BindAddress::Unix(path) => socket_file::identity_at(path)
                .is_some_and(|file| name(address, Some(&file)).as_ref() == Some(&self.name)),
            BindAddress::Abstract(_) => true,
            BindAddress::Fd(_) => false,
        }
    }

    fn prepared(&self, backlog: u16) -> Option<ListenAddress> {
        // The setting may have changed.
        rustix::net::listen(&self.fd, i32::from(backlog)).ok()?;
        prepare(&self.fd).ok()
    }

    /// Closes it, and returns its name, by which systemd closes it as well. It stops
    /// listening at once: its address may be needed before systemd has.
    pub(super) fn close(self) -> String {
        // If it is no socket, there is nothing to stop.
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Both);
        if let Some(path) = self.path() {
            let file = socket_file::identity_at(&path);
            if file.is_some_and(|file| self.name.ends_with(&format!("={file}"))) {
                // If it stays, clients are refused until another listens there.
                let _ = std::fs::remove_file(path);
            }
        }
        self.name
    }

    fn path(&self) -> Option<PathBuf> {
        let own = rustix::net::getsockname(&self.fd).ok()?;
        let own = SocketAddrUnix::try_from(own).ok()?;
        own.path()
            .map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes())))
    }
}

/// Takes the listener for `address`, one of `all`, out of `stored`.
pub(super) fn take(
    stored: &mut Vec<Stored>,
    address: &BindAddress,
    all: &[BindAddress],
    backlog: u16,
) -> Option<Listener> {
    let (place, own) = (stored.iter().enumerate()).find_map(|(place, stored)| {
        let fits = stored.is_for(address) && stored.does(address, all);
        Some((place, fits.then(|| stored.prepared(backlog))??))
    })?;
    let Stored { name, fd } = stored.remove(place);
    Some(Listener {
        name: UNNAMED.to_owned(),
        address: own,
        fd,
        origin: Origin::Stored {
            name,
            is_back: true,
        },
    })
}

#[cfg(test)]
mod tests;
