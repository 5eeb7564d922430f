//! What the log says: the server's own words, and the application's.

use crate::harness::{Connection, Server, processes};
use nix::sys::signal::Signal;
use rustix::pipe::{PipeFlags, pipe_with};
use std::{fs::File, io::Read, os::fd::OwnedFd, thread};

/// A pipe that no other test's processes inherit.
fn pipe_of_its_own() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}

#[test]
fn the_log_names_the_workers_the_address_the_reload_and_the_stop() {
    let server = Server::running("hello:app").workers(2).start();
    let workers = server.wait_for_workers(2);
    server.reload();
    server.stop();

    let log = server.stderr();

    for pid in workers {
        assert!(
            log.contains(&pid.to_string()),
            "worker {pid} is not in\n{log}"
        );
    }
    for word in ["rgunicorn", "127.0.0.1:", "eload", "top"] {
        assert!(log.contains(word), "{word:?} is not in\n{log}");
    }
    assert!(!log.contains('\u{1b}'), "colours in a file:\n{log}");
}

#[test]
fn what_the_application_prints_arrives() {
    let server = Server::running("logs:app").workers(1).start();

    for (path, text) in [
        ("/print", "printed by the app"),
        ("/stderr", "written to stderr by the app"),
        ("/descriptor", "written to descriptor 2 by the app"),
        ("/logging", "shop.orders:logged by the app"),
        ("/unconfigured", "logged without any configuration"),
        ("/errors", "second of two lines"),
        ("/warning", "UserWarning: warned by the app"),
        ("/thread", "ZeroDivisionError"),
    ] {
        assert_eq!(server.get(path).status, 200, "{path}");
        server.wait_for_log(text);
        assert_eq!(server.log_count(text), 1, "{path}");
    }
}

#[test]
fn what_is_printed_while_the_application_loads_arrives() {
    let server = Server::running("shop:app")
        .file(
            "shop.py",
            "print('printed at import')\nfrom hello import app\n",
        )
        .start();

    server.wait_for_log("printed at import");
}

#[test]
fn a_traceback_arrives_in_one_piece() {
    let server = Server::running("logs:app").workers(1).start();

    assert_eq!(server.get("/traceback").status, 500);

    server.wait_for_log("KeyError: 'the traceback of a request'");
    let log = server.stderr();
    let start = log.find("Traceback (most recent call last)").unwrap();
    let end = log.find("KeyError: ").unwrap();
    assert_eq!(
        log[start..end].matches("in fail_deeply").count(),
        4,
        "{log}"
    );
    assert!(
        log[..end].contains("/traceback"),
        "the request is not named in\n{log}"
    );
}

#[test]
fn a_flood_of_output_is_neither_lost_nor_torn() {
    let server = Server::running("logs:app").workers(2).start();

    let floods: Vec<_> = (0..4).map(|_| server.get_in_background("/flood")).collect();
    for flood in floods {
        assert_eq!(flood.join().unwrap().unwrap().status, 200);
    }

    server.wait_until("all lines are there", || {
        server.log_count("flood 001999") == 4
    });
    let log = server.stderr();
    assert_eq!(log.matches("flood 0").count(), 8000);
}

#[test]
fn a_quieter_level_says_less() {
    let loud = Server::running("hello:app")
        .setting("loglevel", "debug")
        .start();
    let quiet = Server::running("hello:app")
        .setting("loglevel", "error")
        .start();
    loud.get("/");
    quiet.get("/");
    loud.stop();
    quiet.stop();

    assert_eq!(quiet.stderr(), "");
    assert!(!loud.stderr().is_empty());
}

#[test]
fn a_reader_of_the_log_that_goes_away_kills_nobody() {
    let (reader, writer) = pipe_of_its_own();
    let server = Server::running("logs:app")
        .workers(2)
        .output(writer)
        .start();
    let before = server.wait_for_workers(2);
    drop(reader);

    for path in ["/print", "/stderr", "/errors", "/traceback", "/logging"] {
        let response = Connection::open(&server.address()).unwrap().get(path);
        assert!(
            response.status == 200 || response.status == 500,
            "{path}: {response:?}"
        );
    }
    processes::signal(*before.first().unwrap(), Signal::SIGKILL);
    server.wait_until("the worker is replaced", || {
        let now = server.worker_pids();
        now.len() == 2 && now != before
    });
    server.reload();

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_reader_of_the_log_that_stops_reading_keeps_nobody_waiting() {
    let (reader, writer) = pipe_of_its_own();
    let server = Server::running("hello:app")
        .workers(2)
        .setting("loglevel", "debug")
        .output(writer)
        .start();

    // Each makes the master say something; the pipe is full long before the end.
    for _ in 0..3 {
        server.reload();
    }
    for _ in 0..500 {
        server.request("BAD\r\n\r\n");
    }

    assert_eq!(server.get("/").status, 200);
    let drain = thread::spawn(move || {
        let mut text = Vec::new();
        File::from(reader).read_to_end(&mut text).unwrap();
    });
    assert_eq!(server.stop(), 0);
    drop(server);
    drain.join().unwrap();
}

#[test]
fn a_reader_of_the_log_that_reads_late_misses_nothing() {
    const REQUESTS: usize = 500;
    let (reader, writer) = pipe_of_its_own();
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "def app(environ, start_response):\n    raise KeyError(environ['PATH_INFO'])\n",
        )
        .output(writer)
        .start();

    // Their tracebacks are several times as long as what a pipe holds.
    for number in 0..REQUESTS {
        assert_eq!(server.get(&format!("/late/{number}")).status, 500);
    }
    let read = thread::spawn(move || {
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(server.stop(), 0);
    drop(server);

    let text = read.join().unwrap();
    let found: Vec<usize> = text
        .lines()
        .filter_map(|line| line.strip_prefix("KeyError: '/late/")?.strip_suffix('\''))
        .filter_map(|number| number.parse().ok())
        .collect();
    assert_eq!(found, (0..REQUESTS).collect::<Vec<_>>());
    assert!(!text.contains("dropped"), "{text}");
}

#[test]
fn control_characters_of_a_client_do_not_reach_a_terminal() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("loglevel", "debug")
        .start();

    server.request("GET /\u{1b}[31mred HTTP/1.1\r\nHost: a\r\n\r\n");
    server.request("GET / HTTP/1.1\r\nHost: a\r\nX: \u{1b}[31m\r\n\r\n");

    assert!(!server.stderr().contains('\u{1b}'));
}
