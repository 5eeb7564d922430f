//! The `gthread` class while requests are quick: one thread has the engine and answers all
//! of them. Nothing of that may be seen from outside, except that it costs less.

use super::threads;
use crate::harness::{Connection, Running, Server, holds_within, processes};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// Requests of one round.
const ROUND: u64 = 20;

fn threaded(threads: i64) -> Server {
    threads::threaded(threads).setting("keepalive", 300)
}

/// Whether the main thread sleeps through a round of requests: one of the others has the
/// engine.
fn is_lent(worker: processes::Pid, connection: &mut Connection) -> bool {
    let before = processes::sleeps(worker)[&worker];
    for _ in 0..ROUND {
        assert_eq!(connection.get("/").status, 200);
    }
    processes::sleeps(worker)[&worker] - before < ROUND / 4
}

/// Sends quick requests until a thread has the engine. On a machine that is busy with other
/// things none may be quick: what the tests demand holds in that case as well.
fn lend(server: &Running) -> Connection {
    let worker = *server.worker_pids().first().unwrap();
    let mut connection = server.connect();
    holds_within(Duration::from_secs(10), || is_lent(worker, &mut connection));
    connection
}

#[test]
fn quick_requests_do_not_wake_the_main_thread() {
    let server = threaded(4).start();
    let worker = *server.worker_pids().first().unwrap();
    let mut connection = server.connect();

    server.wait_until("the main thread sleeps through a round of requests", || {
        is_lent(worker, &mut connection)
    });
}

#[test]
fn a_request_that_takes_long_does_not_delay_the_others() {
    let server = threaded(2).setting("timeout", 300).start();
    let mut quick = lend(&server);
    let mut slow = server.begin_until("go");

    for _ in 0..20 {
        assert_eq!(quick.get("/").status, 200);
    }
    assert_eq!(server.get("/").status, 200);

    server.write("go", "");
    assert_eq!(slow.receive().status, 200);
}

#[test]
fn requests_that_wait_for_each_other_run_at_once() {
    let server = threaded(3).start();
    lend(&server);

    let requests: Vec<_> = (0..3)
        .map(|_| server.get_in_background("/together/3"))
        .collect();

    for request in requests {
        assert_eq!(request.join().unwrap().unwrap().text(), "3");
    }
}

#[test]
fn a_response_is_complete_before_the_next_request_takes_long() {
    let server = threaded(1)
        .setting("worker_class", "gthread")
        .setting("timeout", 300)
        .start();
    let mut quick = lend(&server);
    let mut slow = server.connect();

    for round in 0..20 {
        quick.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        slow.send(format!("GET /until/go{round} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(quick.receive().status, 200);
        server.write(&format!("go{round}"), "");
        assert_eq!(slow.receive().status, 200);
    }
}

#[test]
fn a_stuck_request_is_reported_and_ended() {
    let server = threaded(2).setting("request_timeout", 4).start();
    let mut quick = lend(&server);
    let mut stuck = server.connect();

    stuck.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n");

    assert_eq!(stuck.receive().status, 503);
    server.wait_for_log("The request GET /stuck has run for");
    server.wait_for_log("in stuck_here");
    assert_eq!(quick.get("/").status, 200);
}

#[test]
fn a_request_that_computes_does_not_keep_the_worker_from_its_connections() {
    let server = threaded(2).setting("timeout", 300).start();
    let mut quick = lend(&server);
    let _spinning = server.get_in_background("/spin");
    server.wait_until("the request runs", || {
        !server.read("spin.started").is_empty()
    });

    for _ in 0..5 {
        assert_eq!(quick.get("/").status, 200);
    }
    server.reload();
    assert_eq!(quick.get("/").status, 200);
}

#[test]
fn while_code_keeps_the_gil_another_worker_answers() {
    for class in ["sync", "gthread"] {
        let server = threaded(2)
            .workers(2)
            .setting("worker_class", class)
            .setting("threads", if class == "sync" { 1 } else { 2 })
            .setting("timeout", 300)
            .start();
        server.wait_for_workers(2);
        let mut kept: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200);
        }

        kept[0].get("/hold_later");
        server.write("hold", "");
        server.wait_until("the thread runs", || {
            !server.read("hold.started").is_empty()
        });

        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200, "{class}");
        }
        assert_eq!(server.get("/").status, 200, "{class}");
    }
}

#[test]
fn a_main_thread_that_waits_for_the_gil_does_not_delay_the_connections() {
    for need in ["a report", "a signal"] {
        let server = threaded(2)
            .workers(2)
            .setting("timeout", 300)
            .setting("request_timeout", 4)
            .start();
        let workers = server.wait_for_workers(2);
        let mut kept: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200);
        }
        let mut held = server.connect();
        held.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        server.wait_until("the request runs", || {
            !server.read("hold.started").is_empty()
        });

        if need == "a signal" {
            // Python's handler for it runs in the main thread.
            for &worker in &workers {
                processes::signal(worker, Signal::SIGUSR2);
            }
        } else {
            assert_eq!(held.receive().status, 503);
        }

        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200, "{need}");
        }
        // What sync says of a request, as it cannot show the stack itself.
        assert_eq!(server.log_count("the stack follows"), 0);
    }
}

#[test]
fn a_worker_whose_gil_is_kept_is_replaced() {
    let server = threaded(2).setting("timeout", 4).start();
    let worker = *server.worker_pids().first().unwrap();
    lend(&server);

    let mut held = server.connect();
    held.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");

    server.wait_until("the worker is gone", || !processes::runs(worker));
    server.wait_until("another one answers", || server.get("/").status == 200);
}

#[test]
fn an_application_can_fork() {
    let server = threaded(2).start();
    let mut kept = lend(&server);

    for _ in 0..3 {
        assert_eq!(kept.get("/fork").text(), "1 threads, status 7");
        assert_eq!(kept.get("/returning").text(), "status 1");
        assert_eq!(kept.get("/").status, 200);
    }
}

#[test]
fn an_idle_worker_is_alive_for_the_master() {
    let server = threaded(2).setting("timeout", 4).start();
    let workers = server.worker_pids();
    let mut kept = lend(&server);

    let start = Instant::now();
    server.wait_until("nobody has asked for three times the timeout", || {
        start.elapsed() > Duration::from_secs(12)
    });

    assert_eq!(kept.get("/").status, 200);
    assert_eq!(server.worker_pids(), workers);
}

#[test]
fn a_reload_takes_over_the_connections() {
    let server = threaded(2).start();
    let old = *server.worker_pids().first().unwrap();
    let mut kept = lend(&server);

    server.reload();

    assert_ne!(kept.get("/").text(), old.to_string());
    server.wait_until("the old worker has left", || !processes::runs(old));
}

#[test]
fn signals_reach_the_worker() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGINT] {
        let server = threaded(2).start();
        let worker = *server.worker_pids().first().unwrap();
        lend(&server);

        processes::signal(worker, signal);

        server.wait_until("the worker has left", || !processes::runs(worker));
        assert_eq!(server.log_count("killed by"), 0, "{}", server.stderr());
        server.wait_until("another one answers", || server.get("/").status == 200);
    }
}

#[test]
fn the_requests_are_counted() {
    let server = threaded(2).start();
    let mut connection = lend(&server);

    // The rate is that since the last question.
    server.wait_until("the status shows the requests", || {
        for _ in 0..ROUND {
            connection.get("/");
        }
        let status = server.ctl(&["status"]).stdout;
        status.contains(" req/s") && !status.contains(" 0 req/s")
    });
}
