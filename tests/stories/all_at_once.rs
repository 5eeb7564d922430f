//! What is tested one by one elsewhere, at the same time: workers that are replaced after a
//! number of requests, logs that are renamed, deleted, reopened and on a full disk, a terminal
//! that nobody reads, reloads, and other programs that take over.

use super::{deaths::MACHINE, upgrades};
use crate::harness::{Server, let_pass, traffic::Load};
use nix::sys::signal::Signal;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::symlink},
    path::Path,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The terminal: a pipe that is full after a page, and is read only now and then.
struct Terminal {
    is_read: Arc<AtomicBool>,
    reading: JoinHandle<()>,
}

impl Terminal {
    fn open() -> (Self, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        fcntl_setpipe_size(&writer, 4096).unwrap();
        let is_read = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_read);
        let reading = thread::spawn(move || {
            let mut page = [0; 4096];
            loop {
                while !flag.load(Ordering::Relaxed) {
                    let_pass(Duration::from_millis(5));
                }
                if rustix::io::read(&reader, &mut page).unwrap() == 0 {
                    return;
                }
            }
        });
        (Self { is_read, reading }, writer)
    }

    fn is_read(&self, now: bool) {
        self.is_read.store(now, Ordering::Relaxed);
    }
}

/// What becomes of a log file before the server opens it anew.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Deleted,
    Renamed,
    OnAFullDisk,
}

impl Fate {
    fn strike(self, log: &Path, round: usize) {
        match self {
            Self::Deleted => fs::remove_file(log).unwrap(),
            Self::Renamed => fs::rename(log, log.with_extension(round.to_string())).unwrap(),
            Self::OnAFullDisk => {
                // At once: in between, the server could make the file again.
                let full = log.with_extension("full");
                symlink("/dev/full", &full).unwrap();
                fs::rename(full, log).unwrap();
            }
        }
    }
}

#[test]
fn no_request_is_lost_while_everything_changes() {
    // The disk is full in the last but one.
    const ROUNDS: usize = 16;
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let (terminal, writer) = Terminal::open();
    let site = upgrades::site(
        Server::running("hello:app")
            .setting("keepalive", 60)
            .setting("max_requests", 50)
            .setting("max_requests_jitter", 20)
            .setting("accesslog", "access.log")
            .setting("errorlog", "error.log")
            .setting("loglevel", "debug")
            .output(writer),
    );
    let server = &site.server;
    let logs = ["access.log", "error.log"].map(|name| server.folder().join(name));
    let traffic = server.under(Load {
        kept_alive: 4,
        ..Load::default()
    });
    let mut upgrades = 0;

    for round in 0..ROUNDS {
        let fate = match round % 4 {
            0 => Fate::Deleted,
            2 => Fate::OnAFullDisk,
            _ => Fate::Renamed,
        };
        for log in &logs {
            server.wait_until("there is a log", || log.exists());
            fate.strike(log, round);
        }
        server.signal(Signal::SIGUSR1);
        match round % 3 {
            0 if upgrades < 5 => {
                site.install_copy();
                server.forget_notices();
                server.signal(Signal::SIGUSR2);
                // Before, what waits for it is written.
                terminal.is_read(true);
                server.wait_for_reload();
                terminal.is_read(false);
                assert!(site.runs_what_is_installed());
                upgrades += 1;
            }
            0 | 1 => server.reload(),
            _ => {
                server.signal(Signal::SIGTTIN);
                server.signal(Signal::SIGTTOU);
            }
        }
        server.signal(Signal::SIGUSR1);
        traffic.wait_for_answers(200);
        if !matches!(fate, Fate::OnAFullDisk) {
            server.wait_until("there is an access log with lines again", || {
                fs::metadata(&logs[0]).is_ok_and(|file| file.len() > 0)
            });
        }
        let status = server.ctl(&["status"]);
        assert_eq!(status.status, 0, "{status:?}");
    }

    let said = |text: &str| {
        let entries = fs::read_dir(server.folder()).unwrap().map(Result::unwrap);
        // What a full disk gives has no end.
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        let names = files.map(|file| file.file_name().into_string().unwrap());
        let logs = names.filter(|name| name.starts_with("error."));
        let counts = logs.map(|name| server.read(&name).matches(text).count());
        counts.sum::<usize>()
    };
    server.wait_until("workers have been replaced after their requests", || {
        said("is replaced as max_requests says") >= 3
    });
    assert_eq!(upgrades, 5);
    assert_eq!(traffic.finish(), [""; 0]);
    for trouble in ["died", "did not leave in time", "Reload failed", "panicked"] {
        assert_eq!(said(trouble), 0, "{trouble}");
    }
    server.wait_for_workers(2);
    terminal.is_read(true);
    assert_eq!(server.stop(), 0);
    drop(site);
    terminal.reading.join().unwrap();
}
