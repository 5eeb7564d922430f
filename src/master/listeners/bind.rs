//! Listeners that this program opens itself.

use super::socket::{Kind, prepare};
use super::socket_file::{NotListening, SocketFile};
use super::{BindAddress, Listener, ListenerError, Opening, Origin, UNNAMED};
use crate::sys::inherited;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// The mode of the unix sockets made here: the proxy is another user, so who may
/// connect is decided by the directory.
const FOR_EVERYONE: u32 = 0o666;

/// Opens the listener for `address`, one of `all` that are configured.
pub(super) fn listener(
    address: &BindAddress,
    all: &[BindAddress],
    how: Opening,
) -> Result<Listener, ListenerError> {
    let (fd, origin) = match address {
        BindAddress::Tcp { host, port } => {
            (tcp(address, host, *port, all, how)?, Origin::Own(None))
        }
        BindAddress::Unix(path) => {
            let (fd, file) = unix(address, path, how)?;
            (fd, Origin::Own(Some(file)))
        }
        BindAddress::Abstract(name) => (abstract_unix(address, name, how)?, Origin::Own(None)),
        BindAddress::Fd(number) => (descriptor(address, *number)?, Origin::Inherited),
    };
    let other = |error: io::Error| ListenerError::Other(address.clone(), error);
    Ok(Listener {
        name: UNNAMED.to_owned(),
        address: prepare(&fd).map_err(other)?,
        fd,
        origin,
    })
}

fn stream(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, SocketType::STREAM, flags, None)
}

fn tcp(
    address: &BindAddress,
    host: &str,
    port: u16,
    all: &[BindAddress],
    how: Opening,
) -> Result<OwnedFd, ListenerError> {
    let target =
        resolve(host, port).map_err(|error| ListenerError::Unresolved(address.clone(), error))?;
    let open = || {
        let fd = match target {
            SocketAddr::V4(_) => stream(AddressFamily::INET)?,
            SocketAddr::V6(_) => {
                let fd = stream(AddressFamily::INET6)?;
                // `[::]` takes IPv4 too where the system says so
                // (net.ipv6.bindv6only), unless IPv4 is asked for by itself.
                if is_ipv4_wanted_at(port, all) {
                    sockopt::set_ipv6_v6only(&fd, true)?;
                }
                fd
            }
        };
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if how.reuse_port {
            sockopt::set_socket_reuseport(&fd, true)?;
        }
        rustix::net::bind(&fd, &target)?;
        rustix::net::listen(&fd, i32::from(how.backlog))?;
        Ok(fd)
    };
    open().map_err(|errno| match errno {
        Errno::ADDRINUSE => ListenerError::InUse {
            address: address.clone(),
            command: format!("ss -ltnp 'sport = :{port}'"),
        },
        Errno::ACCESS if port < 1024 => ListenerError::ReservedPort(address.clone()),
        Errno::ADDRNOTAVAIL => ListenerError::NotLocal(address.clone()),
        errno => ListenerError::Other(address.clone(), errno.into()),
    })
}

/// The address of a host: its IPv4 one if it has both kinds, as Gunicorn does.
pub(super) fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no address"))
}

/// Whether a listener takes IPv4 too, or leaves it to others, as a new one on `port`
/// would.
pub(super) fn takes_ipv4_as_wanted(fd: BorrowedFd<'_>, port: u16, all: &[BindAddress]) -> bool {
    let is_v6_only = match sockopt::socket_domain(fd) {
        Ok(AddressFamily::INET6) => sockopt::ipv6_v6only(fd),
        Ok(_) | Err(_) => return true,
    };
    let wanted = if is_ipv4_wanted_at(port, all) {
        Ok(true)
    } else {
        stream(AddressFamily::INET6).and_then(sockopt::ipv6_v6only)
    };
    is_v6_only == wanted
}

fn is_ipv4_wanted_at(port: u16, all: &[BindAddress]) -> bool {
    all.iter().any(|other| is_ipv4_at(other, port))
}

fn is_ipv4_at(address: &BindAddress, at: u16) -> bool {
    match address {
        BindAddress::Tcp { host, port } => {
            *port == at && at != 0 && !matches!(host.parse(), Ok(IpAddr::V6(_)))
        }
        BindAddress::Unix(_) | BindAddress::Abstract(_) | BindAddress::Fd(_) => false,
    }
}

fn unix(
    address: &BindAddress,
    path: &Path,
    how: Opening,
) -> Result<(OwnedFd, SocketFile), ListenerError> {
    let mode = FOR_EVERYONE & !how.umask;
    let opened = SocketFile::listen(path, mode, how.owner, i32::from(how.backlog));
    opened.map_err(|error| match error {
        NotListening::InUse => unix_in_use(address),
        error => ListenerError::Unix(address.clone(), error),
    })
}

fn unix_in_use(address: &BindAddress) -> ListenerError {
    let name = address.to_string();
    let name = name.strip_prefix("unix:").unwrap_or(&name);
    ListenerError::InUse {
        address: address.clone(),
        command: format!("ss -lxp 'src {name}'"),
    }
}

fn abstract_unix(
    address: &BindAddress,
    name: &[u8],
    how: Opening,
) -> Result<OwnedFd, ListenerError> {
    let open = || {
        let fd = stream(AddressFamily::UNIX)?;
        rustix::net::bind(&fd, &SocketAddrUnix::new_abstract_name(name)?)?;
        rustix::net::listen(&fd, i32::from(how.backlog))?;
        Ok(fd)
    };
    open().map_err(|errno| match errno {
        Errno::ADDRINUSE => unix_in_use(address),
        errno => ListenerError::Other(address.clone(), errno.into()),
    })
}

fn descriptor(address: &BindAddress, number: RawFd) -> Result<OwnedFd, ListenerError> {
    let fd = inherited::take(number).map_err(|_| ListenerError::NoDescriptor(address.clone()))?;
    match Kind::of(fd.as_fd()) {
        Kind::Listening => Ok(fd),
        kind => Err(ListenerError::WrongDescriptor {
            address: address.clone(),
            kind: kind.describe(),
        }),
    }
}

#[cfg(test)]
mod tests;
