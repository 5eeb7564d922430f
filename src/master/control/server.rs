//! The master's end of the control socket. No call here blocks. A client that
//! connects and says nothing, or is slow, never keeps another one out: those
//! that have not asked are few, have little time, and make room for newcomers.
//! What a client may ask for depends on its account: see `access.rs`.

use super::access::{self, Access, READER};
use super::client::{Awaited, Client, State, send};
use super::protocol::{self, Answer, LONGEST_LINE, Line, Request};
use super::terminal::TerminalFolder;
use crate::listeners::{NotListening, SocketFile};
use crate::sys::handed_over::HandedOver;
use crate::sys::peer::peer;
use crate::upgrade::state::{ControlState, PlaceState};
use crate::wakeups::{Source, Wakeups};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// The most clients that have not asked for anything yet. One more displaces the
/// oldest of them.
const MOST_SILENT: usize = 32;

/// The most clients that wait for the end of something. They are never displaced;
/// a further one is refused.
const MOST_WAITING: usize = 256;

/// The most clients at a time. Each costs a descriptor.
pub const MOST_CLIENTS: usize = MOST_SILENT + MOST_WAITING;

/// How long to wait before accepting again after accept(2) failed. The socket stays
/// readable, so without a pause the loop would do nothing but try again.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

const BACKLOG: i32 = 128;

const OWNER_ONLY: u32 = 0o600;

/// The group, which may pass the directory, gets nothing. Strangers may not pass it, except
/// for those with a privilege for that; which of them is admitted, [`Access`] decides.
const OWNER_AND_STRANGERS: u32 = 0o606;

/// The control socket and its clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    place: Place,
    /// The account of this process.
    own: u32,
    /// The account that may ask for figures.
    reader: Option<u32>,
    /// In the order in which they came.
    clients: BTreeMap<u32, Client>,
    last_client: u32,
    accepting: Accepting,
}

/// Where the socket is, and so who can connect to it.
#[derive(Debug)]
enum Place {
    /// systemd opened it, and its unit says who can.
    Systemd,
    /// Where somebody wants it: nobody but root and the account of this process.
    Elsewhere { file: SocketFile },
    /// In a folder of its own, which is removed after the socket: the same.
    Terminal {
        file: SocketFile,
        folder: TerminalFolder,
    },
    /// In the runtime directory of the service: [`READER`], too, which has the right to
    /// pass the directory, if that keeps all others out.
    RuntimeDirectory(SocketFile),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Yes,
    /// It failed: not before this time.
    Paused(Instant),
    /// It is tried again after a pause.
    Again,
}

/// A complete request, and who sent it.
#[derive(Debug)]
pub struct Asked {
    pub request: Request,
    /// Of the client's process, as the kernel knows it.
    pub pid: u32,
    pub uid: u32,
    pub access: Access,
}

impl Server {
    /// Opens the socket at `path`, for its owner only.
    /// `owner`: a user and a group, if not those of this process.
    pub fn bind(path: &Path, owner: Option<(u32, u32)>) -> Result<Self, NotListening> {
        let (fd, file) = SocketFile::listen(path, OWNER_ONLY, owner, BACKLOG)?;
        Ok(Self::on(fd.into(), Place::Elsewhere { file }))
    }

    /// The same in the service's runtime directory, where [`READER`] can be admitted, too.
    pub fn bind_in_runtime_directory(
        path: &Path,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, NotListening> {
        let (fd, file) = SocketFile::listen(path, OWNER_ONLY, owner, BACKLOG)?;
        Ok(Self::on(fd.into(), Place::RuntimeDirectory(file)))
    }

    /// Opens the socket of a server that no unit runs, and that was told of none: for this
    /// account only, in a folder among those in `parent`.
    pub fn bind_in_terminal(
        parent: &Path,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, NotListening> {
        let folder = TerminalFolder::create(parent, std::process::id())?;
        let path = folder.control_socket();
        let (fd, file) = SocketFile::listen(&path, OWNER_ONLY, owner, BACKLOG)?;
        let place = Place::Terminal { file, folder };
        Ok(Self::on(fd.into(), place))
    }

    /// Uses a socket that systemd opened.
    pub fn inherited(fd: OwnedFd) -> io::Result<Self> {
        let listener = UnixListener::from(fd);
        listener.set_nonblocking(true)?;
        Ok(Self::on(listener, Place::Systemd))
    }

    fn on(listener: UnixListener, place: Place) -> Self {
        Self {
            listener,
            place,
            own: rustix::process::geteuid().as_raw(),
            reader: None,
            clients: BTreeMap::new(),
            last_client: 0,
            accepting: Accepting::Yes,
        }
    }

    /// For the program that takes over: the socket, and the clients, who wait on.
    pub fn hand_over<'a>(&'a self, fds: &mut HandedOver<'a>) -> ControlState {
        ControlState {
            listener: fds.add(self.listener.as_fd()),
            place: match &self.place {
                Place::Systemd => PlaceState::Systemd,
                Place::Elsewhere { file } => PlaceState::Elsewhere(file.hand_over()),
                Place::Terminal { file, folder } => PlaceState::Terminal {
                    file: file.hand_over(),
                    folder: folder.path().to_owned(),
                },
                Place::RuntimeDirectory(file) => PlaceState::RuntimeDirectory(file.hand_over()),
            },
            clients: (self.clients.iter())
                .filter_map(|(number, client)| client.hand_over(*number, fds))
                .collect(),
            last_client: self.last_client,
        }
    }

    pub fn adopt(state: ControlState, now: Instant) -> io::Result<Self> {
        let place = match state.place {
            PlaceState::Systemd => Place::Systemd,
            PlaceState::Elsewhere(file) => Place::Elsewhere {
                file: SocketFile::adopt(file),
            },
            PlaceState::Terminal { file, folder } => Place::Terminal {
                file: SocketFile::adopt(file),
                folder: TerminalFolder::adopt(folder),
            },
            PlaceState::RuntimeDirectory(file) => Place::RuntimeDirectory(SocketFile::adopt(file)),
        };
        let mut server = Self::on(state.listener.take()?.into(), place);
        server.last_client = state.last_client;
        for client in state.clients {
            let number = client.number;
            server.clients.insert(number, Client::adopt(client, now)?);
        }
        Ok(server)
    }

    /// Admits the account [`READER`], if there is one now.
    pub fn admit_reader(&mut self) -> io::Result<()> {
        // It may have changed since the socket was opened.
        self.own = rustix::process::geteuid().as_raw();
        self.admit(access::reader(self.own))
    }

    fn admit(&mut self, reader: Option<u32>) -> io::Result<()> {
        match &self.place {
            Place::Systemd => self.reader = reader,
            Place::Elsewhere { .. } | Place::Terminal { .. } => {}
            Place::RuntimeDirectory(file) => {
                let is_safe = file.is_reached_by_owner_and_group_only()?;
                self.reader = reader.filter(|_| is_safe);
                file.set_mode(if self.reader.is_some() {
                    OWNER_AND_STRANGERS
                } else {
                    OWNER_ONLY
                })?;
            }
        }
        Ok(())
    }

    pub fn register(&self, wakeups: &Wakeups) -> io::Result<()> {
        wakeups.add(&self.listener, Source::Control)
    }

    /// The clients that another program has accepted.
    pub fn register_clients(&self, wakeups: &Wakeups) -> io::Result<()> {
        for (number, client) in &self.clients {
            wakeups.add(&client.stream, Source::ControlClient(*number))?;
        }
        Ok(())
    }

    /// Takes one client that wants to connect. Fails once when none can be
    /// accepted, for want of descriptors for instance, and not again until it
    /// has worked meanwhile.
    pub fn accept(&mut self, wakeups: &Wakeups) -> io::Result<()> {
        let now = Instant::now();
        let taken = self.listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            let peer = peer(&stream)?;
            let Some(access) = Access::of(peer.uid, self.own, self.reader) else {
                send(&stream, &Answer::Failed(not_admitted(peer.uid)));
                return Ok(None);
            };
            let number = self.last_client.wrapping_add(1);
            wakeups.add(&stream, Source::ControlClient(number))?;
            Ok(Some((number, Client::new(stream, peer, access, now))))
        });
        match taken {
            Ok(None) => {
                self.accepting = Accepting::Yes;
                Ok(())
            }
            Ok(Some((number, client))) => {
                self.accepting = Accepting::Yes;
                self.last_client = number;
                self.make_room();
                self.clients.insert(number, client);
                Ok(())
            }
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => {
                wakeups.remove(&self.listener);
                let before = self.accepting;
                self.accepting = Accepting::Paused(now + ACCEPT_PAUSE);
                match before {
                    Accepting::Yes => Err(error),
                    Accepting::Paused(_) | Accepting::Again => Ok(()),
                }
            }
        }
    }

    /// Drops the oldest client that has not asked, if there are too many.
    fn make_room(&mut self) {
        let mut silent = self.clients.iter().filter(|(_, client)| client.is_silent());
        let oldest = silent.next().map(|(number, _)| *number);
        if let (Some(oldest), true) = (oldest, silent.count() + 1 >= MOST_SILENT) {
            self.fail(oldest, "too many clients have not sent a request");
        }
    }

    /// When [`Server::run_due`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let pause = match self.accepting {
            Accepting::Paused(until) => Some(until),
            Accepting::Yes | Accepting::Again => None,
        };
        let silent = self.clients.values().filter_map(Client::deadline);
        silent.chain(pause).min()
    }

    /// Drops clients that took too long to ask, and ends a pause of accepting.
    pub fn run_due(&mut self, now: Instant, wakeups: &Wakeups) {
        let late = |client: &Client| client.deadline().is_some_and(|until| until <= now);
        let late: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, client)| late(client))
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            self.fail(number, "no complete request has arrived in time");
        }
        if matches!(self.accepting, Accepting::Paused(until) if until <= now) {
            self.accepting = match self.register(wakeups) {
                Ok(()) => Accepting::Again,
                Err(_) => Accepting::Paused(now + ACCEPT_PAUSE),
            };
        }
    }

    /// Reads what a client sent. `None`: its request is not complete, or it has
    /// left, or its request was refused.
    pub fn read(&mut self, number: u32) -> Option<Asked> {
        let client = self.clients.get_mut(&number)?;
        let mut bytes = [0; 4096];
        let count = match client.stream.read(&mut bytes) {
            Err(error) if is_passing(&error) => return None,
            // The client has gone.
            Ok(0) | Err(_) => {
                self.clients.remove(&number);
                return None;
            }
            Ok(count) => count,
        };
        let State::Silent { received, .. } = &mut client.state else {
            // One request a connection; the rest is ignored.
            return None;
        };
        received.extend_from_slice(&bytes[..count]);
        let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
            if received.len() > LONGEST_LINE {
                self.fail(number, "the request is too long");
            }
            return None;
        };
        let line = String::from_utf8_lossy(&received[..end]).into_owned();
        client.state = State::Asked;
        let (pid, uid, access) = (client.pid, client.uid, client.access);
        let Ok(asked) = protocol::parse::<Line>(&line) else {
            self.fail(number, &not_known(&line));
            return None;
        };
        client.fields = asked.fields;
        if !access.allows(&asked.request) {
            self.fail(
                number,
                &format!("{READER} may ask for status, workers and listeners only"),
            );
            return None;
        }
        Some(Asked {
            request: asked.request,
            pid,
            uid,
            access,
        })
    }

    /// Answers a client, and closes its connection.
    pub fn answer(&mut self, number: u32, answer: &Answer) {
        if let Some(client) = self.clients.remove(&number) {
            client.send(answer);
        }
    }

    fn fail(&mut self, number: u32, reason: &str) {
        self.answer(number, &Answer::Failed(reason.to_owned()));
    }

    /// Lets a client wait until something happens.
    pub fn wait_for(&mut self, number: u32, awaited: Awaited) {
        let waiting = |client: &&Client| matches!(client.state, State::Waiting(_));
        if self.clients.values().filter(waiting).count() >= MOST_WAITING {
            self.fail(
                number,
                "too many clients are waiting; what was asked for continues, see the log",
            );
        } else if let Some(client) = self.clients.get_mut(&number) {
            client.state = State::Waiting(awaited);
        }
    }

    /// Whether anyone waits for this.
    pub fn waits(&self, what: Awaited) -> bool {
        let waits =
            |client: &Client| matches!(client.state, State::Waiting(awaited) if awaited == what);
        self.clients.values().any(waits)
    }

    /// Answers all that wait for this, and closes their connections.
    pub fn happened(&mut self, what: Awaited, answer: &Answer) {
        for client in self.take_waiting(|awaited| awaited == what) {
            client.send(answer);
        }
    }

    /// Answers all that wait for a worker to be replaced: it is not for now.
    pub fn not_replaced(&mut self, answer: &Answer) {
        for client in self.take_waiting(|awaited| matches!(awaited, Awaited::Replaced(_))) {
            client.send(answer);
        }
    }

    /// Answers all that wait for the end of the server. The kernel closes their connections
    /// when this process has ended, which is what they wait for.
    pub fn stopped(&mut self, answer: &Answer) {
        for client in self.take_waiting(|awaited| awaited == Awaited::Stop) {
            client.send(answer);
            std::mem::forget(client.stream);
        }
    }

    fn take_waiting(&mut self, for_this: impl Fn(Awaited) -> bool) -> Vec<Client> {
        let waits = |client: &Client| match client.state {
            State::Waiting(awaited) => for_this(awaited),
            State::Silent { .. } | State::Asked => false,
        };
        let numbers: Vec<u32> = (self.clients.iter())
            .filter(|(_, client)| waits(client))
            .map(|(number, _)| *number)
            .collect();
        (numbers.into_iter())
            .filter_map(|number| self.clients.remove(&number))
            .collect()
    }
}

fn not_admitted(uid: u32) -> String {
    format!(
        "user {uid} may not use this control socket; run this as root, or as the user of the server"
    )
}

/// Why a request is refused that this version cannot read.
fn not_known(line: &str) -> String {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    match Request::command_in(line) {
        Some(command) => format!(
            "the running rgunicorn, version {VERSION}, does not know the command {command:?} in \
             this form; if it was upgraded meanwhile, restart the service"
        ),
        None => {
            format!("the running rgunicorn, version {VERSION}, cannot read the request {line:?}")
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests;
