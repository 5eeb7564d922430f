//! Questions to a master: one request, one answer, over a connection of its own.
//!
//! There is no time-out: how long a reload may take is decided by the master, with
//! the setting `boot_timeout`.

use crate::cli::Target;
use rgunicorn::config;
use rgunicorn_control::memory::Memory;
use rgunicorn_control::protocol::{
    self, Answer, LONGEST_LINE, Line, Listener, Request, Setting, Summary, Worker,
};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// The longest list that is asked for: more than there can be workers.
const MOST_ROWS: usize = 4096;

/// Why a command has failed. Each is one thing an operator can act on.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("cannot connect to {socket}: {reason}; is {target} running?")]
    NotRunning {
        socket: String,
        reason: String,
        target: String,
    },

    #[error("no permission to connect to {socket}; run this as root, or as the user of the server")]
    NotAllowed { socket: String },

    #[error("the connection closed before the result arrived; see the log of rgunicorn")]
    Closed,

    #[error(
        "unexpected answer {line:?}; rgunicorn and rgunicornctl are probably of different versions"
    )]
    NotUnderstood { line: String },

    #[error("top needs a terminal; status, workers and metrics do not")]
    NoTerminal,

    #[error("{0}")]
    Failed(String),
}

impl ControlError {
    /// An answer to another question.
    pub fn not_understood(answer: &Answer) -> Self {
        let line = protocol::line(answer);
        Self::NotUnderstood {
            line: line.trim_end().to_owned(),
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        const UNAVAILABLE: u8 = 69;
        match self {
            Self::NotRunning { .. } | Self::NotAllowed { .. } => ExitCode::from(UNAVAILABLE),
            Self::Closed | Self::NotUnderstood { .. } | Self::NoTerminal | Self::Failed(_) => {
                ExitCode::FAILURE
            }
        }
    }
}

/// The state of a server, which has to answer until then; `None`: it may take any time.
pub fn summary(target: &Target, until: Option<Instant>) -> Result<Summary, ControlError> {
    match ask_until(target, query(Request::Summary), until)? {
        Answer::Summary(summary) => Ok(summary),
        other => Err(ControlError::not_understood(&other)),
    }
}

/// The workers of a server, likewise.
pub fn workers(
    target: &Target,
    until: Option<Instant>,
) -> Result<Vec<(Worker, Memory)>, ControlError> {
    in_parts(
        |from| match ask_until(target, query(Request::Workers { from }), until)? {
            Answer::Workers(part) => {
                let with_memory = |worker: Worker| {
                    let memory = worker.pid.map(|pid| Memory::of(pid, part.master_pid));
                    (worker, memory.unwrap_or_default())
                };
                let workers = part.workers.into_iter().map(with_memory).collect();
                Ok((workers, part.next))
            }
            other => Err(ControlError::not_understood(&other)),
        },
    )
}

pub fn listeners(target: &Target, until: Option<Instant>) -> Result<Vec<Listener>, ControlError> {
    in_parts(
        |from| match ask_until(target, query(Request::Listeners { from }), until)? {
            Answer::Listeners(part) => Ok((part.listeners, part.next)),
            other => Err(ControlError::not_understood(&other)),
        },
    )
}

pub fn settings(target: &Target) -> Result<Vec<Setting>, ControlError> {
    in_parts(|from| match ask(target, Request::Config { from })? {
        Answer::Settings(part) => Ok((part.settings, part.next)),
        other => Err(ControlError::not_understood(&other)),
    })
}

/// A list that takes one question or several: `part` gives what comes `from` a number on,
/// and from which number the next part is.
fn in_parts<T>(
    mut part: impl FnMut(u32) -> Result<(Vec<T>, Option<u32>), ControlError>,
) -> Result<Vec<T>, ControlError> {
    let mut rows = Vec::new();
    let mut from = 0;
    loop {
        let (more, next) = part(from)?;
        if more.is_empty() {
            return Ok(rows);
        }
        rows.extend(more);
        match next {
            // It must not be asked for ever.
            Some(next) if next > from && rows.len() < MOST_ROWS => from = next,
            Some(_) | None => return Ok(rows),
        }
    }
}

pub fn ask(target: &Target, what: Request) -> Result<Answer, ControlError> {
    ask_until(target, query(what), None)
}

/// A question: what is answered has fields or is text, and no choice.
fn query(request: Request) -> Line {
    Line {
        request,
        fields: false,
    }
}

pub fn ask_until(
    target: &Target,
    what: Line,
    until: Option<Instant>,
) -> Result<Answer, ControlError> {
    let path = target.socket();
    let stream = match target {
        Target::Socket(_) => connect(&path, until),
        // Whoever may write there is the site's code, and asks as root has asked that.
        Target::Instance(_) | Target::Unit(_) | Target::UserInstance { .. } | Target::Every(_) => {
            connect_to_no_link(&path, until)
        }
    };
    let stream = stream.map_err(|cause| {
        let socket = path.display().to_string();
        match cause.kind() {
            io::ErrorKind::PermissionDenied => ControlError::NotAllowed { socket },
            io::ErrorKind::WouldBlock => no_answer(),
            _ => ControlError::NotRunning {
                socket,
                reason: config::reason(&cause),
                target: target.to_string(),
            },
        }
    })?;
    request(&stream, what, until).map_err(|error| match (error, until) {
        (ControlError::Closed, Some(_)) => no_answer(),
        (error, _) => error,
    })
}

fn no_answer() -> ControlError {
    ControlError::Failed("no answer".to_owned())
}

/// Follows no link, by which the code of a site could have root command another one.
fn connect_to_no_link(path: &Path, until: Option<Instant>) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = rustix::fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode) != FileType::Socket {
        return Err(io::Error::other("it is not a socket"));
    }
    // The one that was looked at, whatever has its name by now.
    let opened = format!("/proc/self/fd/{}", socket.as_raw_fd());
    connect(Path::new(&opened), until)
}

/// With a limit it does not wait at all: a server that answers accepts at once, and one that
/// hangs has room for as many as its queue holds.
fn connect(path: &Path, until: Option<Instant>) -> io::Result<UnixStream> {
    if until.is_none() {
        return UnixStream::connect(path);
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A stream from which nothing is read after a moment.
struct Limited<'a> {
    stream: &'a UnixStream,
    until: Option<Instant>,
}

impl Read for Limited<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
        }
        self.stream.read(bytes)
    }
}

fn request(
    mut stream: &UnixStream,
    line: Line,
    until: Option<Instant>,
) -> Result<Answer, ControlError> {
    // A master that refuses the client answers without reading the request: then
    // this write fails, and the answer is there all the same.
    let _ = stream.write_all(protocol::line(&line).as_bytes());
    let mut bytes = Vec::new();
    let longest = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(Limited { stream, until }).take(longest);
    let read = reader.read_until(b'\n', &mut bytes);
    if line.request == Request::Stop {
        // The connection closes when the master's process has ended.
        let _ = io::copy(&mut reader, &mut io::sink());
    }
    if read.is_err() || !bytes.ends_with(b"\n") {
        return Err(ControlError::Closed);
    }
    let line = String::from_utf8_lossy(&bytes);
    match protocol::parse(&line) {
        Ok(Answer::Failed(reason)) => Err(ControlError::Failed(reason)),
        Ok(answer) => Ok(answer),
        Err(_) => Err(ControlError::NotUnderstood {
            line: line.trim_end().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;
    use std::time::Duration;

    /// The answer to a reload when the other side sends `answer`.
    fn reload(answer: &str) -> Result<Answer, String> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer.as_bytes()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();

        let result = request(&ours, query(Request::Reload), None);

        let mut asked = String::new();
        BufReader::new(theirs).read_line(&mut asked).unwrap();
        assert_eq!(asked, "{\"command\":\"reload\"}\n");
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn a_success_has_its_result_and_a_failure_its_reason() {
        assert_eq!(
            reload("{\"done\":\"generation 2 serves\"}\n"),
            Ok(Answer::Done("generation 2 serves".into()))
        );
        assert_eq!(
            reload("{\"failed\":\"site.toml:1:1: unknown setting\"}\n"),
            Err("site.toml:1:1: unknown setting".into())
        );
    }

    #[test]
    fn a_connection_that_closes_early_is_a_failure() {
        let closed = Err(
            "the connection closed before the result arrived; see the log of rgunicorn".to_owned(),
        );
        assert_eq!(reload(""), closed);
        assert_eq!(reload("{\"done\":\"cut sh"), closed);
        assert_eq!(reload(&"x".repeat(LONGEST_LINE + 1)), closed);
    }

    #[test]
    fn an_unknown_answer_is_a_failure() {
        assert_eq!(
            reload("HTTP/1.1 400 Bad Request\r\n"),
            Err("unexpected answer \"HTTP/1.1 400 Bad Request\"; rgunicorn and rgunicornctl are probably of different versions".into())
        );
    }

    #[test]
    fn a_server_that_does_not_answer_in_time_is_given_up_however_it_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let target = Target::Socket(path.clone());
        let ask_for = |time| {
            let until = Some(Instant::now() + time);
            ask_until(&target, query(Request::Status), until).map_err(|error| error.to_string())
        };
        let no_answer = Err("no answer".to_owned());

        // It sends a byte now and then.
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                while stream.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
            });
            assert_eq!(ask_for(Duration::from_millis(300)), no_answer);
        });

        // It accepts nothing, and its queue is full.
        let queued: Vec<_> = std::iter::from_fn(|| connect(&path, Some(Instant::now())).ok())
            .take(100_000)
            .collect();
        assert!(!queued.is_empty());
        assert_eq!(ask_for(Duration::from_secs(600)), no_answer);
    }

    #[test]
    fn the_link_that_a_site_has_made_of_its_socket_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, thief] = ["victim", "thief"].map(|name| folder.path().join(name));
        for site in [&victim, &thief] {
            std::fs::create_dir(site).unwrap();
        }
        let listener = UnixListener::bind(victim.join("control")).unwrap();
        listener.set_nonblocking(true).unwrap();
        std::os::unix::fs::symlink(victim.join("control"), thief.join("control")).unwrap();

        let until = Some(Instant::now() + Duration::from_millis(200));
        let error = ask_until(&Target::Unit(thief), query(Request::Stop), until).unwrap_err();

        assert!(error.to_string().contains("not a socket"), "{error}");
        assert!(listener.accept().is_err());
        let error = ask_until(&Target::Unit(victim), query(Request::Stop), until).unwrap_err();
        assert_eq!(error.to_string(), "no answer");
        assert!(listener.accept().is_ok());
    }

    #[test]
    fn a_socket_without_a_server_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let refused = |target: Target| {
            let error = ask(&target, Request::Status).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::from(69));
            error.to_string()
        };
        let shown = path.display();
        assert_eq!(
            refused(Target::Socket(path.clone())),
            format!(
                "cannot connect to {shown}: No such file or directory; is a server with this control socket running?"
            )
        );

        drop(UnixListener::bind(&path).unwrap());

        assert_eq!(
            refused(Target::Unit(folder.path().to_owned())),
            format!(
                "cannot connect to {shown}: Connection refused; is a server with this control socket running?"
            )
        );
        assert_eq!(
            refused(Target::Instance("no-such-instance".into())),
            "cannot connect to /run/rgunicorn/no-such-instance/control: No such file or directory; is rgunicorn@no-such-instance.service running?"
        );
    }
}
