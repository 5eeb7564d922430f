//! Workers that are told to leave: before they handle signals, while they load, and
//! while they leave already.

use crate::harness::{Server, processes};
use nix::sys::signal::Signal;

#[test]
fn an_exit_handler_of_the_application_runs_when_its_worker_leaves() {
    let server = Server::running("shop:app")
        .file("shop.py", "import atexit\natexit.register(lambda: open('left', 'a').write('x'))\nfrom hello import app\n")
        .start();
    server.get("/");

    server.stop();

    assert_eq!(server.read("left"), "x");
}

/// Pauses a new worker between its fork and the installation of its signal
/// handlers, once the file `pause` is there: that imports `_signal`.
const SLOW_TO_HANDLE_SIGNALS: &str = "import builtins, os, time\nimport slow\n\
    server, original = os.getpid(), builtins.__import__\n\
    def importing(name, *rest, **more):\n    \
    if name == '_signal' and os.getpid() != server and os.path.exists('pause'):\n        \
    os.unlink('pause')\n        slow.mark('paused')\n        \
    while not os.path.exists('go'):\n            time.sleep(0.01)\n    \
    return original(name, *rest, **more)\n\
    builtins.__import__ = importing\n\
    from hello import app\n";

#[test]
fn a_signal_that_comes_before_a_worker_can_handle_it_is_not_lost() {
    for signal in [Signal::SIGQUIT, Signal::SIGINT, Signal::SIGTERM] {
        let server = Server::running("shop:app")
            .workers(1)
            .setting("preload", true)
            .file("shop.py", SLOW_TO_HANDLE_SIGNALS)
            .start();
        server.write("pause", "");
        server.signal(Signal::SIGTTIN);
        server.wait_until("a new worker pauses", || !server.read("paused").is_empty());
        let worker = server.read("paused").trim().parse().unwrap();

        processes::signal(worker, signal);
        assert!(processes::runs(worker), "{signal}");
        server.write("go", "");

        server.wait_until("it leaves", || !processes::runs(worker));
        server.wait_for_workers(2);
        for word in ["SIG", "kill"] {
            assert!(
                !server.stderr().contains(&format!("died: {word}")),
                "{}",
                server.stderr()
            );
        }
    }
}

#[test]
fn a_signal_does_not_disturb_a_worker_that_is_leaving() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import atexit, slow\natexit.register(slow.app, {'PATH_INFO': '/until/go'}, print)\n\
             from hello import app\n",
        )
        .start();
    let worker = *server.worker_pids().first().unwrap();
    processes::signal(worker, Signal::SIGTERM);
    server.wait_until("it leaves", || !server.read("go.started").is_empty());

    processes::signal(worker, Signal::SIGQUIT);
    server.write("go", "");

    server.wait_until("it is gone", || !processes::runs(worker));
    assert!(!server.read("go.ended").is_empty());
    assert_eq!(server.log_count("SystemExit"), 0, "{}", server.stderr());
}

/// `except:` catches the `SystemExit` by which a signal ends Python code.
#[test]
fn a_worker_told_to_quit_leaves_although_the_application_catches_it_while_it_loads() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import os, time\nimport slow\n\
             if os.path.exists('pause'):\n    os.unlink('pause')\n    \
             try:\n        slow.mark('paused')\n        time.sleep(600)\n    \
             except BaseException:\n        pass\n\
             from hello import app\n",
        )
        .start();
    server.write("pause", "");
    server.signal(Signal::SIGTTIN);
    server.wait_until("a new worker loads", || !server.read("paused").is_empty());
    let worker = server.read("paused").trim().parse().unwrap();

    processes::signal(worker, Signal::SIGQUIT);

    server.wait_until("it leaves", || !processes::runs(worker));
    server.wait_for_log("Worker 2 left before it was ready: it was sent SIGINT or SIGQUIT, or");
}

#[test]
fn a_first_worker_that_is_told_to_quit_is_no_mystery() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import slow\nslow.mark('loads')\nslow.stuck_here()\n",
        )
        .launch();
    server.wait_until("the worker loads", || !server.read("loads").is_empty());
    let worker = server.read("loads").trim().parse().unwrap();

    processes::signal(worker, Signal::SIGINT);

    assert_eq!(server.wait_for_exit(), 3);
    server.wait_for_log("Cannot start: a worker left: it was sent SIGINT or SIGQUIT, or the");
}
