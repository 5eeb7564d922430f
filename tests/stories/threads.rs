//! The `gthread` class: several requests at once in one worker.

use crate::harness::{
    Connection, Load, Running, Server, holds_within,
    processes::{self, pid_in},
};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

pub fn threaded(threads: i64) -> Server {
    Server::running("threaded:app")
        .workers(1)
        .setting("threads", threads)
}

pub fn begin_stuck(server: &Running, count: usize) -> Vec<Connection> {
    let stuck = (0..count)
        .map(|_| {
            let mut connection = server.connect();
            connection.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n");
            connection
        })
        .collect();
    server.wait_until("the requests run", || {
        server.read("stuck.started").lines().count() == count
    });
    stuck
}

#[test]
fn as_many_requests_run_at_once_as_there_are_threads() {
    let server = threaded(5).start();

    let requests: Vec<_> = (0..5)
        .map(|_| server.get_in_background("/together/5"))
        .collect();

    for request in requests {
        assert_eq!(request.join().unwrap().unwrap().text(), "5");
    }
}

#[test]
fn multithread_is_true_in_the_environ_of_threads_only() {
    for (settings, expected) in [
        (("worker_class", "gthread"), "True"),
        (("worker_class", "sync"), "False"),
    ] {
        let (key, class) = settings;
        let server = Server::running("threaded:app").setting(key, class).start();

        assert_eq!(server.get("/multithread").text(), expected, "{class}");
    }
}

#[test]
fn connections_that_are_kept_alive_take_no_thread() {
    let server = threaded(2).setting("keepalive", 60).start();
    let mut kept: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for connection in &mut kept {
        assert!(!connection.get("/").says_close());
    }
    let mut half = server.connect();
    half.send("GET / HTTP/1.1\r\nHo");

    for connection in &mut kept {
        assert_eq!(connection.get("/").status, 200);
    }
    assert_eq!(half.send("st: a\r\n\r\n").receive().status, 200);
}

#[test]
fn a_thread_has_a_name_and_keeps_its_thread_locals() {
    let server = threaded(1).argument("-k").argument("gthread").start();

    assert_eq!(server.get("/local").text(), "rgunicorn-1 1 True");
    assert_eq!(server.get("/local").text(), "rgunicorn-1 2 True");
}

#[test]
fn a_request_that_waits_for_a_thread_is_answered_when_one_is_free() {
    let server = threaded(2).start();
    let mut first = server.begin_until("go");
    let mut second = server.begin_until("later");
    let waiting: Vec<_> = (0..5).map(|_| server.get_in_background("/")).collect();

    server.write("go", "");

    for request in waiting {
        assert_eq!(request.join().unwrap().unwrap().status, 200);
    }
    assert_eq!(first.receive().status, 200);
    server.write("later", "");
    assert_eq!(second.receive().status, 200);
}

#[test]
fn requests_that_find_no_free_thread_go_to_another_worker() {
    let server = Server::running("threaded:app")
        .workers(2)
        .setting("threads", 2)
        .setting("keepalive", 60)
        .start();
    server.wait_for_workers(2);
    let mut of_worker: BTreeMap<String, Vec<Connection>> = BTreeMap::new();
    for _ in 0..20 {
        let mut connection = server.connect();
        let worker = connection.get("/").text();
        of_worker.entry(worker).or_default().push(connection);
    }
    let (worker, mut kept) = of_worker
        .into_iter()
        .max_by_key(|(_, connections)| connections.len())
        .unwrap();
    // Both threads of that worker.
    let mut held = Vec::new();
    for number in 0..2 {
        let mut connection = kept.pop().unwrap();
        connection.send(format!("GET /until/go{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.wait_until("it runs", || {
            !server.read(&format!("go{number}.started")).is_empty()
        });
        held.push(connection);
    }

    for connection in &mut kept {
        assert_ne!(connection.get("/").text(), worker);
    }
    server.write("go0", "");
    server.write("go1", "");
    for connection in &mut held {
        assert_eq!(connection.receive().text(), worker);
    }
}

#[test]
fn a_stuck_request_is_reported_with_its_stack_and_the_others_go_on() {
    // Long enough for the other requests on a machine that stands still for a while.
    let server = threaded(2).setting("timeout", 4).start();
    let worker = *server.worker_pids().first().unwrap();
    let mut slow = server.begin_until("go");

    server.wait_for_log("The request GET /until/go has run for");
    server.wait_for_log("in until");
    for _ in 0..5 {
        assert_eq!(server.get("/").status, 200);
    }

    server.write("go", "");
    assert_eq!(slow.receive().text(), worker.to_string());
    server.wait_for_log("The request GET /until/go ended after");
    assert_eq!(server.log_count("has run for"), 1);
    assert!(server.worker_pids().contains(&worker));
}

#[test]
fn a_worker_lives_as_long_as_one_of_its_threads_can_answer() {
    let server = threaded(3).setting("timeout", 4).start();
    let workers = server.worker_pids();
    let _stuck = begin_stuck(&server, 2);

    server.wait_until("both are reported", || {
        server.log_count("The request GET /stuck has run for") == 2
    });
    // Three times the timeout.
    for _ in 0..30 {
        assert_eq!(server.get("/sleep/0.4").status, 200);
    }

    assert_eq!(server.worker_pids(), workers);
}

#[test]
fn a_worker_whose_threads_are_all_stuck_is_replaced() {
    let server = threaded(2).setting("timeout", 4).start();
    let worker = *server.worker_pids().first().unwrap();

    let _stuck = begin_stuck(&server, 2);

    server.wait_until("the worker is gone", || !processes::runs(worker));
    server.wait_for_log("in stuck_here");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn threads_that_compute_do_not_keep_the_worker_from_its_connections() {
    let server = threaded(3).setting("timeout", 300).start();
    let _spinning = server.get_in_background("/spin");
    server.wait_until("the request runs", || {
        !server.read("spin.started").is_empty()
    });

    for _ in 0..5 {
        assert_eq!(server.get("/").status, 200);
    }
    server.reload();
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_reload_under_load_closes_no_connection_of_threads() {
    let server = Server::running("threaded:app")
        .workers(2)
        .setting("threads", 3)
        .setting("keepalive", 60)
        .start();
    let traffic = server.under_load();

    for _ in 0..5 {
        server.reload();
    }

    assert_eq!(traffic.closed(), 0);
    assert_eq!(traffic.finish(), Vec::<String>::new());
}

#[test]
fn a_stop_after_load_waits_for_the_request_that_runs() {
    let server = threaded(3).start();
    let traffic = server.under(Load {
        kept_alive: 0,
        one_shot: 4,
        ..Load::default()
    });
    let mut running = server.begin_until("go");
    assert_eq!(traffic.finish(), Vec::<String>::new());

    server.signal(Signal::SIGTERM);
    server.write("go", "");

    assert_eq!(running.receive().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_request_that_runs_during_a_reload_is_answered_by_the_old_worker() {
    let server = threaded(2).start();
    let old = *server.worker_pids().first().unwrap();
    let mut running = server.begin_until("go");

    server.reload();
    assert_ne!(server.get("/").text(), old.to_string());
    server.write("go", "");

    assert_eq!(running.receive().text(), old.to_string());
    server.wait_until("the old worker has left", || !processes::runs(old));
    assert_eq!(pid_in(&server.read("exited")), old);
}

#[test]
fn quit_ends_a_worker_at_once_although_threads_run() {
    let server = threaded(3).start();
    let worker = *server.worker_pids().first().unwrap();
    let _stuck = begin_stuck(&server, 2);

    processes::signal(worker, Signal::SIGQUIT);

    let gone = || !processes::runs(worker);
    assert!(holds_within(Duration::from_secs(10), gone));
    assert_eq!(pid_in(&server.read("exited")), worker);
    assert_eq!(server.log_count("killed by"), 0, "{}", server.stderr());
}

#[test]
fn requests_that_do_not_end_are_cut_after_graceful_timeout() {
    let server = threaded(3).setting("graceful_timeout", 2).start();
    let worker = *server.worker_pids().first().unwrap();
    let mut stuck = begin_stuck(&server, 1);

    server.reload();

    stuck[0].try_receive().unwrap_err();
    server.wait_until("the old worker is gone", || !processes::runs(worker));
}

#[test]
fn an_exit_in_a_thread_is_an_error_of_that_request_only() {
    let server = threaded(1).setting("worker_class", "gthread").start();
    let worker = server.worker_pids();

    assert_eq!(server.get("/leaving").status, 500);
    assert_eq!(server.get("/local").text(), "rgunicorn-1 1 True");

    server.wait_for_log("SystemExit: 3");
    assert_eq!(server.worker_pids(), worker);
}

#[test]
fn an_application_can_fork_in_a_thread() {
    let server = threaded(2).setting("keepalive", 60).start();
    let mut kept = server.connect();

    for _ in 0..3 {
        assert_eq!(kept.get("/fork").text(), "1 threads, status 7");
        assert_eq!(kept.get("/returning").text(), "status 1");
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_slow_client_of_an_endless_body_keeps_one_thread_busy() {
    let server = threaded(2)
        .setting("limit_response_buffer", "1M")
        .setting("timeout", 300)
        .start();
    let mut slow = server.connect();
    slow.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.read_head().unwrap();

    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    drop(slow);
    let both: Vec<_> = (0..2)
        .map(|_| server.get_in_background("/together/2"))
        .collect();
    for request in both {
        assert_eq!(request.join().unwrap().unwrap().text(), "2");
    }
}

#[test]
fn a_quick_response_does_not_wait_for_a_slow_request_behind_it() {
    let server = threaded(2)
        .setting("keepalive", 60)
        .setting("timeout", 300)
        .start();
    let (mut quick, mut slow) = (server.connect(), server.connect());
    for _ in 0..50 {
        quick.get("/pid");
    }

    for round in 0..20 {
        quick.send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
        slow.send(format!("GET /until/go{round} HTTP/1.1\r\nHost: a\r\n\r\n"));

        assert_eq!(quick.receive().status, 200);
        server.write(&format!("go{round}"), "");
        assert_eq!(slow.receive().status, 200);
    }
}

#[test]
fn write_works_in_threads() {
    let server = threaded(4).start();
    let requests: Vec<_> = (0..20)
        .map(|_| server.get_in_background("/write"))
        .collect();

    for request in requests {
        assert_eq!(request.join().unwrap().unwrap().text(), "0123456789");
    }
}

#[test]
fn threads_without_a_master_finish_and_leave() {
    let server = threaded(2).start();
    let worker = *server.worker_pids().first().unwrap();
    let mut running = server.begin_until("go");

    processes::signal(server.pid(), Signal::SIGKILL);
    server.write("go", "");

    assert_eq!(running.receive().status, 200);
    server.wait_until("the worker has left", || !processes::runs(worker));
}
