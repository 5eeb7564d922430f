//! Signals that somebody else than the master sends to workers, or to all processes of the
//! service at once, as `systemctl kill` does. Gunicorn's workers die of HUP and USR2.

use super::{deaths::MACHINE, upgrades};
use crate::harness::{
    Running, Server,
    processes::{self, Pid},
};
use nix::sys::signal::Signal;
use std::{fs, sync::PoisonError};

/// What becomes of the request that a worker is in, and of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing.
    None,
    /// The request is answered, then the worker leaves.
    Finishes,
    /// The request is lost.
    Ends,
}

/// The signal, its effect, and what the log says of the worker.
const EFFECTS: &[(Signal, Effect, &str)] = &[
    (Signal::SIGHUP, Effect::None, ""),
    (Signal::SIGUSR1, Effect::None, ""),
    (Signal::SIGUSR2, Effect::None, ""),
    (Signal::SIGWINCH, Effect::None, ""),
    (Signal::SIGTTIN, Effect::None, ""),
    (Signal::SIGTTOU, Effect::None, ""),
    (Signal::SIGCHLD, Effect::None, ""),
    (Signal::SIGPIPE, Effect::None, ""),
    (
        Signal::SIGTERM,
        Effect::Finishes,
        "left: it was sent SIGTERM (",
    ),
    (
        Signal::SIGINT,
        Effect::Ends,
        "left: it was sent SIGINT or SIGQUIT",
    ),
    (
        Signal::SIGQUIT,
        Effect::Ends,
        "left: it was sent SIGINT or SIGQUIT",
    ),
    (Signal::SIGABRT, Effect::Ends, "died: killed by SIGABRT"),
    (Signal::SIGKILL, Effect::Ends, "died: killed by SIGKILL ("),
];

/// Sends a worker the signal while it is in a request.
#[track_caller]
fn assert_effect(server: &Running, signal: Signal, effect: Effect, says: &str) {
    let worker = *server.wait_for_workers(1).first().unwrap();
    let name = signal.as_str();
    let mut running = server.begin_until(name);

    processes::signal(worker, signal);
    if effect != Effect::Ends {
        // Other requests are served meanwhile, or by the next worker.
        server.write(name, "");
        assert_eq!(running.receive().status, 200, "{signal}");
    }

    if effect == Effect::None {
        assert_eq!(server.get("/").status, 200, "{signal}");
        assert_eq!(server.worker_pids(), [worker].into(), "{signal}");
    } else {
        server.wait_until("the worker is gone", || !processes::runs(worker));
        server.wait_until("the log says why", || {
            let log = server.stderr();
            let mut lines = log.lines().filter(|line| line.contains(says));
            lines.any(|line| line.contains(&format!("pid {worker},")))
        });
        if effect == Effect::Ends {
            // An error of the application's, as with Gunicorn, or nothing.
            let answer = running.try_receive().map(|answer| answer.status);
            assert!(matches!(answer, Ok(500) | Err(_)), "{signal}: {answer:?}");
        }
        assert_eq!(server.get("/").status, 200, "{signal}");
    }
}

#[test]
fn each_signal_to_a_worker_has_the_effect_that_gunicorn_documents() {
    for threads in [1, 2] {
        let server = Server::running("slow:app")
            .workers(1)
            .setting("threads", threads)
            .start();

        for (signal, effect, says) in EFFECTS {
            assert_effect(&server, *signal, *effect, says);
        }

        assert_eq!(server.log_count("Reload began"), 0);
        assert!(
            server.log_count("slow.py\", line") > 0,
            "the stacks upon SIGABRT"
        );
        assert_eq!(server.stop(), 0);
    }
}

/// The signal that all get, the master first.
fn signal_all(server: &Running, signal: Signal) {
    let children: Vec<Pid> = server.children().into_iter().collect();
    server.signal(signal);
    for child in children {
        processes::signal(child, signal);
    }
}

#[test]
fn a_signal_to_all_processes_does_what_it_does_to_the_master() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let site = upgrades::site(Server::running("hello:app").setting("accesslog", "access.log"));
    let server = &site.server;
    let before = server.worker_pids();
    let log = server.folder().join("access.log");
    let traffic = server.under_load();

    traffic.wait_for_answers(20);
    fs::rename(&log, log.with_extension("1")).unwrap();
    signal_all(server, Signal::SIGUSR1);
    server.wait_until("the log is there again", || log.exists());
    signal_all(server, Signal::SIGTTIN);
    assert!(server.wait_for_workers(3).is_superset(&before));
    signal_all(server, Signal::SIGTTOU);
    server.wait_for_workers(2);

    signal_all(server, Signal::SIGWINCH);
    server.wait_until("no worker is left", || server.worker_pids().is_empty());
    signal_all(server, Signal::SIGTTIN);
    server.wait_for_workers(1);

    server.forget_notices();
    signal_all(server, Signal::SIGHUP);
    server.wait_for_reload();
    let reloaded = server.wait_for_workers(2);
    assert!(reloaded.is_disjoint(&before));

    site.install_copy();
    server.forget_notices();
    signal_all(server, Signal::SIGUSR2);
    server.wait_for_reload();
    assert!(site.runs_what_is_installed());
    assert!(server.wait_for_workers(2).is_disjoint(&reloaded));
    traffic.wait_for_answers(20);
    assert_eq!(traffic.finish(), [] as [&str; 0]);

    assert_eq!(server.log_count("died"), 0);
    assert_eq!(server.log_count(" left: "), 0);
}

#[test]
fn a_stop_that_all_processes_are_told_of_ends_them_without_an_error() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let server = Server::running("slow:app").workers(2).start();
        server.wait_for_workers(2);
        let mut running = server.begin_until("go");

        signal_all(&server, signal);
        if signal == Signal::SIGTERM {
            server.wait_for_log("Stopping (SIGTERM)");
            server.write("go", "");
        }

        let is_answered = running
            .try_receive()
            .is_ok_and(|answer| answer.status == 200);
        assert_eq!(is_answered, signal == Signal::SIGTERM, "{signal}");
        assert_eq!(server.wait_for_exit(), 0, "{signal}");
        assert_eq!(server.log_count("[ERROR]"), 0, "{}", server.stderr());
        assert_eq!(processes::started_for(server.folder()), [] as [i32; 0]);
    }
}
