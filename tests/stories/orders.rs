//! How many workers run, and the signals that change that or are sent to a single
//! process.

use super::{deaths::MACHINE, signals::TO_OTHERS};
use crate::harness::{
    Running, Server, let_pass,
    processes::{self, pid_in},
};
use nix::sys::signal::Signal;
use std::{sync::PoisonError, time::Duration};

#[test]
fn as_many_workers_are_started_as_are_configured() {
    let server = Server::running("hello:app").workers(3).start();

    server.wait_for_workers(3);

    let others = server.other_pids();
    assert_eq!(others.len(), 1, "one fork server: {others:?}");
}

/// Starts a server with so many workers that a slow machine needs longer for all of them than
/// the deadline of one wait.
pub(super) fn start_hundreds(workers: u16) -> Running {
    let server = Server::running("hello:app")
        .workers(workers)
        .setting("preload", true)
        .launch();
    for count in (50..workers).step_by(50) {
        server.wait_until(&format!("{count} workers serve"), || {
            server.worker_pids().len() >= count.into()
        });
    }
    server.wait_until_ready();
    server.wait_for_workers(workers.into());
    server
}

#[test]
fn hundreds_of_workers_can_be_started() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);

    let server = start_hundreds(400);

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn two_signals_change_the_number_of_workers() {
    let server = Server::running("hello:app").workers(1).start();

    server.signal(Signal::SIGTTIN);
    server.wait_for_workers(2);
    server.signal(Signal::SIGTTIN);
    server.wait_for_workers(3);
    server.signal(Signal::SIGTTOU);
    server.wait_for_workers(2);
}

#[test]
fn sigttou_never_stops_the_last_worker() {
    let server = Server::running("hello:app").workers(1).start();
    let before = server.worker_pids();

    server.signal(Signal::SIGTTOU);
    server.wait_for_log("SIGTTOU");
    server.signal(Signal::SIGTTIN);

    server.wait_for_workers(2);
    assert!(server.worker_pids().is_superset(&before));
}

#[test]
fn a_worker_that_sigttou_retires_finishes_its_request() {
    let server = Server::running("slow:app").workers(2).start();
    server.wait_for_workers(2);
    let mut running = Vec::new();
    for count in 1..=2 {
        running.push(server.get_in_background("/until/go"));
        server.wait_until("another worker is busy", || {
            server.read("go.started").lines().count() == count
        });
    }

    server.signal(Signal::SIGTTOU);
    server.wait_for_log("SIGTTOU");
    server.write("go", "");

    for request in running {
        assert_eq!(request.join().unwrap().unwrap().status, 200);
    }
    server.wait_for_workers(1);
}

#[test]
fn signals_for_the_master_do_not_hurt_a_worker() {
    let server = Server::running("hello:app").workers(1).start();
    let before = server.worker_pids();
    let worker = *before.first().unwrap();

    for signal in [
        Signal::SIGHUP,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGPIPE,
    ] {
        processes::signal(worker, signal);
        assert_eq!(server.get("/").status, 200, "after {signal}");
    }

    assert_eq!(server.worker_pids(), before);
    assert_eq!(server.notices(), [] as [&str; 0]);
}

#[test]
fn signals_for_the_master_do_not_hurt_a_fork_server() {
    let server = Server::running("hello:app").workers(1).start();
    let before = server.other_pids();
    let fork_server = *before.first().unwrap();

    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
    ] {
        processes::signal(fork_server, signal);
    }
    server.signal(Signal::SIGTTIN);

    server.wait_for_workers(2);
    assert_eq!(server.other_pids(), before);
}

/// Many at once leave no room on the stack that a crash has for its report.
#[test]
fn bursts_of_signals_for_the_master_do_not_hurt_workers_and_fork_servers() {
    let server = Server::running("hello:app").workers(2).start();
    server.wait_for_workers(2);

    for _ in 0..300 {
        for child in server.children() {
            for signal in TO_OTHERS {
                processes::signal(child, signal);
            }
        }
        let_pass(Duration::from_millis(1));
    }
    assert_eq!(server.get("/").status, 200);
    // What was damaged shows when it is freed.
    server.reload();
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);

    for text in ["Fatal Python error", "killed by", "free()", "double free"] {
        assert_eq!(server.log_count(text), 0, "{text}");
    }
}

#[test]
fn a_worker_that_is_sent_sigterm_finishes_and_is_replaced() {
    let server = Server::running("slow:app").workers(1).start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());
    let worker = pid_in(&server.read("go.started"));

    processes::signal(worker, Signal::SIGTERM);
    server.write("go", "");

    assert_eq!(running.join().unwrap().unwrap().status, 200);
    server.wait_until("another one serves", || {
        let workers = server.worker_pids();
        workers.len() == 1 && !workers.contains(&worker)
    });
    server.wait_for_log(&format!(
        "Worker 1 left: it was sent SIGTERM (pid {worker}, after 1 request)"
    ));
    assert_eq!(server.log_count("died"), 0);
}

#[test]
fn a_worker_that_is_sent_sigint_or_sigquit_exits_at_once() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let server = Server::running("slow:app").workers(1).start();
        let running = server.get_in_background("/stuck");
        server.wait_until("the request runs", || {
            !server.read("stuck.started").is_empty()
        });
        let worker = pid_in(&server.read("stuck.started"));

        processes::signal(worker, signal);

        server.wait_until("it is gone", || !processes::runs(worker));
        let _ = running.join();
        server.wait_for_workers(1);
        server.wait_for_log("Worker 1 left: it was sent SIGINT or SIGQUIT, or the application");
        assert_eq!(server.log_count("died"), 0);
    }
}

#[test]
fn a_fork_server_that_is_sent_sigterm_is_replaced() {
    let server = Server::running("hello:app").workers(1).start();
    let before = server.other_pids();
    let fork_server = *before.first().unwrap();
    let traffic = server.under_load();

    processes::signal(fork_server, Signal::SIGTERM);

    server.wait_for_log("The fork server of generation 1 is lost: killed by SIGTERM");
    server.wait_until("there is another one", || {
        let others = server.other_pids();
        others.len() == 1 && others.is_disjoint(&before)
    });
    traffic.wait_for_answers(20);
    assert_eq!(traffic.finish(), [] as [&str; 0]);
}
