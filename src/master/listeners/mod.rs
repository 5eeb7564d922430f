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
mod store;

pub use activated::{Activated, CONTROL};
pub use address::{BadAddress, BindAddress};
pub use error::ListenerError;
pub use socket_file::{NotListening, SocketFile};
use store::Stored;

use crate::sys::handed_over::HandedOver;
use crate::upgrade::state::{ListenerState, OriginState};
use rgunicorn_link::protocol::ListenAddress;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

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
    /// Whether nobody else may keep it open: what waits there is lost when we close it, and
    /// has to be served before.
    pub fn closes_at_stop(&self) -> bool {
        match self.origin {
            Origin::Systemd | Origin::Inherited => false,
            // systemd keeps it open only if the service is restarted.
            Origin::Own(_) | Origin::Stored { .. } => true,
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
    /// This program, and systemd keeps it open under this name while the service
    /// restarts. The file of a unix socket stays.
    Stored {
        name: String,
        /// It was open before this start.
        is_back: bool,
    },
}

impl Listener {
    /// For the program that takes over.
    pub fn hand_over<'a>(&'a self, fds: &mut HandedOver<'a>) -> ListenerState {
        ListenerState {
            fd: fds.add(self.fd.as_fd()),
            name: self.name.clone(),
            address: self.address.clone(),
            origin: match &self.origin {
                Origin::Systemd => OriginState::Systemd,
                Origin::Inherited => OriginState::Inherited,
                Origin::Own(file) => OriginState::Own(file.as_ref().map(SocketFile::hand_over)),
                // It is there at the next upgrade, too.
                Origin::Stored { name, is_back } => OriginState::Stored {
                    name: name.clone(),
                    is_back: *is_back,
                },
            },
        }
    }

    pub fn adopt(state: ListenerState) -> io::Result<Self> {
        Ok(Self {
            name: state.name,
            address: state.address,
            fd: state.fd.take()?,
            origin: match state.origin {
                OriginState::Systemd => Origin::Systemd,
                OriginState::Inherited => Origin::Inherited,
                OriginState::Own(file) => Origin::Own(file.map(SocketFile::adopt)),
                OriginState::Stored { name, is_back } => Origin::Stored { name, is_back },
            },
        })
    }
}

impl Origin {
    /// For the log: "opened by …".
    pub fn opener(&self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Inherited => "the parent process",
            Self::Own(_) | Self::Stored { is_back: false, .. } => "rgunicorn",
            Self::Stored { is_back: true, .. } => "rgunicorn before the restart",
        }
    }
}

impl Listener {
    /// Has systemd keep a listener of our own, if that is possible.
    fn keep(&mut self, address: &BindAddress) {
        let Origin::Own(file) = &mut self.origin else {
            return;
        };
        let identity = file.as_ref().map(SocketFile::identity);
        let Some(name) = store::name(address, identity.as_deref()) else {
            return;
        };
        if let Some(file) = file.take() {
            file.leave();
        }
        self.origin = Origin::Stored {
            name,
            is_back: false,
        };
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
    /// The names of listeners that systemd has kept, and that are not used any more.
    pub forgotten: Vec<String>,
}

/// How sockets are opened that nobody has opened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// How many connections may wait to be accepted.
    pub backlog: u16,
    /// The permissions that the file of a unix socket does not get.
    pub umask: u32,
    /// Other servers may listen on the same port.
    pub reuse_port: bool,
    /// Whose the file of a unix socket is: user and group; `None`: this process's.
    pub owner: Option<(u32, u32)>,
}

/// Opens all listeners.
///
/// If systemd passed sockets, `configured` addresses are not bound, but further
/// inherited descriptors (`fd://N`) are served, too. Otherwise `configured` is
/// bound, or `default` if that is empty; what systemd has kept of these is taken back.
/// `how` is for sockets bound here. `capacity`: how many of them systemd keeps.
pub fn open(
    activated: Activated,
    configured: &[BindAddress],
    default: &BindAddress,
    how: Opening,
    capacity: usize,
) -> Result<Sockets, ListenerError> {
    let Activated {
        mut listeners,
        control,
        mut stored,
    } = activated;
    let (mut ignored, mut forgotten) = (Vec::new(), Vec::new());
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
        }
        let kept: Vec<_> = (wanted.iter())
            .map(|address| store::take(&mut stored, address, wanted, how.backlog))
            .collect();
        // Before anything is bound: their addresses may be in the way.
        forgotten.extend(stored.drain(..).map(Stored::close));
        for (address, kept) in wanted.iter().zip(kept) {
            listeners.push(match kept {
                Some(listener) => listener,
                None => bind::listener(address, wanted, how)?,
            });
        }
        for (address, listener) in wanted.iter().zip(&mut listeners).take(capacity) {
            listener.keep(address);
        }
    } else {
        for address in configured {
            if listeners.iter().any(|known| address.is(known)) {
                continue;
            }
            if let BindAddress::Fd(_) = address {
                listeners.push(bind::listener(address, configured, how)?);
            } else {
                ignored.push(address.clone());
            }
        }
    }
    forgotten.extend(stored.into_iter().map(Stored::close));
    Ok(Sockets {
        listeners,
        control,
        ignored,
        forgotten,
    })
}
