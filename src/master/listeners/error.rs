//! What can go wrong with a listener, each with its remedy.

use super::BindAddress;
use super::socket_file::NotListening;
use std::io;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error(
        "{variable}={value:?} in the environment is not valid; systemd sets it for socket units"
    )]
    Environment {
        variable: &'static str,
        value: String,
    },

    #[error("socket {name:?} from systemd is {kind}; {remedy}")]
    WrongKind {
        name: String,
        kind: &'static str,
        /// What to write in the unit instead.
        remedy: &'static str,
    },

    #[error("socket {name:?} from systemd cannot be used")]
    Socket { name: String, source: io::Error },

    #[error(
        "systemd passed more than one socket named \"control\"; keep one FileDescriptorName=control"
    )]
    ControlTwice,

    #[error("bind address {0} is listed twice")]
    Twice(BindAddress),

    #[error("cannot resolve {0}")]
    Unresolved(BindAddress, #[source] io::Error),

    #[error("{address} is already in use (`{command}` shows by which process)")]
    InUse {
        address: BindAddress,
        command: String,
    },

    #[error(
        "no permission to bind {0}: ports below 1024 are reserved (let a systemd socket unit \
         listen there, or set AmbientCapabilities=CAP_NET_BIND_SERVICE in the service unit)"
    )]
    ReservedPort(BindAddress),

    #[error("{0} is not an address of this machine (`ip address` lists them)")]
    NotLocal(BindAddress),

    #[error("{0}: {1}{hint}", hint = hint(.1))]
    Unix(BindAddress, NotListening),

    #[error("{0}: this process has inherited no such descriptor")]
    NoDescriptor(BindAddress),

    #[error("{address}: the descriptor is {kind}, not a listening stream socket")]
    WrongDescriptor {
        address: BindAddress,
        kind: &'static str,
    },

    #[error("cannot listen on {0}")]
    Other(BindAddress, #[source] io::Error),
}

fn hint(error: &NotListening) -> &'static str {
    match error {
        NotListening::NoDirectory(_) => " (RuntimeDirectory= in the service unit creates one)",
        NotListening::InUse
        | NotListening::NotASocket
        | NotListening::NoPermission { .. }
        | NotListening::Other(_) => "",
    }
}
