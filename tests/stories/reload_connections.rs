//! Requests and connections during a reload: none is lost.

use crate::harness::{Broken, Server, processes};
use std::time::{Duration, Instant};

#[test]
fn a_request_that_runs_during_a_reload_is_answered_by_the_old_code() {
    let server = Server::running("slow:app").workers(1).start();
    let old = *server.worker_pids().first().unwrap();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.reload();
    assert_ne!(server.get("/").text(), format!("slow but sure, by {old}\n"));
    server.write("go", "");

    let response = running.join().unwrap().unwrap();
    assert_eq!(response.text(), format!("slow but sure, by {old}\n"));
    server.wait_until("the old worker has left", || !processes::runs(old));
}

#[test]
fn a_connection_is_not_cut_after_an_answer_that_did_not_say_so() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("keepalive", 30)
        .start();
    let mut kept = server.connect();
    kept.send("GET /until/go HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.reload();
    server.write("go", "");
    assert!(!kept.receive().says_close());

    assert_eq!(kept.get("/").status, 200);
}

#[test]
fn a_request_that_does_not_end_is_cut_after_graceful_timeout() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("graceful_timeout", 2)
        .start();
    let running = server.get_in_background("/stuck");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });
    let old = *server.worker_pids().first().unwrap();

    server.reload();

    running.join().unwrap().unwrap_err();
    server.wait_until("the old worker is gone", || !processes::runs(old));
}

#[test]
fn an_idle_connection_of_a_retiring_worker_is_kept_for_its_keepalive_time() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("keepalive", 3)
        .start();
    let old = *server.worker_pids().first().unwrap();
    let mut kept = server.connect();
    // The time begins with the response, however long the reload takes.
    let asked = Instant::now();
    kept.get("/");

    server.reload();
    kept.time_until_closed();
    let idle = asked.elapsed();

    assert!(
        (Duration::from_secs(2)..Duration::from_secs(20)).contains(&idle),
        "closed after {idle:?}"
    );
    server.wait_until("the old worker has left", || !processes::runs(old));
}

#[test]
fn a_request_that_is_half_sent_during_a_reload_is_answered() {
    let server = Server::running("bodies:app").workers(1).start();
    let mut half = server.connect();
    half.send("POST /echo/read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    // The server has taken the first half when it has answered somebody later.
    server.get("/echo/read");

    server.reload();

    assert_eq!(half.send("world").receive().text(), "helloworld");
}

#[test]
fn connections_that_wait_at_the_socket_are_taken_by_the_new_workers() {
    let server = Server::running("slow:app").workers(1).start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the only worker is busy", || {
        !server.read("go.started").is_empty()
    });
    let waiting: Vec<_> = (0..5).map(|_| server.get_in_background("/")).collect();

    server.reload();

    for request in waiting {
        assert_eq!(request.join().unwrap().unwrap().status, 200);
    }
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
}

#[test]
fn hundreds_of_kept_alive_connections_survive_a_reload() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("keepalive", 30)
        .start();
    let mut kept: Vec<_> = (0..300).map(|_| server.connect()).collect();
    for connection in &mut kept {
        assert_eq!(connection.get("/").status, 200);
    }

    server.reload();

    for connection in &mut kept {
        assert_eq!(
            connection
                .try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .map_err(Broken::from),
            Ok(())
        );
    }
    for connection in &mut kept {
        assert_eq!(
            connection.try_receive().map(|response| response.status),
            Ok(200)
        );
    }
}
