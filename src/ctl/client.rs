//! The commands, and the connection to the master: one request, one answer.
//!
//! There is no time-out: how long a reload may take is decided by the master, with
//! the setting `boot_timeout`.

use crate::cli::{CommandLine, Format, Target, parse_from};
use crate::{json, listing, tables, top};
use rgunicorn::config::{self, Start};
use rgunicorn_control::memory::Memory;
use rgunicorn_control::metrics::{self, Scrape, Site, State};
use rgunicorn_control::protocol::{
    self, Answer, LONGEST_LINE, Line, Listener, Outcome, Request, Setting, Summary, Worker,
};
use rgunicorn_control::queue_length;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::env;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const PROGRAM: &str = "rgunicornctl";

/// How long the answers for `metrics` may take together.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest list that is asked for: more than there can be workers.
const MOST_ROWS: usize = 65_536;

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
    fn not_understood(answer: &Answer) -> Self {
        let line = protocol::line(answer);
        Self::NotUnderstood {
            line: line.trim_end().to_owned(),
        }
    }

    fn exit_code(&self) -> ExitCode {
        const UNAVAILABLE: u8 = 69;
        match self {
            Self::NotRunning { .. } | Self::NotAllowed { .. } => ExitCode::from(UNAVAILABLE),
            Self::Closed | Self::NotUnderstood { .. } | Self::NoTerminal | Self::Failed(_) => {
                ExitCode::FAILURE
            }
        }
    }
}

/// The whole program.
pub fn run() -> ExitCode {
    let start = Start::here();
    let line = match parse_from(env::args_os(), &start) {
        Ok(line) => line,
        Err(stop) => return stop.finish(PROGRAM),
    };
    let mut stderr = io::stderr();
    if line.format == Format::Screen {
        return match top::run(&line.target) {
            Ok(None) => ExitCode::SUCCESS,
            Ok(Some(signal)) => ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(0)),
            Err(error) => {
                let _ = writeln!(stderr, "{PROGRAM}: {}", printable(&error.to_string()));
                error.exit_code()
            }
        };
    }
    match carry_out(&line) {
        Ok(result) => {
            // A unit's log has the outcome of a reload from rgunicorn itself.
            let is_logged = (line.request, line.format) == (Request::Reload, Format::Text);
            if !is_logged || stderr.is_terminal() {
                let _ = writeln!(io::stdout(), "{}", printable(&result));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            if matches!(line.format, Format::Json | Format::JsonOnce) {
                let failure = json::failure(&error.to_string());
                let _ = writeln!(io::stdout(), "{}", printable(&failure));
            }
            for text in printable(&error.to_string()).lines() {
                let _ = writeln!(stderr, "{PROGRAM}: {text}");
            }
            error.exit_code()
        }
    }
}

/// What a command prints.
fn carry_out(line: &CommandLine) -> Result<String, ControlError> {
    let target = &line.target;
    match line.request {
        Request::Reload
        | Request::Status
        | Request::Scale { .. }
        | Request::ScaleBy { .. }
        | Request::RestartWorker { .. }
        | Request::Stop => order(line),
        Request::Summary if line.format == Format::JsonOnce => {
            top::once(target).map(|sites| json::servers(&sites))
        }
        Request::Summary if line.format == Format::Prometheus => {
            Ok(metrics::text(&[site(target)?]).trim_end().to_owned())
        }
        Request::Summary => Ok(json::status(&summary(target, None)?)),
        Request::Workers { .. } => {
            let workers = workers(target, None)?;
            Ok(match line.format {
                Format::Json => json::workers(&workers),
                _ => tables::workers(&workers, terminal_width()),
            })
        }
        Request::Listeners { .. } => {
            let listeners = listeners(target, None)?;
            Ok(match line.format {
                Format::Json => json::listeners(&listeners),
                _ => tables::listeners(&listeners),
            })
        }
        Request::Config { .. } => {
            let settings = settings(target)?;
            Ok(match line.format {
                Format::Json => json::settings(&settings),
                _ => listing::settings(&settings),
            })
        }
        Request::Stacks { .. } => match ask(target, line.request)? {
            Answer::Stacks(stacks) => Ok(match line.format {
                Format::Json => json::stacks(&stacks),
                _ => listing::stacks(&stacks),
            }),
            other => Err(ControlError::not_understood(&other)),
        },
    }
}

/// Has the master do something, and tells what has come of it.
fn order(line: &CommandLine) -> Result<String, ControlError> {
    let fields = line.format == Format::Json;
    let asked = Line {
        request: line.request,
        fields,
    };
    match ask_until(&line.target, asked, None)? {
        Answer::Done(result) if fields => Ok(json::outcome(&Outcome::of(result))),
        Answer::Done(result) => Ok(result),
        Answer::Outcome(outcome) => Ok(json::outcome(&outcome)),
        other => Err(ControlError::not_understood(&other)),
    }
}

/// The state of a server, which has to answer until then; `None`: it may take any time.
pub fn summary(target: &Target, until: Option<Instant>) -> Result<Summary, ControlError> {
    match ask_until(target, query(Request::Summary), until)? {
        Answer::Summary(summary) => Ok(summary),
        other => Err(ControlError::not_understood(&other)),
    }
}

/// All that a server says of itself for its metrics.
fn site(target: &Target) -> Result<Site, ControlError> {
    let queue = |listener: Listener| {
        let length = queue_length::of(&listener.kind, listener.inode);
        (listener.address, length)
    };
    // It may be a timer's.
    let until = Some(Instant::now() + SCRAPE_TIMEOUT);
    let summary = summary(target, until)?;
    let scrape = Scrape {
        master: Memory::of_master(summary.pid),
        workers: workers(target, until)?,
        queues: listeners(target, until)?.into_iter().map(queue).collect(),
        summary,
    };
    Ok(Site {
        name: target.name().map(str::to_owned),
        state: State::Answered(scrape.into()),
    })
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

fn listeners(target: &Target, until: Option<Instant>) -> Result<Vec<Listener>, ControlError> {
    in_parts(
        |from| match ask_until(target, query(Request::Listeners { from }), until)? {
            Answer::Listeners(part) => Ok((part.listeners, part.next)),
            other => Err(ControlError::not_understood(&other)),
        },
    )
}

fn settings(target: &Target) -> Result<Vec<Setting>, ControlError> {
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

fn ask(target: &Target, what: Request) -> Result<Answer, ControlError> {
    ask_until(target, query(what), None)
}

/// A question: what is answered has fields or is text, and no choice.
fn query(request: Request) -> Line {
    Line {
        request,
        fields: false,
    }
}

fn ask_until(target: &Target, what: Line, until: Option<Instant>) -> Result<Answer, ControlError> {
    let path = target.socket();
    let stream = connect(&path, until).map_err(|cause| {
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

/// How many columns there are, if the result goes to a terminal.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
}

/// `text` without control characters: it may come from an application, and root
/// may read it in a terminal.
fn printable(text: &str) -> String {
    let is_harmless = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    text.chars()
        .map(|letter| {
            if is_harmless(letter) {
                letter
            } else {
                '\u{fffd}'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

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

    /// What a command prints when the master gives these answers, and what it was asked.
    fn told(
        request: Request,
        format: Format,
        answers: &'static [&'static str],
    ) -> (Result<String, String>, Vec<Request>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let master = thread::spawn(move || {
            let answered = answers.iter().map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                BufReader::new(&stream).read_line(&mut asked).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                protocol::parse::<Request>(&asked).unwrap()
            });
            answered.collect::<Vec<_>>()
        });

        let line = CommandLine {
            target: Target::Socket(path),
            request,
            format,
        };
        let outcome = carry_out(&line).map_err(|error| error.to_string());

        (outcome, master.join().unwrap())
    }

    #[test]
    fn a_master_is_asked_and_answers() {
        let (outcome, asked) = told(
            Request::Status,
            Format::Text,
            &["{\"done\":\"2 workers ready\"}\n"],
        );

        assert_eq!(outcome, Ok("2 workers ready".into()));
        assert_eq!(asked, [Request::Status]);
    }

    #[test]
    fn a_long_list_is_asked_for_in_parts() {
        let (outcome, asked) = told(
            Request::Listeners { from: 0 },
            Format::Json,
            &[
                "{\"listeners\":{\"listeners\":[{\"address\":\":80\"}],\"next\":1}}\n",
                "{\"listeners\":{\"listeners\":[{\"address\":\":81\"}],\"next\":1}}\n",
            ],
        );

        let text = outcome.unwrap();
        assert!(text.contains(":80") && text.contains(":81"), "{text}");
        let parts = [0, 1].map(|from| Request::Listeners { from });
        assert_eq!(asked, parts);
    }

    #[test]
    fn an_order_has_its_outcome_as_json_also_from_a_master_that_answers_with_text() {
        for (answer, outcome) in [
            (
                "{\"outcome\":{\"message\":\"generation 2 serves\",\"generation\":2}}\n",
                "{\"outcome\":\"done\",\"message\":\"generation 2 serves\",\"generation\":2}",
            ),
            (
                "{\"done\":\"generation 2 serves\"}\n",
                "{\"outcome\":\"done\",\"message\":\"generation 2 serves\"}",
            ),
        ] {
            let answers = Box::leak(Box::new([answer]));
            let (result, asked) = told(Request::Reload, Format::Json, answers);
            assert_eq!(result, Ok(outcome.into()));
            assert_eq!(asked, [Request::Reload]);
        }
    }

    #[test]
    fn an_answer_to_another_question_is_a_failure() {
        let (outcome, _) = told(
            Request::Workers { from: 0 },
            Format::Text,
            &["{\"done\":\"2 workers ready\"}\n"],
        );

        let reason = outcome.unwrap_err();
        assert!(reason.contains("of different versions"), "{reason}");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(
            printable("a\u{1b}[2Jb\n\tc\u{9b}"),
            "a\u{fffd}[2Jb\n\tc\u{fffd}"
        );
    }
}
