//! `sd_notify(3)`: what the master tells systemd about itself.
//!
//! The states and their wording are `sd-notify`'s; its `notify()` is not used: it
//! waits when systemd is busy, after eleven datagrams as a rule, and the master's
//! loop must not. The socket here never blocks. What systemd does not take at
//! once waits and is sent, in order, with the next state or by
//! [`Notifier::retry`]; so `READY=1` is late at worst, never lost. Of the statuses
//! and of the requests for more time that wait only the newest is kept.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
pub use sd_notify::NotifyState as State;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The most datagrams that wait for a busy systemd. Of more changes of state than
/// that the oldest is dropped: later ones have made it untrue.
const MOST_WAITING: usize = 64;

/// The longest status in bytes. An error of the application can be of any length,
/// and systemd ignores a datagram of more than [`LONGEST_DATAGRAM`] as a whole, with
/// the `READY=1` that is in it.
const LONGEST_STATUS: usize = 1000;

/// systemd's limit, in bytes.
const LONGEST_DATAGRAM: usize = 4096;

/// Notifies systemd, or nobody if nobody asked for it.
#[derive(Debug)]
pub struct Notifier(Option<NotifySocket>);

#[derive(Debug)]
struct NotifySocket {
    socket: OwnedFd,
    destination: SocketAddrUnix,
    waiting: VecDeque<Datagram>,
}

#[derive(Debug)]
struct Datagram {
    text: String,
    kind: Kind,
    /// A descriptor that goes with it.
    fd: Option<OwnedFd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A status and nothing else.
    Status,
    /// A request for more time and nothing else.
    Extend,
    /// Anything else: its order matters, and a later one does not replace it.
    Change,
}

impl Kind {
    fn of(states: &[State<'_>]) -> Self {
        match states {
            [State::Status(_)] => Self::Status,
            [State::ExtendTimeoutUsec(_)] => Self::Extend,
            _ => Self::Change,
        }
    }
}

impl Notifier {
    /// Notifies `$NOTIFY_SOCKET`, or nobody if it is not set.
    ///
    /// The variable stays: see [`super::PRIVATE_VARIABLES`].
    pub fn from_env() -> io::Result<Self> {
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(address) if !address.is_empty() => Self::to(&address),
            Some(_) | None => Ok(Self(None)),
        }
    }

    /// `address` is a path, or an abstract name with `@` in front.
    pub fn to(address: &OsStr) -> io::Result<Self> {
        let destination = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            [b'/', ..] => SocketAddrUnix::new(address)?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "NOTIFY_SOCKET={} is not a unix socket",
                        address.to_string_lossy()
                    ),
                ));
            }
        };
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        Ok(Self(Some(NotifySocket {
            socket,
            destination,
            waiting: VecDeque::new(),
        })))
    }

    /// Whether there is a service manager to notify.
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Whether something waits for a [`Self::retry`].
    pub fn is_waiting(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|socket| !socket.waiting.is_empty())
    }

    /// Sends `states` in one datagram, so that they take effect together. That
    /// systemd is busy is no error: what must not be lost waits.
    pub fn notify(&mut self, states: &[State<'_>]) -> io::Result<()> {
        let Some(socket) = &mut self.0 else {
            return Ok(());
        };
        if matches!(states, [State::Watchdog]) {
            // Late, a sign of life is worth nothing.
            socket.flush()?;
            if socket.waiting.is_empty() {
                socket.send(&text(states), None)?;
            }
            return Ok(());
        }
        socket.put(Datagram {
            text: text(states),
            kind: Kind::of(states),
            fd: None,
        });
        socket.flush()
    }

    /// Lets systemd keep `fd` open, under this name, while the service restarts.
    pub fn store(&mut self, name: &str, fd: impl AsFd) -> io::Result<()> {
        let Some(socket) = &mut self.0 else {
            return Ok(());
        };
        socket.put(Datagram {
            text: format!("FDSTORE=1\nFDNAME={name}\n"),
            kind: Kind::Change,
            fd: Some(fd.as_fd().try_clone_to_owned()?),
        });
        socket.flush()
    }

    /// Lets systemd close what it keeps under this name.
    pub fn forget(&mut self, name: &str) -> io::Result<()> {
        let name = format!("FDNAME={name}");
        self.notify(&[State::Custom("FDSTOREREMOVE=1"), State::Custom(&name)])
    }

    /// Sends what waits.
    pub fn retry(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), NotifySocket::flush)
    }
}

impl NotifySocket {
    /// Appends to what waits. A status, or a request for more time, replaces the
    /// one that waits.
    fn put(&mut self, datagram: Datagram) {
        if datagram.kind != Kind::Change {
            self.waiting.retain(|waits| waits.kind != datagram.kind);
        }
        if self.waiting.len() >= MOST_WAITING {
            let is_replaceable = |waits: &Datagram| waits.kind != Kind::Change;
            let oldest = self.waiting.iter().position(is_replaceable);
            self.waiting.remove(oldest.unwrap_or(0));
        }
        self.waiting.push_back(datagram);
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(datagram) = self.waiting.front() {
            match self.send(&datagram.text, datagram.fd.as_ref()) {
                Ok(true) => {
                    self.waiting.pop_front();
                }
                Ok(false) => break,
                Err(error) => {
                    // No receiver: the states would be stale by the time there is one.
                    self.waiting.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether systemd took it.
    fn send(&self, text: &str, fd: Option<&OwnedFd>) -> io::Result<bool> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let fds: Vec<_> = fd.map(AsFd::as_fd).into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        loop {
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let text = [IoSlice::new(text.as_bytes())];
            let (socket, to) = (&self.socket, &self.destination);
            match rustix::net::sendmsg_addr(socket, to, &text, &mut ancillary, flags) {
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The datagram with these states. `sd-notify` writes each as a line, and leaves
/// it to us that a status is one: what follows a line end in it would be a state
/// of its own, and the reason of a failure comes from the application.
fn text(states: &[State<'_>]) -> String {
    let text: String = states
        .iter()
        .map(|state| match state {
            State::Status(line) => format!("{}\n", State::Status(&one_line(line))),
            state => format!("{state}\n"),
        })
        .collect();
    debug_assert!(text.len() < LONGEST_DATAGRAM, "{text}");
    text
}

/// `text` in one line of at most [`LONGEST_STATUS`] bytes.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let mut line = words.join(" ").replace(char::is_control, " ");
    if line.len() > LONGEST_STATUS {
        let mut end = LONGEST_STATUS - '…'.len_utf8();
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use std::io::IoSliceMut;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::{Duration, Instant};

    /// The next datagram.
    fn received(systemd: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = systemd.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    fn systemd() -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        (folder, systemd, notifier)
    }

    #[test]
    fn states_of_one_call_arrive_in_one_datagram() {
        let (_folder, systemd, mut notifier) = systemd();

        notifier
            .notify(&[State::Ready, State::Status("4 workers ready")])
            .unwrap();
        notifier.notify(&[State::Watchdog]).unwrap();

        assert_eq!(
            received(&systemd).unwrap(),
            "READY=1\nSTATUS=4 workers ready\n"
        );
        assert_eq!(received(&systemd).unwrap(), "WATCHDOG=1\n");
        assert_eq!(received(&systemd), None);
    }

    #[test]
    fn an_abstract_socket_is_notified_too() {
        let name = format!("rgunicorn-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        let mut notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();

        notifier.notify(&[State::Stopping]).unwrap();

        assert_eq!(received(&systemd).unwrap(), "STOPPING=1\n");
    }

    #[test]
    fn a_descriptor_to_keep_is_sent_with_its_name_also_when_it_had_to_wait() {
        let (_folder, systemd, mut notifier) = systemd();
        let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let filled = fill(&mut notifier);

        notifier.store("bind=%3A8000", &far).unwrap();
        notifier.forget("bind=%3A9000").unwrap();
        drop(far);

        for _ in 0..filled {
            received(&systemd).unwrap();
            notifier.retry().unwrap();
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let (mut buffer, flags) = ([0; 100], RecvFlags::empty());
        let buffers = &mut [IoSliceMut::new(&mut buffer)];
        let message = rustix::net::recvmsg(&systemd, buffers, &mut ancillary, flags).unwrap();
        assert_eq!(
            &buffer[..message.bytes],
            b"FDSTORE=1\nFDNAME=bind=%3A8000\n"
        );
        assert_eq!(
            received(&systemd).unwrap(),
            "FDSTOREREMOVE=1\nFDNAME=bind=%3A9000\n"
        );
        let Some(RecvAncillaryMessage::ScmRights(mut fds)) = ancillary.drain().next() else {
            panic!("no descriptor came")
        };
        rustix::io::write(fds.next().unwrap(), b"x").unwrap();
        io::Read::read_exact(&mut near, &mut [0]).unwrap();
    }

    #[test]
    fn a_status_cannot_contain_another_state() {
        let status = State::Status("ValueError: a\nREADY=1\r\n\tMAINPID=1\0");

        assert_eq!(
            text(&[status, State::Ready]),
            "STATUS=ValueError: a READY=1 MAINPID=1 \nREADY=1\n"
        );
    }

    #[test]
    fn a_long_status_is_cut_so_that_systemd_takes_the_datagram() {
        for letter in ["x", "ä", "€", "🦄"] {
            let long = letter.repeat(5000);
            let datagram = text(&[State::Ready, State::Status(&long)]);

            let status = datagram
                .strip_prefix("READY=1\nSTATUS=")
                .unwrap()
                .trim_end();
            let kept = status.strip_suffix('…').unwrap();
            assert!(long.starts_with(kept), "{status}");
            let longest = LONGEST_STATUS;
            assert!((longest - 6..=longest).contains(&status.len()), "{status}");
        }
        let fits = "x".repeat(LONGEST_STATUS);
        assert_eq!(one_line(&fits), fits);
    }

    /// Fills the socket's queue, and returns how many datagrams it took.
    fn fill(notifier: &mut Notifier) -> usize {
        let mut sent = 0;
        while !notifier.is_waiting() {
            notifier.notify(&[State::MainPid(1)]).unwrap();
            sent += 1;
        }
        sent
    }

    /// All that waits, received.
    fn drained(systemd: &UnixDatagram, notifier: &mut Notifier) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(datagram) = received(systemd) {
            all.push(datagram);
            notifier.retry().unwrap();
        }
        all
    }

    #[test]
    fn no_number_of_statuses_and_requests_for_time_displaces_a_change_of_state() {
        let (_folder, systemd, mut notifier) = systemd();
        let filled = fill(&mut notifier);
        let wait_long = |notifier: &mut Notifier| {
            for second in 1..=2 * MOST_WAITING {
                let extend = u32::try_from(second).unwrap();
                let line = format!("after {second} s");
                notifier
                    .notify(&[State::ExtendTimeoutUsec(extend)])
                    .unwrap();
                notifier.notify(&[State::Status(&line)]).unwrap();
            }
        };

        wait_long(&mut notifier);
        notifier.notify(&[State::Ready]).unwrap();
        wait_long(&mut notifier);

        let all = drained(&systemd, &mut notifier);
        assert_eq!(
            all[filled..],
            [
                "READY=1\n",
                "EXTEND_TIMEOUT_USEC=128\n",
                "STATUS=after 128 s\n"
            ]
        );
    }

    #[test]
    fn of_too_many_changes_of_state_the_newest_are_sent() {
        let (_folder, systemd, mut notifier) = systemd();
        fill(&mut notifier);

        for _ in 0..2 * MOST_WAITING {
            notifier.notify(&[State::Reloading]).unwrap();
            notifier.notify(&[State::Status("soon")]).unwrap();
            notifier.notify(&[State::Ready]).unwrap();
        }

        assert!(notifier.0.as_ref().unwrap().waiting.len() <= MOST_WAITING);
        let all = drained(&systemd, &mut notifier);
        assert_eq!(all.last().unwrap(), "READY=1\n");
    }

    #[test]
    fn a_busy_systemd_is_not_waited_for_and_gets_everything_in_order_later() {
        let (_folder, systemd, mut notifier) = systemd();
        let started = Instant::now();
        let mut sent = 0;
        while !notifier.is_waiting() {
            notifier.notify(&[State::MainPid(sent)]).unwrap();
            sent += 1;
        }
        notifier.notify(&[State::Watchdog]).unwrap();
        notifier.notify(&[State::Status("first")]).unwrap();
        notifier.notify(&[State::Status("second")]).unwrap();
        notifier.notify(&[State::Ready]).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));

        let mut all = Vec::new();
        while let Some(datagram) = received(&systemd) {
            all.push(datagram);
            notifier.retry().unwrap();
        }

        let mut expected: Vec<_> = (0..sent).map(|pid| format!("MAINPID={pid}\n")).collect();
        expected.push("STATUS=second\n".to_owned());
        expected.push("READY=1\n".to_owned());
        assert_eq!(all, expected);
        assert!(!notifier.is_waiting());
    }

    #[test]
    fn a_systemd_that_is_not_there_is_an_error_and_nothing_waits() {
        let (folder, systemd, mut notifier) = systemd();
        drop((folder, systemd));

        let error = notifier.notify(&[State::Ready]).unwrap_err();

        assert!(matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        ));
        assert!(!notifier.is_waiting());
    }

    #[test]
    fn an_address_that_is_no_unix_socket_is_refused() {
        let error = Notifier::to(OsStr::new("vsock:2:1234")).unwrap_err();

        assert_eq!(
            error.to_string(),
            "NOTIFY_SOCKET=vsock:2:1234 is not a unix socket"
        );
    }

    #[test]
    fn without_a_notify_socket_nothing_is_sent() {
        let mut notifier = Notifier(None);

        notifier.notify(&[State::Ready]).unwrap();

        assert!(!notifier.is_enabled() && !notifier.is_waiting());
    }
}
