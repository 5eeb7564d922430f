//! The program as a service: clients, and its end.

use crate::machine::{Machine, program, receive, run, wait_until};
use std::io::{Read, Write};

#[test]
fn it_exits_when_nobody_asks_and_what_connects_then_is_answered_by_the_next() {
    let mut machine = Machine::new();
    let _server = machine.working("shop");
    let first = machine.start(1);

    let mut status = None;
    wait_until("it exits", || {
        status = first.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
    let mut client = machine.connect();
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    machine.start(600);

    let response = receive(&mut client);
    // On a machine that stands still for two seconds, the site counts as down.
    assert_eq!(response.status, 200);
    assert!(response.body.contains("rgunicorn_up{site=\"shop\"} "));
}

/// As many as are served at a time.
const PLACES: usize = 32;

#[test]
fn when_all_places_are_taken_the_oldest_silent_client_makes_room() {
    let mut machine = Machine::new();
    let _server = machine.working("shop");
    let mut silent: Vec<_> = (0..PLACES).map(|_| machine.connect()).collect();
    machine.start(600);

    // Without that, it would be answered when the others have had their time.
    assert_eq!(machine.get("/metrics").status, 200);

    let mut oldest = silent.remove(0);
    assert!(matches!(oldest.read(&mut [0]), Ok(0) | Err(_)));
    for mut other in silent {
        other
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(receive(&mut other).status, 200);
    }
}

#[test]
fn who_has_asked_is_answered_however_many_others_say_nothing() {
    let mut machine = Machine::new();
    let _server = machine.working("shop");
    let mut asking = machine.connect();
    asking
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let _silent: Vec<_> = (0..3 * PLACES).map(|_| machine.connect()).collect();

    machine.start(600);

    assert_eq!(receive(&mut asking).status, 200);
}

#[test]
fn clients_that_say_nothing_or_read_nothing_keep_nobody_out_for_long() {
    let mut machine = Machine::new();
    machine.start(600);

    let _silent: Vec<_> = (0..100).map(|_| machine.connect()).collect();
    let mut slow = machine.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();

    assert_eq!(machine.get("/metrics").status, 200);
}

#[test]
fn only_what_exists_can_be_read_and_nothing_can_be_changed() {
    let mut machine = Machine::new();
    machine.start(600);

    for (request, status) in [
        ("GET /metrics HTTP/1.0\r\n\r\n", 200),
        ("GET /metrics?a=b HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            405,
        ),
        ("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /../metrics HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("nonsense\r\n\r\n", 400),
    ] {
        let response = machine.ask(request);
        assert_eq!(response.status, status, "{request}: {response:?}");
    }
    let head = machine.ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    let mut client = machine.connect();
    // It is refused before it has been read.
    let _ = client.write_all(long.as_bytes());
    assert_eq!(machine.get("/metrics").status, 200);
}

#[test]
fn without_a_socket_it_says_what_to_do() {
    let output = run(&[]);

    assert_eq!(output.status.code(), Some(71));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "rgunicorn-metrics: systemd has passed no socket; start rgunicorn-metrics.socket\n"
    );
    assert_eq!(run(&["--port", "80"]).status.code(), Some(64));
    let version = program().arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"rgunicorn-metrics "));
}
