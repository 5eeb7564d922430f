//! The listening sockets: taken over from systemd, or bound here.
//!
//! Every one of them is non-blocking and close-on-exec, and TCP listeners have
//! `TCP_NODELAY`, which accepted connections inherit. The master owns them
//! and never accepts.

mod activated;
mod address;
mod bind;
mod error;
mod socket;
mod socket_file;

pub use activated::{Activated, CONTROL};
pub use address::{BadAddress, BindAddress};
pub use error::ListenerError;
pub use socket_file::{NotListening, SocketFile};

use rgunicorn_link::protocol::ListenAddress;
use std::os::fd::OwnedFd;

/// The name of a listener that has no other.
pub const UNNAMED: &str = "http";

#[derive(Debug)]
pub struct Listener {
    /// `FileDescriptorName=` of the socket unit, or [`UNNAMED`].
    pub name: String,
    pub address: ListenAddress,
    pub fd: OwnedFd,
    pub origin: Origin,
}

impl Listener {
    /// Whether nobody else keeps it open: what waits there is lost when we close it, and
    /// has to be served before.
    pub fn closes_at_stop(&self) -> bool {
        match self.origin {
            Origin::Systemd | Origin::Inherited => false,
            Origin::Own(_) => true,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Origin {
    /// systemd, which keeps it open while the service is down.
    Systemd,
    /// Whoever started this program (`fd://N`).
    Inherited,
    /// This program. The file of a unix socket is removed with the listener.
    Own(Option<SocketFile>),
}

impl Origin {
    /// For the log: "opened by …".
    pub fn opener(&self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Inherited => "the parent process",
            Self::Own(_) => "rgunicorn",
        }
    }
}

/// All sockets the master starts with.
#[derive(Debug)]
pub struct Sockets {
    pub listeners: Vec<Listener>,
    /// The socket for control clients, if systemd opened one (named `control`).
    pub control: Option<OwnedFd>,
    /// Configured addresses that are not bound because systemd opened sockets.
    pub ignored: Vec<BindAddress>,
}

/// Opens all listeners.
///
/// If systemd passed sockets, `configured` addresses are not bound, but further
/// inherited descriptors (`fd://N`) are served, too. Otherwise `configured` is
/// bound, or `default` if that is empty. `backlog` is for sockets bound here.
pub fn open(
    activated: Activated,
    configured: &[BindAddress],
    default: &BindAddress,
    backlog: u16,
) -> Result<Sockets, ListenerError> {
    let Activated {
        mut listeners,
        control,
    } = activated;
    let mut ignored = Vec::new();
    if listeners.is_empty() {
        let wanted = if configured.is_empty() {
            std::slice::from_ref(default)
        } else {
            configured
        };
        for (index, address) in wanted.iter().enumerate() {
            if !address.may_repeat() && wanted[..index].contains(address) {
                return Err(ListenerError::Twice(address.clone()));
            }
            listeners.push(bind::listener(address, wanted, backlog)?);
        }
    } else {
        for address in configured {
            if listeners.iter().any(|known| address.is(known)) {
                continue;
            }
            if let BindAddress::Fd(_) = address {
                listeners.push(bind::listener(address, configured, backlog)?);
            } else {
                ignored.push(address.clone());
            }
        }
    }
    Ok(Sockets {
        listeners,
        control,
        ignored,
    })
}
