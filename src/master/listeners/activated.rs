//! The sockets that systemd opened for us: `sd_listen_fds(3)`.

use super::socket::{Kind, prepare};
use super::{Error, Listener, Origin};
use listenfd::ListenFd;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The name of the socket for control clients.
pub const CONTROL: &str = "control";

/// What systemd calls a socket that has no name.
const NAMELESS: &str = "unknown";

/// The most sockets we believe in; a typing error must not make us try a billion.
const MOST: usize = 1024;

/// The sockets that systemd opened for us.
#[derive(Debug, Default)]
pub struct Activated {
    /// Those to serve.
    pub listeners: Vec<Listener>,
    /// The one for control clients.
    pub control: Option<OwnedFd>,
}

impl Activated {
    /// Takes them over. Once in a process, before its first thread: the
    /// variables are removed.
    pub fn from_env() -> Result<Self, Error> {
        let variable = |name| std::env::var(name).ok();
        let names = names(
            variable("LISTEN_FDS").as_deref(),
            variable("LISTEN_FDNAMES").as_deref(),
            variable("LISTEN_PID").as_deref(),
            std::process::id(),
        )?;
        // Names first: this empties the environment.
        let mut fds = ListenFd::from_env();
        let mut activated = Self::default();
        for (index, name) in names.into_iter().enumerate() {
            let fd = take(&mut fds, index).map_err(|source| Error::Socket {
                name: name.clone(),
                source,
            })?;
            activated.add(name, fd)?;
        }
        Ok(activated)
    }

    fn add(&mut self, name: String, fd: Option<OwnedFd>) -> Result<(), Error> {
        let kind = fd
            .as_ref()
            .map_or(Kind::NoSocket, |fd| Kind::of(fd.as_fd()));
        let fd = match (kind, fd) {
            (Kind::Listening, Some(fd)) => fd,
            (kind, _) => {
                return Err(Error::WrongKind {
                    name,
                    kind: kind.describe(),
                    remedy: kind.remedy(),
                });
            }
        };
        match prepare(&fd) {
            Err(source) => Err(Error::Socket { name, source }),
            Ok(_) if name == CONTROL => match self.control.replace(fd) {
                None => Ok(()),
                Some(_) => Err(Error::ControlTwice),
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

/// Takes socket `index`, whatever kind it is; nothing if it is no socket.
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

/// The names of the sockets, one for each; none if they are meant for another
/// process. `own` is our process id.
fn names(
    fds: Option<&str>,
    names: Option<&str>,
    pid: Option<&str>,
    own: u32,
) -> Result<Vec<String>, Error> {
    let Some(fds) = fds.filter(|fds| !fds.is_empty()) else {
        return Ok(Vec::new());
    };
    // Without LISTEN_PID they are for whoever reads this, as tools for
    // development have it.
    if let Some(pid) = pid.filter(|pid| !pid.is_empty()) {
        let unreadable = |_| nonsense("LISTEN_PID", pid);
        if pid.parse::<u32>().map_err(unreadable)? != own {
            return Ok(Vec::new());
        }
    }
    let Ok(count @ 0..=MOST) = fds.parse::<usize>() else {
        return Err(nonsense("LISTEN_FDS", fds));
    };
    match names.filter(|names| !names.is_empty()) {
        None => Ok(vec![NAMELESS.to_owned(); count]),
        Some(names) => {
            let list: Vec<_> = names.split(':').map(str::to_owned).collect();
            if list.len() == count {
                Ok(list)
            } else {
                Err(nonsense("LISTEN_FDNAMES", names))
            }
        }
    }
}

fn nonsense(variable: &'static str, value: &str) -> Error {
    Error::Environment {
        variable,
        value: value.to_owned(),
    }
}

#[cfg(test)]
mod tests;
