//! `rgunicornctl top`: what servers do, refreshed each second in a terminal.

use crate::cli::Target;
use crate::client::{self, ControlError};
use crate::terminal::Terminal;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rgunicorn_control::instances;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use screen::{Colours, View};
use std::env;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

mod screen;
pub use screen::{Site, State};

const REFRESH: Duration = Duration::from_secs(1);

/// How long a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The most servers that are asked at one time. Each costs a descriptor and a thread.
const MOST_AT_ONCE: usize = 256;

/// What a thread needs that asks a server, with room to spare.
const STACK_SIZE: usize = 512 * 1024;

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Another look.
    Refresh,
    /// The same on a screen of another size.
    Redraw,
    Nothing,
    Quit,
    /// The program was sent this signal.
    End(Signal),
}

/// Shows servers until the user has seen enough. Returns the signal that ended it, if one did.
pub fn run(target: &Target) -> Result<Option<Signal>, ControlError> {
    // A server that cannot be asked now is an error, later it is news.
    if !matches!(target, Target::Every(_)) {
        client::summary(target, Some(Instant::now() + ANSWER_TIMEOUT))?;
    }
    let signals = signals().map_err(|error| ControlError::Failed(error.to_string()))?;
    let terminal = Terminal::take_over().ok_or(ControlError::NoTerminal)?;
    let no_color = env::var("NO_COLOR").ok();
    let colours = Colours::wanted(no_color.as_deref());
    let mut view = look(target);
    let mut due = Instant::now() + REFRESH;
    loop {
        let (width, height) = terminal.size();
        terminal.show(&view.lines(width, height, colours));
        loop {
            match next(&signals, due) {
                Wanted::Nothing => {}
                Wanted::Redraw => break,
                Wanted::Refresh => {
                    view = look(target);
                    due = Instant::now() + REFRESH;
                    break;
                }
                Wanted::Quit => return Ok(None),
                Wanted::End(signal) => return Ok(Some(signal)),
            }
        }
    }
}

/// One look, for which no terminal is needed. A server that is asked for alone has to answer.
pub fn once(target: &Target) -> Result<Vec<Site>, ControlError> {
    if !matches!(target, Target::Every(_)) {
        client::summary(target, Some(Instant::now() + ANSWER_TIMEOUT))?;
    }
    Ok(match look(target) {
        View::One(site) => vec![*site],
        View::All(sites) => sites,
    })
}

/// Signals that would leave the terminal as it is, and the one of a new size.
fn signals() -> nix::Result<SignalFd> {
    let signals: SigSet = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGWINCH,
    ]
    .into_iter()
    .collect();
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Waits for a key, a signal, or until `due`.
fn next(signals: &SignalFd, due: Instant) -> Wanted {
    let left = due.saturating_duration_since(Instant::now());
    let stdin = io::stdin();
    let mut sources = [
        PollFd::new(&stdin, PollFlags::IN),
        PollFd::new(signals, PollFlags::IN),
    ];
    match poll(&mut sources, Timespec::try_from(left).ok().as_ref()) {
        Ok(0) => return Wanted::Refresh,
        Ok(_) | Err(Errno::INTR) => {}
        Err(_) => return Wanted::Quit,
    }
    let has_key = !sources[0].revents().is_empty();
    if let Ok(Some(signal)) = signals.read_signal() {
        let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
        return match Signal::try_from(number) {
            Ok(Signal::SIGWINCH) => Wanted::Redraw,
            Ok(signal) => Wanted::End(signal),
            Err(_) => Wanted::Nothing,
        };
    }
    if !has_key {
        return Wanted::Nothing;
    }
    let mut keys = [0; 64];
    match rustix::io::read(&stdin, &mut keys) {
        Err(Errno::INTR | Errno::AGAIN) => Wanted::Nothing,
        // The terminal is gone.
        Ok(0) | Err(_) => Wanted::Quit,
        Ok(count) => meaning(&keys[..count]),
    }
}

fn meaning(keys: &[u8]) -> Wanted {
    const CONTROL_C: u8 = 3;
    const CONTROL_D: u8 = 4;
    let quits = |key: &u8| matches!(*key, b'q' | b'Q' | CONTROL_C | CONTROL_D);
    if keys.iter().any(quits) {
        Wanted::Quit
    } else {
        Wanted::Nothing
    }
}

fn look(target: &Target) -> View {
    match target {
        Target::Every(folder) => {
            let target = |name| Target::UserInstance {
                name,
                folder: folder.clone(),
            };
            let targets: Vec<_> = (instances::running(folder).into_iter())
                .map(target)
                .collect();
            View::All(sites(&targets, ANSWER_TIMEOUT))
        }
        Target::Socket(_) | Target::Instance(_) | Target::UserInstance { .. } | Target::Unit(_) => {
            View::One(site(target, ANSWER_TIMEOUT).into())
        }
    }
}

/// In the order of the targets. They are asked at the same time: one that hangs delays none.
fn sites(targets: &[Target], within: Duration) -> Vec<Site> {
    let mut sites = Vec::new();
    for some in targets.chunks(MOST_AT_ONCE) {
        thread::scope(|scope| {
            let ask = |target| {
                let thread = thread::Builder::new().stack_size(STACK_SIZE);
                (
                    target,
                    thread.spawn_scoped(scope, move || site(target, within)),
                )
            };
            let asked: Vec<_> = some.iter().map(ask).collect();
            sites.extend(asked.into_iter().map(|(target, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| no_answer(target)),
                // There is no other thread to be had.
                Err(_) => site(target, within),
            }));
        });
    }
    sites
}

fn no_answer(target: &Target) -> Site {
    Site {
        name: name_of(target),
        state: Err("no answer".to_owned()),
    }
}

fn name_of(target: &Target) -> String {
    target.name().unwrap_or("rgunicorn").to_owned()
}

fn site(target: &Target, within: Duration) -> Site {
    let until = Some(Instant::now() + within);
    let state = client::summary(target, until).and_then(|summary| {
        Ok(State {
            summary,
            workers: client::workers(target, until)?,
        })
    });
    Site {
        name: name_of(target),
        state: state.map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;
    use std::sync::Barrier;

    #[test]
    fn servers_are_asked_at_the_same_time() {
        const SERVERS: usize = 20;
        let folder = tempfile::tempdir().unwrap();
        let all_are_asked = Arc::new(Barrier::new(SERVERS));
        let mut expected = Vec::new();
        for number in 0..SERVERS {
            let name = format!("site{number:02}");
            std::fs::create_dir(folder.path().join(&name)).unwrap();
            let control = folder.path().join(&name).join("control");
            let listener = UnixListener::bind(control).unwrap();
            expected.push((name, "7.8.9".to_owned()));
            let all_are_asked = Arc::clone(&all_are_asked);
            thread::spawn(move || {
                for answer in [
                    "{\"summary\":{\"version\":\"7.8.9\"}}\n",
                    "{\"workers\":{\"workers\":[]}}\n",
                ] {
                    let (mut stream, _) = listener.accept().unwrap();
                    BufReader::new(&stream)
                        .read_line(&mut String::new())
                        .unwrap();
                    all_are_asked.wait();
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
        let target = |(name, _): &(String, _)| Target::UserInstance {
            name: name.clone(),
            folder: folder.path().to_owned(),
        };
        let targets: Vec<_> = expected.iter().map(target).collect();

        // Asked one after the other, the first would not answer before this has passed.
        let sites = sites(&targets, Duration::from_secs(60));

        let seen: Vec<_> = (sites.iter())
            .map(|site| {
                let state = site.state.as_ref();
                let version = state.map(|state| state.summary.version.clone());
                (site.name.clone(), version.unwrap_or_else(Clone::clone))
            })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_key_quits_and_others_do_nothing() {
        for keys in [&b"q"[..], b"xQ", b"\x03"] {
            assert_eq!(meaning(keys), Wanted::Quit);
        }
        assert_eq!(meaning(b"\x1b[A"), Wanted::Nothing);
    }
}
