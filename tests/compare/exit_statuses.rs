//! The exit statuses of both servers, as the README has them in a table.

use super::venv;
use crate::harness::{
    Program,
    program::{Outcome, RGUNICORN},
};
use std::net::TcpListener;

/// What both are started with, what they exit with, and the reason.
const CASES: &[(&str, i32, i32)] = &[
    ("--version", 0, 0),
    ("--help", 0, 0),
    ("--check-config hello:app", 0, 0),
    ("--print-config hello:app", 0, 0),
    // The application.
    ("raises:app", 3, 3),
    ("nothing_like_it:app", 3, 3),
    ("hello:nothing_like_it", 4, 4),
    ("number:app", 4, 4),
    ("hello:app(", 4, 4),
    ("--preload raises:app", 1, 3),
    ("--preload hello:nothing_like_it", 1, 4),
    ("--check-config raises:app", 1, 3),
    ("--check-config hello:nothing_like_it", 1, 4),
    // The command line.
    ("--nothing-like-it hello:app", 2, 64),
    ("--workers many hello:app", 2, 64),
    ("--chdir /nowhere hello:app", 1, 64),
    ("--bind 127.0.0.1:http hello:app", 1, 64),
    // The configuration.
    ("", 1, 78),
    ("-c gone.conf.py hello:app", 1, 78),
    ("-c raises.conf.py hello:app", 1, 78),
    ("-c many.conf.py hello:app", 1, 78),
    // The operating system.
    ("--bind ADDRESS hello:app", 1, 71),
    ("--pid /nowhere/pid hello:app", 1, 71),
];

/// Runs one of them to its end, on any port unless the words name one.
#[track_caller]
fn run(program: &str, words: &[&str]) -> Outcome {
    let binds: &[&str] = if words.contains(&"--bind") {
        &[]
    } else {
        &["--bind", "127.0.0.1:0"]
    };
    Program::new(program, &[binds, words].concat())
        .file("raises.py", "raise RuntimeError('no')\n")
        .file("number.py", "app = 3\n")
        .file("raises.conf.py", "raise RuntimeError('no')\n")
        .file("many.conf.py", "workers = 'many'\n")
        .run()
}

#[test]
fn the_exit_statuses_are_gunicorns_or_tell_more() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let gunicorn = venv().join("bin/gunicorn");
    for (line, theirs, ours) in CASES {
        let line = line.replace("ADDRESS", &address);
        let words: Vec<_> = line.split_whitespace().collect();

        let by_gunicorn = run(
            gunicorn.to_str().unwrap(),
            &[&["--no-control-socket"], &*words].concat(),
        );
        let by_us = run(RGUNICORN, &words);

        assert_eq!(by_gunicorn.status, *theirs, "{line}: {by_gunicorn:?}");
        assert_eq!(by_us.status, *ours, "{line}: {by_us:?}");
    }
}
