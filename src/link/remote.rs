//! Sending records to a server that may be slow, or not there: syslog, StatsD.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest record in bytes: what a datagram can hold, and its head.
pub const LONGEST: usize = 60_000;

/// How long nothing is tried after a connection could not be had.
const RETRY: Duration = Duration::from_secs(1);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long it waits at a time, in nanoseconds.
const WAIT_NS: i64 = 50_000_000;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteAddress {
    Udp {
        host: String,
        port: u16,
        family: IpFamily,
    },
    Tcp {
        host: String,
        port: u16,
    },
    Unix {
        path: PathBuf,
        kind: UnixKind,
    },
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpFamily {
    Any,
    V4,
}

/// What a unix socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnixKind {
    Datagrams,
    /// Datagrams, or else a stream.
    Any,
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Udp { host, port, .. } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Unix { path, .. } => return write!(to, "unix://{}", path.display()),
        };
        if host.contains(':') {
            write!(to, "{scheme}://[{host}]:{port}")
        } else {
            write!(to, "{scheme}://{host}:{port}")
        }
    }
}

/// A connection to a server, opened when there is something to send, and again when it was
/// lost. Names are looked up, which may take seconds: it is for a thread of its own.
#[derive(Debug)]
pub struct Remote<S = OwnedFd> {
    address: RemoteAddress,
    connection: Option<Connection<S>>,
    /// When it may be tried again, and why it could not be had.
    failure: Option<(Instant, io::ErrorKind, String)>,
}

#[derive(Debug)]
struct Connection<S> {
    socket: S,
    kind: Kind,
    opened: Instant,
    /// Other addresses of the same name.
    others: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Udp,
    UnixDatagrams,
    Stream,
}

impl<S: AsFd + From<OwnedFd>> Remote<S> {
    pub fn new(address: RemoteAddress) -> Self {
        Self {
            address,
            connection: None,
            failure: None,
        }
    }

    pub fn address(&self) -> &RemoteAddress {
        &self.address
    }

    /// Sends a record, or says why it is lost, or with UDP the one before, or both. It waits
    /// for room as long as `may_wait` says so, and fails with `WouldBlock` if it may not.
    pub fn send(&mut self, record: &[u8], may_wait: impl Fn() -> bool) -> Result<(), Unsent> {
        if let Some(connection) = self.connection.take() {
            match connection.send(record, &may_wait) {
                Ok(()) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(Sending::NotNow) => {
                    self.connection = Some(connection);
                    return Err(Unsent::one(io::ErrorKind::WouldBlock.into()));
                }
                Err(Sending::Torn) => return Err(Unsent::one(io::ErrorKind::WouldBlock.into())),
                Err(Sending::Refused) => {
                    return Err(self.was_refused(connection, record, &may_wait));
                }
                // The server may have been started again.
                Err(Sending::Failed(_)) => {}
            }
        }
        if let Some((until, kind, text)) = &self.failure {
            if Instant::now() < *until {
                return Err(Unsent::one(io::Error::new(*kind, text.clone())));
            }
        }
        let sent = Connection::open(&self.address, &may_wait).and_then(|connection| {
            let connection = self.connection.insert(connection);
            connection.send(record, &may_wait).map_err(Sending::into)
        });
        match sent {
            Ok(()) => {
                self.failure = None;
                Ok(())
            }
            Err(error) => {
                self.connection = None;
                self.failed(&error);
                Err(Unsent::one(error))
            }
        }
    }

    /// Nobody took the datagram before this one. The name may have another address.
    fn was_refused(
        &mut self,
        mut connection: Connection<S>,
        record: &[u8],
        may_wait: &impl Fn() -> bool,
    ) -> Unsent {
        let others = std::mem::take(&mut connection.others);
        let next = if !others.is_empty() {
            Connection::to_first(others, SocketType::DGRAM, may_wait)
        } else if connection.opened.elapsed() < RETRY {
            Ok(connection)
        } else {
            // All of them have been tried: the name is looked up anew.
            Connection::open(&self.address, may_wait)
        };
        let is_sent = match next {
            // If it is refused as well, the next one says so.
            Ok(next) => (self.connection.insert(next).send(record, may_wait)).is_ok(),
            Err(error) => {
                self.failed(&error);
                false
            }
        };
        Unsent {
            count: if is_sent { 1 } else { 2 },
            error: Errno::CONNREFUSED.into(),
        }
    }

    /// There is no connection.
    fn failed(&mut self, error: &io::Error) {
        if error.kind() != io::ErrorKind::WouldBlock {
            let until = Instant::now() + RETRY;
            self.failure = Some((until, error.kind(), error.to_string()));
        }
    }
}

/// Records that are lost, and why.
#[derive(Debug)]
pub struct Unsent {
    pub count: u64,
    pub error: io::Error,
}

impl Unsent {
    fn one(error: io::Error) -> Self {
        Self { count: 1, error }
    }
}

/// Why a record was not sent.
enum Sending {
    /// There is no room, and it may not wait.
    NotNow,
    /// The same, after a part of it was sent: what follows would become a part of it, too.
    Torn,
    /// A datagram before it was refused.
    Refused,
    Failed(Errno),
}

impl From<Sending> for io::Error {
    fn from(why: Sending) -> Self {
        match why {
            Sending::NotNow | Sending::Torn => io::ErrorKind::WouldBlock.into(),
            Sending::Refused => Errno::CONNREFUSED.into(),
            Sending::Failed(error) => error.into(),
        }
    }
}

impl<S: AsFd + From<OwnedFd>> Connection<S> {
    fn open(address: &RemoteAddress, may_wait: &impl Fn() -> bool) -> io::Result<Self> {
        let (host, port, family, kind) = match address {
            RemoteAddress::Udp { host, port, family } => (host, port, *family, SocketType::DGRAM),
            RemoteAddress::Tcp { host, port } => (host, port, IpFamily::Any, SocketType::STREAM),
            RemoteAddress::Unix { path, kind } => {
                let path = SocketAddrUnix::new(path)?;
                let datagrams = Self::to(&path, AddressFamily::UNIX, SocketType::DGRAM, may_wait);
                return match (datagrams, kind) {
                    (Err(Errno::PROTOTYPE), UnixKind::Any) => {
                        Self::to(&path, AddressFamily::UNIX, SocketType::STREAM, may_wait)
                    }
                    (connected, UnixKind::Any | UnixKind::Datagrams) => connected,
                }
                .map_err(io::Error::from);
            }
        };
        let addresses = (host.as_str(), *port).to_socket_addrs()?;
        let wanted = |address: &SocketAddr| family == IpFamily::Any || address.is_ipv4();
        Self::to_first(addresses.filter(wanted).collect(), kind, may_wait)
    }

    /// To the first of these addresses that can be had.
    fn to_first(
        mut addresses: Vec<SocketAddr>,
        kind: SocketType,
        may_wait: &impl Fn() -> bool,
    ) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        while !addresses.is_empty() {
            let address = addresses.remove(0);
            let family = match address {
                SocketAddr::V4(_) => AddressFamily::INET,
                SocketAddr::V6(_) => AddressFamily::INET6,
            };
            match Self::to(&address, family, kind, may_wait) {
                Ok(connection) => {
                    let others = addresses;
                    return Ok(Self {
                        others,
                        ..connection
                    });
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    fn to(
        address: &impl rustix::net::addr::SocketAddrArg,
        family: AddressFamily,
        kind: SocketType,
        may_wait: &impl Fn() -> bool,
    ) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        match rustix::net::connect(&socket, address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => wait_for_connection(socket.as_fd(), may_wait)?,
            // Nothing can be waited for: a unix socket's queue of connections is full, or there
            // is no port left.
            Err(Errno::AGAIN) => return Err(Errno::CONNREFUSED),
            Err(error) => return Err(error),
        }
        Ok(Self {
            socket: socket.into(),
            kind: match (kind, family) {
                (SocketType::STREAM, _) => Kind::Stream,
                (_, AddressFamily::UNIX) => Kind::UnixDatagrams,
                _ => Kind::Udp,
            },
            opened: Instant::now(),
            others: Vec::new(),
        })
    }

    fn send(&self, record: &[u8], may_wait: &impl Fn() -> bool) -> Result<(), Sending> {
        let socket = self.socket.as_fd();
        let mut sent = 0;
        while sent < record.len() {
            match rustix::net::send(socket, &record[sent..], SendFlags::NOSIGNAL) {
                Ok(count) if self.kind == Kind::Stream => sent += count,
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if may_wait() => wait_writable(socket),
                Err(Errno::AGAIN) if sent == 0 => return Err(Sending::NotNow),
                Err(Errno::CONNREFUSED) if self.kind == Kind::Udp => {
                    return Err(Sending::Refused);
                }
                Err(Errno::AGAIN) => return Err(Sending::Torn),
                Err(error) => return Err(Sending::Failed(error)),
            }
        }
        Ok(())
    }
}

fn wait_for_connection(socket: BorrowedFd<'_>, may_wait: &impl Fn() -> bool) -> Result<(), Errno> {
    let until = Instant::now() + CONNECT;
    while !wait_writable_once(socket) {
        if Instant::now() >= until {
            return Err(Errno::TIMEDOUT);
        }
        if !may_wait() {
            return Err(Errno::AGAIN);
        }
    }
    rustix::net::sockopt::socket_error(socket)?
}

/// Waits until it can be written to, for a short while at the longest.
pub fn wait_writable(fd: BorrowedFd<'_>) {
    let _ = wait_writable_once(fd);
}

/// Whether it can be written to, after a short while at the latest.
fn wait_writable_once(fd: BorrowedFd<'_>) -> bool {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: WAIT_NS,
    };
    let mut poll = [PollFd::new(&fd, PollFlags::OUT)];
    // If it fails, it is tried again all the same.
    matches!(rustix::event::poll(&mut poll, Some(&timeout)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    fn udp(port: u16) -> Remote {
        Remote::new(RemoteAddress::Udp {
            host: "127.0.0.1".to_owned(),
            port,
            family: IpFamily::Any,
        })
    }

    fn unix(path: PathBuf, kind: UnixKind) -> Remote {
        Remote::new(RemoteAddress::Unix { path, kind })
    }

    fn received(socket: &UdpSocket) -> Vec<u8> {
        let mut bytes = [0; 100];
        let length = socket.recv(&mut bytes).unwrap();
        bytes[..length].to_vec()
    }

    #[test]
    fn each_record_is_a_datagram() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut remote = udp(server.local_addr().unwrap().port());

        remote.send(b"one", || true).unwrap();
        remote.send(b"two", || true).unwrap();

        assert_eq!(received(&server), b"one");
        assert_eq!(received(&server), b"two");
    }

    #[test]
    fn a_datagram_that_nobody_took_is_an_error_of_the_next_one_which_is_sent() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let mut remote = udp(address.port());
        drop(server);
        remote.send(b"lost", || true).unwrap();
        let server = UdpSocket::bind(address).unwrap();

        let unsent = remote.send(b"second", || true).unwrap_err();

        assert_eq!(unsent.error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(unsent.count, 1);
        assert_eq!(received(&server), b"second");
        remote.send(b"third", || true).unwrap();
        assert_eq!(received(&server), b"third");
    }

    #[test]
    fn the_record_after_one_that_nobody_took_is_counted_if_there_is_nowhere_to_send_it() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut remote = udp(server.local_addr().unwrap().port());
        drop(server);
        remote.send(b"lost", || true).unwrap();
        // The name has another address, for which a socket would have to allow broadcasts.
        let other = SocketAddr::from(([255, 255, 255, 255], 514));
        remote.connection.as_mut().unwrap().others = vec![other];

        let unsent = remote.send(b"lost as well", || true).unwrap_err();

        assert_eq!(unsent.count, 2);
        assert!(remote.failure.is_some());
    }

    #[test]
    fn a_unix_socket_takes_datagrams_or_a_stream() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("dgram"), folder.path().join("stream"));
        let datagrams = UnixDatagram::bind(&one).unwrap();
        let listener = UnixListener::bind(&other).unwrap();
        let mut bytes = [0; 4];

        for kind in [UnixKind::Any, UnixKind::Datagrams] {
            unix(one.clone(), kind).send(b"text", || true).unwrap();
            assert_eq!(datagrams.recv(&mut bytes).unwrap(), 4);
        }
        unix(other.clone(), UnixKind::Any)
            .send(b"text", || true)
            .unwrap();

        listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"text");
        let mut strict = unix(other, UnixKind::Datagrams);
        strict.send(b"text", || true).unwrap_err();
    }

    #[test]
    fn a_stream_that_takes_nothing_is_waited_for_only_as_long_as_wanted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut remote: Remote = Remote::new(RemoteAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        });
        let record = vec![b'x'; 100_000];
        let waits = std::cell::Cell::new(0);
        let may_wait = || waits.replace(waits.get() + 1) < 3;

        let error = loop {
            waits.set(0);
            if let Err(unsent) = remote.send(&record, may_wait) {
                break unsent.error;
            }
        };

        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_server_with_a_full_backlog_is_not_tried_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let flags = SocketFlags::CLOEXEC;
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        // Its queue holds one.
        let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let mut remote = unix(path, UnixKind::Any);

        let unsent = remote.send(b"text", || true).unwrap_err();

        assert_eq!(unsent.error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(remote.failure.is_some());
    }

    #[test]
    fn after_a_failure_nothing_is_tried_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut remote = unix(path.clone(), UnixKind::Any);
        let first = remote.send(b"a", || true).unwrap_err();
        // However slow this machine is.
        remote.failure.as_mut().unwrap().0 += Duration::from_secs(60);
        let _server = UnixDatagram::bind(&path).unwrap();

        let second = remote.send(b"b", || true).unwrap_err();

        assert_eq!(first.error.to_string(), second.error.to_string());
        assert_eq!(first.error.kind(), io::ErrorKind::NotFound);
        remote.failure = None;
        remote.send(b"c", || true).unwrap();
    }
}
