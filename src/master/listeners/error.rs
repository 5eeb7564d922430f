//! What can go wrong with a listener, each with what to do about it.

use super::BindAddress;
use std::io;
use std::path::PathBuf;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment contradicts itself.
    #[error("{variable}={value:?} from systemd makes no sense")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },

    /// A socket of a kind that cannot be served.
    #[error("socket {name:?} from systemd is {kind}: {remedy}")]
    WrongKind {
        /// Its name.
        name: String,
        /// What it is.
        kind: &'static str,
        /// What to write in the unit instead.
        remedy: &'static str,
    },

    /// A socket that could not be prepared.
    #[error("socket {name:?} from systemd is not usable")]
    Socket {
        /// Its name.
        name: String,
        /// The operating system's reason.
        source: io::Error,
    },

    /// Two sockets have the name of the control socket.
    #[error("systemd passed more than one socket named \"control\": keep one")]
    ControlTwice,

    /// An address is configured twice.
    #[error("bind address {0} is listed twice")]
    Twice(BindAddress),

    /// The host has no address.
    #[error("cannot find an address for {0}")]
    Unresolved(BindAddress, #[source] io::Error),

    /// Somebody listens there.
    #[error("{address} is in use already (to see by whom: {command})")]
    InUse {
        /// The address.
        address: BindAddress,
        /// What shows who it is.
        command: String,
    },

    /// A port that is reserved.
    #[error(
        "no permission for {0}: ports below 1024 are reserved (let a systemd socket unit \
         listen there, or give the service AmbientCapabilities=CAP_NET_BIND_SERVICE)"
    )]
    ReservedPort(BindAddress),

    /// The address belongs to another machine.
    #[error("{0} is not an address of this machine (`ip address` lists those)")]
    NotLocal(BindAddress),

    /// The folder of a unix socket is not there.
    #[error("{address}: there is no directory {directory} (under systemd, RuntimeDirectory= makes one)",
        directory = directory.display())]
    NoDirectory {
        /// The address.
        address: BindAddress,
        /// The folder.
        directory: PathBuf,
    },

    /// The folder of a unix socket is closed to us.
    #[error("{address}: Permission denied: user {user} may not make a socket in {directory}",
        directory = directory.display())]
    NoPermission {
        /// The address.
        address: BindAddress,
        /// The folder.
        directory: PathBuf,
        /// Who we are.
        user: u32,
    },

    /// Something else has the name of a unix socket.
    #[error("{0}: there is a file of that name and it is not a socket (remove it)")]
    NotASocket(BindAddress),

    /// An inherited descriptor that is not there.
    #[error("{0}: no such descriptor was inherited")]
    NoDescriptor(BindAddress),

    /// An inherited descriptor that is not a listening stream socket.
    #[error("{address}: the descriptor is {kind}, not a listening stream socket")]
    WrongDescriptor {
        /// The address.
        address: BindAddress,
        /// What it is.
        kind: &'static str,
    },

    /// Anything else.
    #[error("cannot listen on {0}")]
    Other(BindAddress, #[source] io::Error),
}
