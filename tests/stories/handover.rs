//! Workers that leave give their connections to those that stay.

use crate::harness::{Connection, Running, Server, holds_within, processes};
use nix::sys::signal::Signal;
use std::time::Duration;

fn kept_alive(server: &Running, count: usize) -> Vec<Connection> {
    let mut kept: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for connection in &mut kept {
        assert!(!connection.get("/").says_close());
    }
    kept
}

fn assert_all_answered(kept: &mut [Connection]) {
    for connection in kept {
        let response = connection.get("/");
        assert_eq!(response.status, 200);
        assert!(!response.says_close());
    }
}

#[test]
fn a_reload_closes_no_connection() {
    let server = Server::running("work:app")
        .workers(2)
        .setting("keepalive", 60)
        .start();
    let mut kept = kept_alive(&server, 50);

    for _ in 0..5 {
        let old = server.worker_pids();
        server.reload();
        server.wait_until("the old workers have left", || {
            old.iter().all(|pid| !processes::runs(*pid))
        });
        assert_all_answered(&mut kept);
    }
}

#[test]
fn a_reload_under_load_closes_no_connection() {
    let server = Server::running("work:app")
        .workers(2)
        .setting("keepalive", 60)
        .start();
    let traffic = server.under_load();

    for _ in 0..10 {
        server.reload();
    }

    assert_eq!(traffic.closed(), 0);
    assert_eq!(traffic.finish(), Vec::<String>::new());
}

#[test]
fn a_worker_too_many_gives_its_connections_away() {
    let server = Server::running("work:app")
        .workers(3)
        .setting("keepalive", 60)
        .start();
    server.wait_for_workers(3);
    let mut kept = kept_alive(&server, 30);

    for wanted in [2, 1] {
        server.signal(Signal::SIGTTOU);
        server.wait_until("a worker has left", || server.worker_pids().len() == wanted);
        assert_all_answered(&mut kept);
    }
}

#[test]
fn a_worker_that_is_sent_term_gives_its_connections_away() {
    let server = Server::running("work:app")
        .workers(2)
        .setting("keepalive", 60)
        .start();
    let mut kept = kept_alive(&server, 30);
    let leaving = *server.worker_pids().first().unwrap();

    processes::signal(leaving, Signal::SIGTERM);
    server.wait_until("it has left", || !processes::runs(leaving));

    assert_all_answered(&mut kept);
}

#[test]
fn requests_and_uploads_that_are_half_sent_go_on_with_the_new_workers() {
    let server = Server::running("bodies:app")
        .workers(2)
        .setting("keepalive", 60)
        .start();
    let body = "x".repeat(300_000);
    let head = "POST /echo/read HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n";
    let mut heads: Vec<_> = (0..5).map(|_| server.connect()).collect();
    let mut uploads: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for connection in &mut heads {
        connection.send(&head[..20]);
    }
    for connection in &mut uploads {
        connection.send(head).send(&body[..200_000]);
    }
    // The server has taken these when it has answered somebody later.
    server.get("/echo/read");
    let old = server.worker_pids();

    server.reload();
    server.wait_until("the old workers have left", || {
        old.iter().all(|pid| !processes::runs(*pid))
    });

    for connection in &mut heads {
        let answer = connection.send(&head[20..]).send(&body).receive();
        assert!(answer.text() == body);
    }
    for connection in &mut uploads {
        let answer = connection.send(&body[200_000..]).receive();
        assert!(answer.text() == body);
    }
}

#[test]
fn a_retiring_worker_in_a_slow_call_gives_its_other_connections_away() {
    let server = Server::running("work:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut kept = kept_alive(&server, 5);
    let mut slow = kept.pop().unwrap();
    slow.send("GET /until/go HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_until("the worker is busy", || {
        !server.read("go.started").is_empty()
    });

    server.reload();

    assert_all_answered(&mut kept);
    server.write("go", "");
    assert!(!slow.receive().says_close());
    assert_all_answered(std::slice::from_mut(&mut slow));
}

#[test]
fn a_worker_in_a_call_without_end_leaves_when_the_master_is_gone() {
    let server = Server::running("work:app").workers(1).start();
    let mut stuck = server.connect();
    stuck.send("GET /until/never HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_until("the worker is busy", || {
        !server.read("never.started").is_empty()
    });
    let worker = processes::pid_in(&server.read("never.started"));

    processes::signal(server.pid(), Signal::SIGKILL);

    let left = || !processes::runs(worker);
    assert!(holds_within(Duration::from_secs(90), left));
}
