//! Stops where nobody else holds the sockets: `drain_time`, and what waits to be accepted.

use crate::harness::{Running, Server, client::Connection};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// A server that was told to stop, and drains for as long as the test likes.
fn draining(workers: u16) -> (Running, Vec<Connection>) {
    let server = Server::running("threaded:app")
        .binding_a_port()
        .workers(workers)
        .setting("health_path", "/health")
        .setting("keepalive", 60)
        .setting("drain_time", 3600)
        .start();
    server.wait_for_workers(workers.into());
    let mut kept: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for connection in &mut kept {
        assert!(!connection.get("/pid").says_close());
    }
    server.signal(Signal::SIGTERM);
    server.wait_for_notice("STOPPING=1");
    (server, kept)
}

#[test]
fn a_draining_server_answers_and_each_answer_closes_its_connection() {
    let (server, mut kept) = draining(2);

    for connection in &mut kept {
        let response = connection.get("/pid");
        assert_eq!(response.status, 200);
        assert!(response.says_close());
        assert_eq!(connection.rest(), Ok(Vec::new()));
    }
    let response = server.get("/pid");
    assert_eq!(response.status, 200);
    assert!(response.says_close());
    assert_eq!(server.get("/health").status, 503);
    assert!(server.runs());

    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_worker_that_is_busy_knows_of_the_drain() {
    let (server, _kept) = draining(1);
    let mut busy = server.begin_until("go");

    let response = server.get("/health");

    assert_eq!(response.status, 503);
    server.write("go", "");
    let response = busy.receive();
    assert_eq!(response.status, 200);
    assert!(response.says_close());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn systemd_is_told_of_the_drain_and_gives_it_time() {
    let (server, _kept) = draining(1);

    server.wait_until("the status line says so", || {
        let lines = server.notified("STATUS");
        (lines.iter()).any(|line| line.starts_with("generation 1: draining, 1 worker ready"))
    });
    server.forget_notices();
    server.wait_for_notice("EXTEND_TIMEOUT_USEC=10000000");
    assert!(server.ctl(&["status"]).stdout.contains("draining"));
    server.wait_for_log("Serving for another 3600 s before the stop (SIGTERM)");

    server.signal(Signal::SIGINT);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_drain_ends_by_itself_and_closes_idle_connections() {
    let server = Server::running("threaded:app")
        .binding_a_port()
        .setting("keepalive", 3600)
        .argument("--drain-time")
        .argument("2")
        .start();
    let mut idle = server.connect();
    idle.get("/pid");

    let start = Instant::now();
    server.signal(Signal::SIGTERM);

    assert_eq!(idle.rest(), Ok(Vec::new()));
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn what_waits_to_be_accepted_is_served_before_the_listener_closes() {
    for (class, threads) in [("sync", 1), ("gthread", 2)] {
        let server = Server::running("threaded:app")
            .binding_a_port()
            .setting("worker_class", class)
            .setting("threads", threads)
            .start();
        let busy: Vec<_> = (0..threads)
            .map(|number| server.begin_until(&format!("go{number}")))
            .collect();
        let waiting: Vec<_> = (0..20).map(|_| server.get_in_background("/pid")).collect();

        server.signal(Signal::SIGTERM);
        server.wait_for_notice("STOPPING=1");
        for number in 0..threads {
            server.write(&format!("go{number}"), "");
        }

        for request in waiting {
            let response = request.join().unwrap().unwrap();
            assert_eq!(response.status, 200, "{class}");
            assert!(response.says_close());
        }
        for mut request in busy {
            assert_eq!(request.receive().status, 200);
        }
        assert_eq!(server.wait_for_exit(), 0);
    }
}

#[test]
fn a_listener_is_closed_while_requests_are_still_finished() {
    let server = Server::running("threaded:app")
        .binding_a_port()
        .workers(2)
        .setting("worker_class", "gthread")
        .setting("threads", 2)
        .start();
    server.wait_for_workers(2);
    let mut busy = server.begin_until("go");

    server.signal(Signal::SIGTERM);

    server.wait_until("connections are refused", || {
        Connection::open(&server.address())
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    server.write("go", "");
    assert_eq!(busy.receive().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn workers_share_what_waits_to_be_accepted() {
    const WORKERS: u16 = 3;
    let server = Server::running("slow:app")
        .binding_a_port()
        .workers(WORKERS)
        .start();
    server.wait_for_workers(WORKERS.into());
    let busy: Vec<_> = (0..WORKERS)
        .map(|number| server.begin_until(&format!("go{number}")))
        .collect();
    let waiting: Vec<_> = (0..12)
        .map(|_| server.get_in_background("/sleep/0.3"))
        .collect();

    server.signal(Signal::SIGTERM);
    server.wait_for_notice("STOPPING=1");
    for number in 0..WORKERS {
        server.write(&format!("go{number}"), "");
    }

    let served_by: BTreeSet<String> = waiting
        .into_iter()
        .map(|request| request.join().unwrap().unwrap().text())
        .collect();
    assert!(served_by.len() > 1, "{served_by:?}");
    drop(busy);
    assert_eq!(server.wait_for_exit(), 0);
}
