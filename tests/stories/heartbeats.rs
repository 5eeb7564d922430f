//! Workers that hang, in a request or while they load the application.

use crate::harness::{
    Server,
    processes::{self, pid_in},
};
use nix::sys::signal::Signal;

const BLOCKING_ALL_SIGNALS: &str = "\
import os, signal, time
def app(environ, start_response):
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    open('blocked', 'w').write(str(os.getpid()))
    time.sleep(3600)
";

#[test]
fn a_worker_that_hangs_is_killed_and_logs_its_stack() {
    let server = Server::running("slow:app")
        .workers(2)
        .setting("timeout", 2)
        .start();
    let before = server.wait_for_workers(2);
    let hanging = server.get_in_background("/stuck");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });
    let stuck = pid_in(&server.read("stuck.started"));

    server.wait_until("the worker is gone", || !processes::runs(stuck));

    hanging.join().unwrap().unwrap_err();
    server.wait_for_log("in stuck_here");
    server.wait_for_workers(2);
    assert_eq!(server.worker_pids().intersection(&before).count(), 1);
}

#[test]
fn a_worker_that_spins_is_killed_and_logs_its_stack() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("timeout", 2)
        .start();
    let _spinning = server.get_in_background("/spin");
    server.wait_until("the request runs", || {
        !server.read("spin.started").is_empty()
    });
    let spinning = pid_in(&server.read("spin.started"));

    server.wait_until("the worker is gone", || !processes::runs(spinning));

    server.wait_for_log("slow.py");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn the_stacks_of_all_threads_are_in_the_log_of_a_worker_that_hung() {
    let server = Server::running("shop:app")
        .setting("timeout", 2)
        .file(
            "shop.py",
            "import threading, time, slow\ndef wait_in_the_background():\n    time.sleep(3600)\n\
             threading.Thread(target=wait_in_the_background, daemon=True).start()\napp = slow.app\n",
        )
        .start();
    let _hanging = server.get_in_background("/stuck");

    server.wait_for_log("in stuck_here");
    server.wait_for_log("in wait_in_the_background");
}

#[test]
fn a_pool_in_which_every_request_hangs_is_replaced_without_a_restart() {
    let server = Server::running("slow:app")
        .workers(2)
        .setting("timeout", 3)
        .env("WATCHDOG_USEC", "6000000")
        .start();
    let before = server.wait_for_workers(2);
    let hanging: Vec<_> = (0..2).map(|_| server.get_in_background("/stuck")).collect();

    server.wait_until("both workers are replaced", || {
        let workers = server.worker_pids();
        workers.len() == 2 && workers.is_disjoint(&before)
    });

    for request in hanging {
        request.join().unwrap().unwrap_err();
    }
    server.wait_for_log("in stuck_here");
    assert_eq!(server.get("/").status, 200);
    assert!(server.notified("WATCHDOG").iter().all(|told| told == "1"));
}

#[test]
fn stacks_that_are_written_at_the_same_time_are_not_mixed() {
    let server = Server::running("deep:app")
        .workers(4)
        .setting("timeout", 2)
        .file(
            "deep.py",
            "import threading, time\ndef descend(depth):\n    if depth:\n        \
             descend(depth - 1)\n    else:\n        time.sleep(3600)\n\
             def app(environ, start_response):\n    for _ in range(9):\n        \
             threading.Thread(target=descend, args=[60], daemon=True).start()\n    \
             descend(60)\n",
        )
        .start();
    server.wait_for_workers(4);

    let hanging: Vec<_> = (0..4).map(|_| server.get_in_background("/")).collect();
    for request in hanging {
        request.join().unwrap().unwrap_err();
    }
    // Then all that was to be said before is there.
    server.reload();
    server.wait_for_log("Reload finished");

    server.wait_until(
        "all lines of the stacks of several workers are there",
        || {
            let stuck = server.log_count("timed out: no sign of life");
            stuck > 1
                && server.log_count("Fatal Python error: Aborted\n") == stuck
                && server.log_count(" in descend\n") == stuck * 10 * 61
        },
    );
}

#[test]
fn a_worker_that_blocks_all_signals_in_a_request_is_killed() {
    let server = Server::running("shop:app")
        .workers(1)
        .setting("timeout", 2)
        .file("shop.py", BLOCKING_ALL_SIGNALS)
        .start();
    let _hanging = server.get_in_background("/");
    server.wait_until("the request runs", || !server.read("blocked").is_empty());
    let stuck = pid_in(&server.read("blocked"));

    server.wait_until("the worker is gone", || !processes::runs(stuck));

    server.wait_until("another one serves", || {
        let workers = server.worker_pids();
        workers.len() == 1 && !workers.contains(&stuck)
    });
}

#[test]
fn a_worker_that_was_stopped_by_a_signal_is_replaced() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("timeout", 2)
        .start();
    let stopped = *server.wait_for_workers(2).first().unwrap();

    processes::signal(stopped, Signal::SIGSTOP);

    server.wait_until("it is replaced", || {
        let workers = server.worker_pids();
        workers.len() == 2 && !workers.contains(&stopped)
    });
}

#[test]
fn an_idle_worker_does_not_time_out() {
    let server = Server::running("slow:app")
        .workers(2)
        .setting("timeout", 3)
        .start();
    let before = server.wait_for_workers(2);

    // Three times the timeout, one worker never having anything to do.
    for _ in 0..18 {
        assert_eq!(server.get("/sleep/0.5").status, 200);
    }

    assert_eq!(server.worker_pids(), before);
}

#[test]
fn a_worker_that_never_finishes_loading_is_killed_after_boot_timeout() {
    let server = Server::running("shop:app")
        // Long enough for Python to begin.
        .setting("boot_timeout", 5)
        .file(
            "shop.py",
            "import slow\nslow.app({'PATH_INFO': '/stuck'}, print)\n",
        )
        .launch();

    let status = server.wait_for_exit();

    assert_eq!(status, 3);
    server.wait_for_log("in stuck_here");
}
