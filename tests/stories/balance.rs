//! Connections are the pool's: they are spread over the workers, and a busy worker's go to
//! those that can answer.

use crate::harness::processes::Pid;
use crate::harness::{Connection, Running, Server, processes};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn connections_that_are_opened_at_once_are_spread() {
    for (workers, count, most_allowed) in [(2, 64, 38), (4, 64, 22), (4, 32, 11)] {
        let most = median_of_five(|| most_on_one_worker(workers, count));

        assert!(
            most <= most_allowed,
            "one of {workers} holds {most} of {count}"
        );
    }
}

/// On a busy machine a worker may not get to run while connections come.
fn median_of_five(measure: impl FnMut() -> usize) -> usize {
    let mut results: Vec<_> = std::iter::repeat_with(measure).take(5).collect();
    results.sort_unstable();
    results[2]
}

/// How many of the connections that a new server gets at once its busiest worker holds.
fn most_on_one_worker(workers: u16, count: usize) -> usize {
    let server = Server::running("work:app")
        .workers(workers)
        .setting("keepalive", 60)
        .start();
    let before: BTreeMap<Pid, usize> = server
        .wait_for_workers(workers.into())
        .into_iter()
        .map(|pid| (pid, sockets_of(pid)))
        .collect();

    let _connections: Vec<_> = (0..count).map(|_| server.connect()).collect();

    let held = || {
        before
            .iter()
            .map(|(pid, own)| sockets_of(*pid).saturating_sub(*own))
    };
    server.wait_until("all are accepted", || held().sum::<usize>() == count);
    held().max().unwrap_or(0)
}

/// How many sockets a process has open.
fn sockets_of(pid: Pid) -> usize {
    let descriptors = processes::descriptors(pid);
    let is_socket = |path: &&std::path::PathBuf| path.to_string_lossy().starts_with("socket:");
    descriptors.iter().filter(is_socket).count()
}

/// Of eight connections that are kept alive, one whose request runs until the test makes a
/// file `name`, and the seven others: some of them are with the same worker.
fn begin_among_kept_alive(server: &Running, name: &str) -> (Connection, Vec<Connection>) {
    let mut kept: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for connection in &mut kept {
        connection.get("/");
    }
    let mut slow = kept.pop().unwrap();
    slow.send(format!("GET /until/{name} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let started = format!("{name}.started");
    server.wait_until("the request runs", || !server.read(&started).is_empty());
    (slow, kept)
}

#[test]
fn one_slow_call_does_not_delay_the_other_connections_of_its_worker() {
    let server = Server::running("work:app")
        .workers(2)
        .setting("keepalive", 60)
        .start();
    let (mut slow, mut kept) = begin_among_kept_alive(&server, "go");
    let busy = server.read("go.started");

    for connection in &mut kept {
        let pid = connection.get("/").text();
        assert_ne!(pid, busy.trim());
    }

    server.write("go", "");
    assert_eq!(slow.receive().text(), busy.trim());
}

#[test]
fn a_request_half_sent_to_a_worker_in_a_slow_call_is_answered_elsewhere() {
    let server = Server::running("work:app")
        .workers(2)
        .setting("keepalive", 60)
        .start();
    let mut kept: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for connection in &mut kept {
        connection.send(&REQUEST[..10]);
    }
    let mut slow = server.begin_until("go");
    let busy = server.read("go.started");

    for connection in &mut kept {
        let pid = connection.send(&REQUEST[10..]).receive().text();
        assert_ne!(pid, busy.trim());
    }

    server.write("go", "");
    slow.receive();
}

#[test]
fn a_client_that_pipelines_without_end_does_not_keep_the_others_waiting() {
    let server = Server::running("work:app").workers(1).start();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut greedy = server.connect();
        let stop = &stop;
        scope.spawn(move || {
            // The next ones are there before the last ones are answered.
            let many = REQUEST.repeat(50);
            greedy.send(&many);
            while !stop.load(Ordering::SeqCst) {
                greedy.send(&many);
                for _ in 0..50 {
                    greedy.receive();
                }
            }
        });

        for _ in 0..50 {
            assert_eq!(server.get("/").status, 200);
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn no_connection_is_closed_for_want_of_room_while_another_worker_has_some() {
    let server = Server::running("work:app")
        .workers(4)
        .setting("worker_connections", 50)
        .setting("keepalive", 60)
        .start();
    let mut kept: Vec<_> = (0..120).map(|_| server.connect()).collect();

    for _ in 0..3 {
        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200);
        }
    }
}

#[test]
fn a_stuck_call_is_ended_although_other_connections_of_its_worker_are_busy() {
    let server = Server::running("work:app")
        .workers(2)
        .setting("timeout", 2)
        .setting("keepalive", 60)
        .start();
    let (mut slow, mut kept) = begin_among_kept_alive(&server, "never");
    let stuck = processes::pid_in(&server.read("never.started"));

    let since = Instant::now();
    while processes::runs(stuck) {
        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200);
        }
        assert!(since.elapsed() < Duration::from_secs(60), "it still runs");
    }

    assert!(slow.try_receive().is_err());
}
