//! The conversation: one request, then answers until the last.
//!
//! It waits for as long as the master does: how long a reload may take is the
//! master's to judge, and systemd's `TimeoutStartSec=`.

use super::cli::{CommandLine, parse_from};
use crate::config::Start;
use crate::control::protocol::{self, Answer, LONGEST_LINE, Request};
use std::env;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

const PROGRAM: &str = "rgunicornctl";

/// Why it could not be done. Each is one thing an operator can act on.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("nobody answers on {socket}: {reason}; is {target} running?")]
    NobodyThere {
        socket: String,
        reason: String,
        target: String,
    },

    #[error("not allowed to speak to {socket}; try as root, or as the user that rgunicorn runs as")]
    NotAllowed { socket: String },

    #[error("rgunicorn went away before it said what came of it: see its log")]
    Broken,

    #[error(
        "the answer {line:?} is not understood: are rgunicorn and rgunicornctl of one version?"
    )]
    NotUnderstood { line: String },

    #[error("{0}")]
    Refused(String),
}

impl Error {
    fn exit_code(&self) -> ExitCode {
        const UNAVAILABLE: u8 = 69;
        match self {
            Self::NobodyThere { .. } | Self::NotAllowed { .. } => ExitCode::from(UNAVAILABLE),
            Self::Broken | Self::NotUnderstood { .. } | Self::Refused(_) => ExitCode::FAILURE,
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let start = Start::here();
    let line = match parse_from(env::args_os(), &start) {
        Ok(line) => line,
        Err(stop) => return stop.finish(PROGRAM),
    };
    let mut stderr = io::stderr();
    let on_terminal = stderr.is_terminal();
    let asked = ask(&line, |progress| {
        if on_terminal {
            // Who does not listen any more misses nothing.
            let _ = writeln!(io::stderr(), "{}", printable(progress));
        }
    });
    match asked {
        Ok(outcome) => {
            // A unit's log has the outcome of a reload from rgunicorn itself.
            let wanted = match line.request {
                Request::Reload => on_terminal,
                Request::Status => true,
            };
            if wanted {
                let _ = writeln!(io::stdout(), "{}", printable(&outcome));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(stderr, "{PROGRAM}: {}", printable(&error.to_string()));
            error.exit_code()
        }
    }
}

fn ask(line: &CommandLine, progress: impl FnMut(&str)) -> Result<String, Error> {
    let path = line.target.socket();
    let stream = UnixStream::connect(&path).map_err(|cause| {
        let socket = path.display().to_string();
        match cause.kind() {
            io::ErrorKind::PermissionDenied => Error::NotAllowed { socket },
            _ => Error::NobodyThere {
                socket,
                reason: crate::config::reason(&cause),
                target: line.target.to_string(),
            },
        }
    })?;
    converse(&stream, line.request, progress)
}

fn converse(
    mut stream: &UnixStream,
    request: Request,
    mut progress: impl FnMut(&str),
) -> Result<String, Error> {
    // One that answers before it was asked, to refuse, is heard all the same.
    let _ = stream.write_all(protocol::line(&request).as_bytes());
    let mut answers = BufReader::new(stream);
    loop {
        let mut bytes = Vec::new();
        let longest = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        let read = answers.by_ref().take(longest).read_until(b'\n', &mut bytes);
        if read.is_err() || !bytes.ends_with(b"\n") {
            return Err(Error::Broken);
        }
        let line = String::from_utf8_lossy(&bytes);
        match protocol::parse(&line) {
            Ok(Answer::Progress(text)) => progress(&text),
            Ok(Answer::Done(text)) => return Ok(text),
            Ok(Answer::Failed(reason)) => return Err(Error::Refused(reason)),
            Err(_) => {
                return Err(Error::NotUnderstood {
                    line: line.trim_end().to_owned(),
                });
            }
        }
    }
}

/// `text` without what would make a terminal do things: it may come from an
/// application, and be read by root.
fn printable(text: &str) -> String {
    let harmless = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    text.chars()
        .map(|letter| if harmless(letter) { letter } else { '\u{fffd}' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::Target;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// What comes of a reload when the other side says `answers`: what there
    /// was to report on the way, and the outcome.
    fn reload(answers: &str) -> (Vec<String>, Result<String, String>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answers.as_bytes()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let mut told = Vec::new();

        let outcome = converse(&ours, Request::Reload, |text| told.push(text.to_owned()));

        let mut asked = String::new();
        BufReader::new(theirs).read_line(&mut asked).unwrap();
        assert_eq!(asked, "{\"command\":\"reload\"}\n");
        (told, outcome.map_err(|error| error.to_string()))
    }

    #[test]
    fn progress_is_told_until_it_is_done() {
        let (told, outcome) = reload(
            "{\"progress\":\"1 of 2\"}\n{\"progress\":\"2 of 2\"}\n{\"done\":\"generation 2 serves\"}\n",
        );
        assert_eq!(told, ["1 of 2", "2 of 2"]);
        assert_eq!(outcome, Ok("generation 2 serves".into()));
    }

    #[test]
    fn a_failure_has_its_reason() {
        let (_, outcome) = reload("{\"failed\":\"site.toml:1:1: unknown setting\"}\n");
        assert_eq!(outcome, Err("site.toml:1:1: unknown setting".into()));
    }

    #[test]
    fn a_connection_that_breaks_is_no_success() {
        let broken =
            Err("rgunicorn went away before it said what came of it: see its log".to_owned());
        assert_eq!(reload("").1, broken);
        assert_eq!(reload("{\"progress\":\"1 of 2\"}\n").1, broken);
        assert_eq!(reload("{\"done\":\"cut sh").1, broken);
        assert_eq!(reload(&"x".repeat(LONGEST_LINE + 1)).1, broken);
    }

    #[test]
    fn an_answer_in_another_language_is_no_success() {
        let (_, outcome) = reload("HTTP/1.1 400 Bad Request\r\n");
        assert_eq!(
            outcome,
            Err("the answer \"HTTP/1.1 400 Bad Request\" is not understood: are rgunicorn and rgunicornctl of one version?".into())
        );
    }

    #[test]
    fn a_socket_where_nobody_answers_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let try_it = |target: Target| {
            let line = CommandLine {
                target,
                request: Request::Status,
            };
            let error = ask(&line, |_| ()).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::from(69));
            error.to_string()
        };
        let shown = path.display();
        assert_eq!(
            try_it(Target::Socket(path.clone())),
            format!(
                "nobody answers on {shown}: No such file or directory; is an rgunicorn with this control socket running?"
            )
        );

        drop(UnixListener::bind(&path).unwrap());

        assert_eq!(
            try_it(Target::Unit(folder.path().to_owned())),
            format!(
                "nobody answers on {shown}: Connection refused; is an rgunicorn with this control socket running?"
            )
        );
        assert_eq!(
            try_it(Target::Instance("no-such-instance".into())),
            "nobody answers on /run/rgunicorn/no-such-instance/control: No such file or directory; is rgunicorn@no-such-instance.service running?"
        );
    }

    #[test]
    fn a_listening_master_is_asked_and_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let master = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            stream
                .write_all(b"{\"done\":\"2 workers ready\"}\n")
                .unwrap();
            protocol::parse::<Request>(&asked).unwrap()
        });

        let line = CommandLine {
            target: Target::Socket(path),
            request: Request::Status,
        };
        let outcome = ask(&line, |_| ()).map_err(|error| error.to_string());

        assert_eq!(outcome, Ok("2 workers ready".into()));
        assert_eq!(master.join().unwrap(), Request::Status);
    }

    #[test]
    fn a_terminal_is_not_made_to_do_things() {
        assert_eq!(
            printable("a\u{1b}[2Jb\n\tc\u{9b}"),
            "a\u{fffd}[2Jb\n\tc\u{fffd}"
        );
    }
}
