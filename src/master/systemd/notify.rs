//! `sd_notify(3)`: what the master tells systemd about itself.
//!
//! The socket never blocks. What systemd does not take at once because it is
//! busy waits here and goes out, in order, with the next word or with
//! [`Notifier::retry`]; so `READY=1` is late at worst, never lost.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::time::ClockId;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The most words that wait for a busy systemd.
const MOST_WAITING: usize = 64;

/// One thing to say. Things said together take effect together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The service serves: start-up or reload is over.
    Ready,
    /// A reload has begun at this time of the monotonic clock.
    Reloading(Duration),
    /// The service is about to stop.
    Stopping,
    /// One line for `systemctl status`.
    Status(String),
    /// Still alive.
    Watchdog,
    /// Start-up, reload or stop needs this much more time from now.
    ExtendTimeout(Duration),
    /// This process is the service's main process.
    MainPid(u32),
    /// The number of the operating system's error that ends the service.
    Errno(i32),
    /// The status this process is going to exit with.
    ExitStatus(u8),
}

impl State {
    /// A reload begins now.
    pub fn reloading_now() -> Self {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        // The monotonic clock counts from boot: never negative.
        Self::Reloading(Duration::try_from(now).unwrap_or_default())
    }

    fn write(&self, text: &mut String) {
        let written = match self {
            Self::Ready => writeln!(text, "READY=1"),
            Self::Reloading(since) => {
                writeln!(text, "RELOADING=1\nMONOTONIC_USEC={}", since.as_micros())
            }
            Self::Stopping => writeln!(text, "STOPPING=1"),
            Self::Status(status) => writeln!(text, "STATUS={}", one_line(status)),
            Self::Watchdog => writeln!(text, "WATCHDOG=1"),
            Self::ExtendTimeout(time) => {
                writeln!(text, "EXTEND_TIMEOUT_USEC={}", time.as_micros())
            }
            Self::MainPid(pid) => writeln!(text, "MAINPID={pid}"),
            Self::Errno(number) => writeln!(text, "ERRNO={number}"),
            Self::ExitStatus(status) => writeln!(text, "EXIT_STATUS={status}"),
        };
        written.expect("a string takes everything");
    }
}

/// A way to systemd, or to nowhere if no one asked to be notified.
#[derive(Debug)]
pub struct Notifier(Option<NotifySocket>);

#[derive(Debug)]
struct NotifySocket {
    socket: OwnedFd,
    destination: SocketAddrUnix,
    waiting: VecDeque<Vec<State>>,
}

impl Notifier {
    /// Speaks to `$NOTIFY_SOCKET`, or to nobody if it is not set.
    ///
    /// The variable stays: see [`super::PRIVATE_VARIABLES`].
    pub fn from_env() -> io::Result<Self> {
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(address) if !address.is_empty() => Self::to(&address),
            Some(_) | None => Ok(Self(None)),
        }
    }

    /// Speaks to a path, or to an abstract name with `@` in front.
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

    /// Whether somebody wants to be notified.
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Whether something waits for a [`Self::retry`].
    pub fn is_waiting(&self) -> bool {
        self.0.as_ref().is_some_and(|way| !way.waiting.is_empty())
    }

    /// Says `states`, in one piece. That systemd is busy is no error: what must
    /// not be lost waits.
    pub fn notify(&mut self, states: &[State]) -> io::Result<()> {
        let Some(way) = &mut self.0 else {
            return Ok(());
        };
        if states == [State::Watchdog] {
            // Late, a sign of life is worth nothing.
            way.flush()?;
            if way.waiting.is_empty() {
                way.send(&text(states))?;
            }
            return Ok(());
        }
        way.put(states.to_vec());
        way.flush()
    }

    /// Says what waits.
    pub fn retry(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), NotifySocket::flush)
    }
}

impl NotifySocket {
    /// Appends to what waits; of two statuses in a row only the later matters.
    fn put(&mut self, states: Vec<State>) {
        let only_status = |states: &Vec<State>| matches!(states[..], [State::Status(_)]);
        if self.waiting.back().is_some_and(only_status) && only_status(&states) {
            self.waiting.pop_back();
        }
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(states);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(states) = self.waiting.front() {
            match self.send(&text(states)) {
                Ok(true) => {
                    self.waiting.pop_front();
                }
                Ok(false) => break,
                Err(error) => {
                    // Nobody is there: nothing of it will ever be heard.
                    self.waiting.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether systemd took it.
    fn send(&self, text: &str) -> io::Result<bool> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match rustix::net::sendto(&self.socket, text.as_bytes(), flags, &self.destination) {
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The datagram that says `states`.
fn text(states: &[State]) -> String {
    let mut text = String::new();
    for state in states {
        state.write(&mut text);
    }
    text
}

/// A status with a line end would say whatever follows as a state of its own.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Instant;

    /// What arrives, one word after the other.
    fn heard(systemd: &UnixDatagram) -> Option<String> {
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
    fn what_is_said_together_arrives_in_one_piece() {
        let (_folder, systemd, mut notifier) = systemd();

        notifier
            .notify(&[State::Ready, State::Status("4 workers ready".to_owned())])
            .unwrap();
        notifier.notify(&[State::Watchdog]).unwrap();

        assert_eq!(
            heard(&systemd).unwrap(),
            "READY=1\nSTATUS=4 workers ready\n"
        );
        assert_eq!(heard(&systemd).unwrap(), "WATCHDOG=1\n");
        assert_eq!(heard(&systemd), None);
    }

    #[test]
    fn an_abstract_socket_is_heard_too() {
        let name = format!("rgunicorn-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        let mut notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();

        notifier.notify(&[State::Stopping]).unwrap();

        assert_eq!(heard(&systemd).unwrap(), "STOPPING=1\n");
    }

    #[test]
    fn every_state_has_its_words() {
        let reload = State::Reloading(Duration::from_micros(1_234_567));
        for (state, words) in [
            (State::Ready, "READY=1\n"),
            (reload, "RELOADING=1\nMONOTONIC_USEC=1234567\n"),
            (State::Stopping, "STOPPING=1\n"),
            (State::Status("ok".to_owned()), "STATUS=ok\n"),
            (State::Watchdog, "WATCHDOG=1\n"),
            (
                State::ExtendTimeout(Duration::from_secs(30)),
                "EXTEND_TIMEOUT_USEC=30000000\n",
            ),
            (State::MainPid(7), "MAINPID=7\n"),
            (State::Errno(98), "ERRNO=98\n"),
            (State::ExitStatus(3), "EXIT_STATUS=3\n"),
        ] {
            assert_eq!(text(&[state]), words);
        }
    }

    #[test]
    fn a_status_cannot_say_anything_else() {
        let status = State::Status("ValueError: a\nREADY=1\r\n\tMAINPID=1\0".to_owned());

        assert_eq!(text(&[status]), "STATUS=ValueError: a READY=1 MAINPID=1 \n");
    }

    #[test]
    fn the_time_of_a_reload_is_now() {
        let (State::Reloading(one), State::Reloading(other)) =
            (State::reloading_now(), State::reloading_now())
        else {
            panic!("not reloading");
        };

        assert!(Duration::ZERO < one && one <= other);
    }

    #[test]
    fn a_busy_systemd_stops_nobody_and_hears_everything_in_order_later() {
        let (_folder, systemd, mut notifier) = systemd();
        let started = Instant::now();
        let mut said = 0;
        while !notifier.is_waiting() {
            notifier.notify(&[State::MainPid(said)]).unwrap();
            said += 1;
        }
        notifier.notify(&[State::Watchdog]).unwrap();
        notifier
            .notify(&[State::Status("first".to_owned())])
            .unwrap();
        notifier
            .notify(&[State::Status("second".to_owned())])
            .unwrap();
        notifier.notify(&[State::Ready]).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));

        let mut all = Vec::new();
        while let Some(words) = heard(&systemd) {
            all.push(words);
            notifier.retry().unwrap();
        }

        let mut expected: Vec<_> = (0..said).map(|pid| format!("MAINPID={pid}\n")).collect();
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
    fn where_nobody_listens_nothing_is_said() {
        let mut notifier = Notifier(None);

        notifier.notify(&[State::Ready]).unwrap();

        assert!(!notifier.is_heard() && !notifier.is_waiting());
    }
}
