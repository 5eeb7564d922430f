//! Requests that take longer than `request_timeout`, before the application sees them or
//! in it.

use crate::harness::{Broken, Running, Server, let_pass};
use std::time::Duration;

/// Of both classes, with one request at a time.
const CLASSES: [&str; 2] = ["sync", "gthread"];

/// A `request_timeout` for requests of which some are to be answered in time, also on a machine
/// that stands still for a while.
const LIMIT: i64 = 4;

fn limited(class: &str, seconds: i64) -> Server {
    Server::running("threaded:app")
        .workers(1)
        .setting("worker_class", class)
        .setting("timeout", 300)
        .setting("request_timeout", seconds)
}

#[test]
fn a_request_that_the_application_does_not_answer_in_time_is_answered_503() {
    for class in CLASSES {
        let server = limited(class, LIMIT).start();
        let workers = server.worker_pids();
        let mut slow = server.begin_until("go");

        let response = slow.receive();

        assert_eq!(response.status, 503, "{class}");
        assert_eq!(response.header("Retry-After"), Some("1"));
        assert!(response.says_close());
        assert!(seconds_in_log(&server, "GET /until/go") >= LIMIT);
        server.wait_for_log("longer than request_timeout: the client was answered 503");
        server.wait_for_log("in until");
        assert_eq!(server.worker_pids(), workers, "{class}");
        // What the application answers late is discarded, and it goes on.
        server.write("go", "");
        assert_eq!(server.get("/").status, 200, "{class}");
        assert_eq!(slow.rest(), Ok(Vec::new()));
    }
}

/// For how long the request has run by then, as the log says.
#[track_caller]
fn seconds_in_log(server: &Running, request: &str) -> i64 {
    let says = format!("The request {request} has run for ");
    server.wait_for_log(&says);
    let log = server.stderr();
    let (_, rest) = log.split_once(&says).unwrap();
    let (seconds, _) = rest.split_once(" s").unwrap();
    seconds.parse().unwrap()
}

#[test]
fn a_head_request_that_takes_too_long_is_answered_without_a_body() {
    let server = limited("gthread", 1).start();
    let mut slow = server.connect();
    slow.send("HEAD /until/go HTTP/1.1\r\nHost: a\r\n\r\n");

    assert_eq!(slow.receive_head().status, 503);
    assert_eq!(slow.rest(), Ok(Vec::new()));
    server.write("go", "");
}

#[test]
fn a_response_that_was_begun_is_broken_off_when_it_takes_too_long() {
    for class in CLASSES {
        let server = limited(class, LIMIT)
            .setting("app", "begun:app")
            .file(
                "begun.py",
                "import threaded\ndef begun():\n    yield b'begun'\n    threaded.until('go')\n    \
                 yield b'late'\ndef app(environ, start_response):\n    \
                 if environ['PATH_INFO'] != '/begun':\n        \
                 return threaded.app(environ, start_response)\n    \
                 start_response('200 OK', [])\n    return begun()\n",
            )
            .start();
        let mut slow = server.connect();
        slow.send("GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");

        assert_eq!(slow.read_head().unwrap().status, 200);
        assert_eq!(slow.read_chunk(), Ok(b"begun".to_vec()));
        assert!(matches!(
            slow.read_chunk(),
            Err(Broken::Cut | Broken::Reset)
        ));

        server.wait_for_log("longer than request_timeout: its response was broken off");
        server.write("go", "");
        assert_eq!(server.get("/").status, 200, "{class}");
    }
}

#[test]
fn requests_that_wait_too_long_for_the_application_are_answered_503() {
    for class in CLASSES {
        let server = limited(class, LIMIT).start();
        let mut slow = server.begin_until("go");
        let waiting: Vec<_> = (0..5).map(|_| server.get_in_background("/")).collect();

        for request in waiting {
            let response = request.join().unwrap().unwrap();
            assert_eq!(response.status, 503, "{class}");
            assert_eq!(response.header("Retry-After"), Some("1"));
        }
        assert_eq!(slow.receive().status, 503);
        server.wait_for_log("requests with 503: they had waited for the application longer");
        server.write("go", "");
        assert_eq!(server.get("/").status, 200);
    }
}

#[test]
fn a_request_whose_client_is_gone_does_not_reach_the_application() {
    for class in CLASSES {
        // Also without a `request_timeout`.
        let server = limited(class, 0).setting("keepalive", 60).start();
        let mut known: Vec<_> = (0..3).map(|_| server.connect()).collect();
        for connection in &mut known {
            connection.get("/pid");
        }
        let [mut gone, mut half_closed, mut patient] = known.try_into().ok().unwrap();
        let mut slow = server.begin_until("go");
        gone.send("GET /until/gone HTTP/1.1\r\nHost: a\r\n\r\n");
        half_closed.send("GET /until/half HTTP/1.1\r\nHost: a\r\n\r\n");
        half_closed.finish_sending();
        patient.send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
        drop(gone);
        // Such clients are given a second from when the server has read their requests.
        let_pass(Duration::from_secs(4));

        server.write("go", "");

        assert_eq!(slow.receive().status, 200);
        assert_eq!(patient.receive().status, 200, "{class}");
        assert_eq!(half_closed.rest(), Ok(Vec::new()));
        server.wait_for_log("Dropped 2 requests: their clients had closed the connection");
        assert_eq!(server.read("gone.started"), "");
        assert_eq!(server.read("half.started"), "");
    }
}

#[test]
fn a_client_that_shuts_down_its_side_is_answered() {
    for class in CLASSES {
        let server = limited(class, 10).start();
        let mut half_closed = server.connect();

        half_closed.send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
        half_closed.finish_sending();

        assert_eq!(half_closed.receive().status, 200, "{class}");
    }
}

#[test]
fn a_worker_whose_call_does_not_come_back_within_timeout_is_replaced() {
    for class in CLASSES {
        let server = limited(class, LIMIT).setting("timeout", 8).start();
        let workers = server.worker_pids();
        let mut stuck = server.connect();
        stuck.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n");

        assert_eq!(stuck.receive().status, 503, "{class}");
        server.wait_until("another worker serves", || {
            let now = server.worker_pids();
            !now.is_empty() && now.is_disjoint(&workers)
        });
        assert_eq!(server.get("/").status, 200, "{class}");
    }
}

#[test]
fn requests_within_the_time_are_answered_as_ever() {
    for class in CLASSES {
        let server = limited(class, 10).setting("keepalive", 60).start();
        let mut kept = server.connect();

        for _ in 0..50 {
            assert_eq!(kept.get("/pid").status, 200, "{class}");
            assert_eq!(kept.get("/write").text(), "0123456789");
        }
    }
}
