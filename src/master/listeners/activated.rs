//! The sockets that systemd opened for us: `sd_listen_fds(3)`.

use super::socket::{Kind, prepare};
use super::store::{Stored, is_stored};
use super::{Listener, ListenerError, Origin};
use listenfd::ListenFd;
use std::io;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};

/// The name of the socket for control clients.
pub const CONTROL: &str = "control";

/// What systemd calls a socket without `FileDescriptorName=`.
const NAMELESS: &str = "unknown";

/// More sockets are a mistake in the environment, and not tried one by one.
const MOST: usize = 1024;

/// The sockets that systemd opened for us.
#[derive(Debug, Default)]
pub struct Activated {
    pub listeners: Vec<Listener>,
    /// The socket named [`CONTROL`].
    pub control: Option<OwnedFd>,
    /// Listeners of our own that it has kept open since the last start.
    pub stored: Vec<Stored>,
}

impl Activated {
    /// Takes them over. Once in a process, before its first thread: the
    /// variables are removed.
    pub fn from_env() -> Result<Self, ListenerError> {
        let names = names()?;
        // Names first: this empties the environment.
        let mut fds = ListenFd::from_env();
        let mut activated = Self::default();
        for (index, name) in names.into_iter().enumerate() {
            let fd = take(&mut fds, index).map_err(|source| ListenerError::Socket {
                name: name.clone(),
                source,
            })?;
            activated.add(name, fd)?;
        }
        Ok(activated)
    }

    fn add(&mut self, name: String, fd: Option<OwnedFd>) -> Result<(), ListenerError> {
        if is_stored(&name) {
            // What is no socket was not stored by us, and closed at the end of the start.
            self.stored.extend(fd.map(|fd| Stored::new(name, fd)));
            return Ok(());
        }
        let kind = fd
            .as_ref()
            .map_or(Kind::NoSocket, |fd| Kind::of(fd.as_fd()));
        let fd = match (kind, fd) {
            (Kind::Listening, Some(fd)) => fd,
            (kind, _) => {
                return Err(ListenerError::WrongKind {
                    name,
                    kind: kind.describe(),
                    remedy: kind.remedy(),
                });
            }
        };
        match prepare(&fd) {
            Err(source) => Err(ListenerError::Socket { name, source }),
            Ok(_) if name == CONTROL => match self.control.replace(fd) {
                None => Ok(()),
                Some(_) => Err(ListenerError::ControlTwice),
            },
            Ok(address) => {
                self.listeners.push(Listener {
                    name,
                    address,
                    fd,
                    origin: Origin::Systemd,
                });
                Ok(())
            }
        }
    }
}

/// Takes socket `index`, whatever its kind; `None` if it is not a socket.
fn take(fds: &mut ListenFd, index: usize) -> io::Result<Option<OwnedFd>> {
    type Take = fn(&mut ListenFd, usize) -> io::Result<Option<OwnedFd>>;
    let kinds: [Take; 4] = [
        |fds, index| Ok(fds.take_tcp_listener(index)?.map(OwnedFd::from)),
        |fds, index| Ok(fds.take_unix_listener(index)?.map(OwnedFd::from)),
        |fds, index| Ok(fds.take_udp_socket(index)?.map(OwnedFd::from)),
        |fds, index| Ok(fds.take_unix_datagram(index)?.map(OwnedFd::from)),
    ];
    for take in kinds {
        match take(fds, index) {
            Ok(fd) => return Ok(fd),
            // It is of another kind.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The names of the sockets, one for each; empty if they are meant for
/// another process.
fn names() -> Result<Vec<String>, ListenerError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(fds) = variable("LISTEN_FDS") else {
        return Ok(Vec::new());
    };
    let Ok(count @ 0..=MOST) = fds.parse::<usize>() else {
        return Err(invalid("LISTEN_FDS", &fds));
    };
    if variable("LISTEN_PID").is_none() {
        // Development tools such as systemfd cannot set it: then the sockets are for
        // the first process that looks.
        let names = variable("LISTEN_FDNAMES");
        let names = names.iter().flat_map(|names| names.split(':'));
        let names = names
            .map(str::to_owned)
            .chain(iter::repeat(NAMELESS.to_owned()));
        return Ok(names.take(count).collect());
    }
    match sd_notify::listen_fds_with_names() {
        Ok(named) => Ok(named.map(|(_, name)| name).collect()),
        Err(error) => {
            // The error names the variable that is not valid.
            let blamed = ["LISTEN_PID", "LISTEN_FDNAMES"]
                .into_iter()
                .find(|name| error.to_string().contains(name))
                .unwrap_or("LISTEN_FDS");
            Err(invalid(blamed, &variable(blamed).unwrap_or_default()))
        }
    }
}

fn invalid(variable: &'static str, value: &str) -> ListenerError {
    ListenerError::Environment {
        variable,
        value: value.to_owned(),
    }
}

#[cfg(test)]
mod tests;
