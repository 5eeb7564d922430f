//! Listeners that this program opens itself.

use super::socket::{Kind, prepare};
use super::{BindAddress, Error, Listener, Origin, UNNAMED};
use crate::sys::inherited;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of the unix sockets made here, whatever the umask: everyone may connect.
const FOR_EVERYONE: u32 = 0o666;

/// The file of a unix socket that is ours: removed when this is dropped, unless
/// somebody has put another file in its place.
#[derive(Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Takes responsibility for the file that is at `path` now.
    fn at(path: &Path) -> io::Result<Self> {
        // The working directory may change before it is removed.
        let path = std::path::absolute(path)?;
        let file = path.symlink_metadata()?;
        Ok(Self {
            path,
            device: file.dev(),
            inode: file.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = self
            .path
            .symlink_metadata()
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if ours {
            // Nobody is left to be told; the next start replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens the listener for `address`, one of `all` that are configured.
pub(super) fn listener(
    address: &BindAddress,
    all: &[BindAddress],
    backlog: u16,
) -> Result<Listener, Error> {
    let (fd, origin) = match address {
        BindAddress::Tcp { host, port } => {
            (tcp(address, host, *port, all, backlog)?, Origin::Own(None))
        }
        BindAddress::Unix(path) => {
            let (fd, file) = unix(address, path, backlog)?;
            (fd, Origin::Own(Some(file)))
        }
        BindAddress::Abstract(name) => (abstract_unix(address, name, backlog)?, Origin::Own(None)),
        BindAddress::Fd(number) => (descriptor(address, *number)?, Origin::Inherited),
    };
    let other = |error: io::Error| Error::Other(address.clone(), error);
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
    backlog: u16,
) -> Result<OwnedFd, Error> {
    let target = resolve(host, port).map_err(|error| Error::Unresolved(address.clone(), error))?;
    let open = || {
        let fd = match target {
            SocketAddr::V4(_) => stream(AddressFamily::INET)?,
            SocketAddr::V6(_) => {
                let fd = stream(AddressFamily::INET6)?;
                // `[::]` takes IPv4 too where the system says so
                // (net.ipv6.bindv6only), unless IPv4 is asked for by itself.
                if all.iter().any(|other| is_ipv4_at(other, port)) {
                    sockopt::set_ipv6_v6only(&fd, true)?;
                }
                fd
            }
        };
        sockopt::set_socket_reuseaddr(&fd, true)?;
        rustix::net::bind(&fd, &target)?;
        rustix::net::listen(&fd, i32::from(backlog))?;
        Ok(fd)
    };
    open().map_err(|errno| match errno {
        Errno::ADDRINUSE => Error::InUse {
            address: address.clone(),
            command: format!("ss -ltnp 'sport = :{port}'"),
        },
        Errno::ACCESS if port < 1024 => Error::ReservedPort(address.clone()),
        Errno::ADDRNOTAVAIL => Error::NotLocal(address.clone()),
        errno => Error::Other(address.clone(), errno.into()),
    })
}

/// The address of a host: its IPv4 one if it has both kinds, as Gunicorn does.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has none"))
}

fn is_ipv4_at(address: &BindAddress, at: u16) -> bool {
    match address {
        BindAddress::Tcp { host, port } => {
            *port == at && at != 0 && !matches!(host.parse(), Ok(IpAddr::V6(_)))
        }
        BindAddress::Unix(_) | BindAddress::Abstract(_) | BindAddress::Fd(_) => false,
    }
}

fn unix(address: &BindAddress, path: &Path, backlog: u16) -> Result<(OwnedFd, SocketFile), Error> {
    let other = |error: io::Error| Error::Other(address.clone(), error);
    let name = SocketAddrUnix::new(path).map_err(|errno| other(errno.into()))?;
    remove_stale(address, path, &name)?;
    let fd = stream(AddressFamily::UNIX).map_err(|errno| other(errno.into()))?;
    rustix::net::bind(&fd, &name).map_err(|errno| {
        let directory = || match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        match errno {
            Errno::NOENT | Errno::NOTDIR => Error::NoDirectory {
                address: address.clone(),
                directory: directory(),
            },
            Errno::ACCESS | Errno::PERM | Errno::ROFS => no_permission(address, directory()),
            Errno::ADDRINUSE => unix_in_use(address),
            errno => other(errno.into()),
        }
    })?;
    let file = SocketFile::at(path).map_err(other)?;
    // A proxy is another user: who may connect is said by the directory. Nobody
    // can before the socket listens.
    std::fs::set_permissions(path, Permissions::from_mode(FOR_EVERYONE)).map_err(other)?;
    rustix::net::listen(&fd, i32::from(backlog)).map_err(|errno| other(errno.into()))?;
    Ok((fd, file))
}

/// Removes the file of a socket that nobody listens on any more.
fn remove_stale(address: &BindAddress, path: &Path, name: &SocketAddrUnix) -> Result<(), Error> {
    match path.symlink_metadata() {
        // That there is none, and what else is wrong, `bind` says.
        Err(_) => return Ok(()),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(Error::NotASocket(address.clone()));
        }
        Ok(_) => {}
    }
    let other = |error: io::Error| Error::Other(address.clone(), error);
    let probe = stream(AddressFamily::UNIX).map_err(|errno| other(errno.into()))?;
    match rustix::net::connect(&probe, name) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let directory = path.parent().unwrap_or(Path::new("."));
                no_permission(address, directory.to_owned())
            }
            _ => other(error),
        }),
        Err(Errno::NOENT) => Ok(()),
        // It answers, is too busy to answer, is of another type, or is not for us.
        Ok(()) | Err(_) => Err(unix_in_use(address)),
    }
}

fn no_permission(address: &BindAddress, directory: PathBuf) -> Error {
    Error::NoPermission {
        address: address.clone(),
        directory,
        user: rustix::process::geteuid().as_raw(),
    }
}

fn unix_in_use(address: &BindAddress) -> Error {
    let name = address.to_string();
    let name = name.strip_prefix("unix:").unwrap_or(&name);
    Error::InUse {
        address: address.clone(),
        command: format!("ss -lxp 'src {name}'"),
    }
}

fn abstract_unix(address: &BindAddress, name: &[u8], backlog: u16) -> Result<OwnedFd, Error> {
    let open = || {
        let fd = stream(AddressFamily::UNIX)?;
        rustix::net::bind(&fd, &SocketAddrUnix::new_abstract_name(name)?)?;
        rustix::net::listen(&fd, i32::from(backlog))?;
        Ok(fd)
    };
    open().map_err(|errno| match errno {
        Errno::ADDRINUSE => unix_in_use(address),
        errno => Error::Other(address.clone(), errno.into()),
    })
}

fn descriptor(address: &BindAddress, number: RawFd) -> Result<OwnedFd, Error> {
    let fd = inherited::take(number).map_err(|_| Error::NoDescriptor(address.clone()))?;
    match Kind::of(fd.as_fd()) {
        Kind::Listening => Ok(fd),
        kind => Err(Error::WrongDescriptor {
            address: address.clone(),
            kind: kind.describe(),
        }),
    }
}

#[cfg(test)]
mod tests;
