//! `health_path`: what a balancer learns, without the application.

use crate::harness::{Running, Server};
use nix::sys::signal::Signal;
use serde_json::Value;

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

fn requests(server: &Running) -> u64 {
    let outcome = server.ctl(&["workers", "--json"]);
    let list: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let workers = list["workers"].as_array().unwrap();
    let counts = workers.iter().map(|it| it["requests"].as_u64().unwrap());
    counts.sum()
}

/// A request may be counted a moment after its answer.
#[track_caller]
fn wait_for_requests(server: &Running, count: u64) {
    server.wait_until("the requests are counted", || requests(server) >= count);
    assert_eq!(requests(server), count);
}

#[test]
fn health_is_answered_without_the_application() {
    let server = Server::running("threaded:app")
        .argument("--health-path")
        .argument("/health")
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();

    let response = connection.get("/health");
    assert_eq!((response.status, response.text()), (200, "ok\n".to_owned()));
    assert!(!response.says_close());
    connection.send("HEAD /health?verbose HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.receive_head().status, 200);
    assert_eq!(requests(&server), 0);

    // The application has no such path.
    let posted = server.request("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(posted.status, 500);
    assert_eq!(connection.get("/pid").status, 200);
    wait_for_requests(&server, 2);
}

#[test]
fn without_a_health_path_the_application_gets_all_requests() {
    let server = Server::running("threaded:app").start();

    assert_eq!(server.get("/health").status, 500);
    wait_for_requests(&server, 1);
}

#[test]
fn health_is_answered_on_new_connections_while_all_workers_are_busy() {
    for (class, workers, threads) in [("sync", 1, 1), ("sync", 2, 1), ("gthread", 2, 2)] {
        let server = Server::running("threaded:app")
            .workers(workers)
            .setting("worker_class", class)
            .setting("threads", threads)
            .setting("health_path", "/health")
            .start();
        server.wait_for_workers(workers.into());
        let count = i64::from(workers) * threads;
        let busy: Vec<_> = (0..count)
            .map(|number| server.begin_until(&format!("go{number}")))
            .collect();
        // These wait for the application before it.
        let waiting: Vec<_> = (0..5).map(|_| server.get_in_background("/pid")).collect();

        assert_eq!(server.get("/health").status, 200, "{class}, {workers}");
        assert_eq!(server.get("/health").status, 200, "{class}, {workers}");

        for number in 0..count {
            server.write(&format!("go{number}"), "");
        }
        for request in waiting {
            assert_eq!(request.join().unwrap().unwrap().status, 200);
        }
        for mut request in busy {
            assert_eq!(request.receive().status, 200);
        }
        wait_for_requests(&server, u64::try_from(count).unwrap() + 5);
    }
}

#[test]
fn health_is_503_as_soon_as_the_server_is_told_to_stop() {
    let server = Server::running("threaded:app")
        .workers(2)
        .setting("health_path", "/health")
        .start();
    let mut busy = server.begin_until("go");
    let (first, rest) = HEALTH.split_at(HEALTH.len() - 4);
    let mut checks: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for check in &mut checks {
        assert_eq!(check.get("/health").status, 200);
        // A connection that is in a request is not closed for being idle.
        check.send(first);
    }

    server.signal(Signal::SIGTERM);
    server.wait_for_notice("STOPPING=1");
    for check in &mut checks {
        let response = check.send(rest).receive();
        assert_eq!(response.status, 503);
        assert_eq!(response.text(), "stopping\n");
        assert!(response.says_close());
    }

    server.write("go", "");
    assert_eq!(busy.receive().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_reload_changes_the_health_path_and_is_no_stop() {
    let server = Server::running("threaded:app")
        .setting("health_path", "/health")
        .start();
    server.set("health_path", "/ready");

    server.reload();

    assert_eq!(server.get("/ready").status, 200);
    assert_eq!(server.get("/health").status, 500);
}
